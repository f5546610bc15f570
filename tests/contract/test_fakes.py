"""What only the twins can do: fail at a chosen operation, and show what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call import CallKey
from cdr.intake.id_order import Checkpoint
from cdr.submission.ports import Settled
from shared.clock import HandMovedClock
from shared.errors import ApiUnavailable, ClaimHeld, LeaseHeld, SourceUnavailable, StorageUnavailable, SubmissionUnknown
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import make_call
from tests.support.requirements import need

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = CallKey("2026-11-20", "call-7")
DOWN = StorageUnavailable("the line is dead")


def test_a_queue_fails_at_the_chosen_message_and_keeps_the_ones_before_it(clock: HandMovedClock) -> None:
    queue = InMemoryCallQueue(clock)
    queue.fail_at(3, DOWN)
    with pytest.raises(StorageUnavailable):
        queue.send_all(["a", "b", "c", "d"])
    assert queue.texts == ["a", "b"]
    queue.send_all(["c", "d"])
    assert queue.texts == ["a", "b", "c", "d"]


def test_failures_count_from_the_moment_they_are_chosen(clock: HandMovedClock) -> None:
    queue = InMemoryCallQueue(clock)
    queue.send_all(["a", "b"])
    queue.fail_at(2, DOWN)
    queue.depth()
    with pytest.raises(StorageUnavailable):
        queue.depth()
    assert queue.operations == ["put", "put", "depth", "depth"]


def test_a_message_is_taken_off_the_queue_only_when_it_is_visible(clock: HandMovedClock) -> None:
    queue = InMemoryCallQueue(clock)
    queue.send_later("same", MINUTE)
    queue.send_all(["same"])
    assert queue.take() == "same"
    with pytest.raises(IndexError):
        queue.take()
    clock.move(MINUTE)
    assert queue.take() == "same"
    assert queue.messages == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_source_fails_while_connecting_or_reading(n: int) -> None:
    source = InMemoryCdrSource([{"id": 1}])

    def read() -> int | None:
        with source.connect() as reader:
            reader.rows_after(None, 10)
            return reader.newest_id()

    source.fail_at(n, SourceUnavailable("gone"))
    with pytest.raises(SourceUnavailable):
        read()
    assert source.operations == ["connect", "rows_after", "newest_id"][:n]
    assert read() == 1


def test_a_lost_answer_hides_that_the_work_was_done() -> None:
    store = InMemoryCheckpointStore()
    store.fail_at(1, DOWN, answer_lost=True)
    with pytest.raises(StorageUnavailable):
        store.lease("first", NOW, MINUTE)
    with pytest.raises(LeaseHeld):
        store.lease("second", NOW, MINUTE)
    ledger = InMemoryLedger()
    ledger.fail_at(1, DOWN, answer_lost=True)
    with pytest.raises(StorageUnavailable):
        ledger.claim(KEY, 7, "{}", NOW, MINUTE)
    with pytest.raises(ClaimHeld):
        ledger.claim(KEY, 7, "{}", NOW, MINUTE)


def test_a_failure_that_is_no_lost_answer_leaves_everything_as_it_was() -> None:
    store = InMemoryCheckpointStore()
    lease = store.lease("first", NOW, MINUTE)
    store.fail_at(1, DOWN)
    with pytest.raises(StorageUnavailable):
        store.save(lease, Checkpoint(7), NOW, MINUTE)
    assert store.checkpoint is None
    store.save(lease, Checkpoint(7), NOW, MINUTE)


def test_an_api_can_lose_its_answer_or_never_be_reached() -> None:
    api = InMemoryCallApi()
    api.fail_at(1, ApiUnavailable("down"))
    api.fail_at(2, SubmissionUnknown("no answer"), answer_lost=True)
    for error in (ApiUnavailable, SubmissionUnknown):
        with pytest.raises(error):
            api.submit(make_call(), give_up_at=NOW)
    assert api.submitted == [make_call().pbx_call_id]
    assert api.submit(make_call(), give_up_at=NOW).earlier is True


def test_a_ledger_whose_settlement_failed_still_has_the_claim() -> None:
    ledger = InMemoryLedger()
    claim = ledger.claim(KEY, 7, "{}", NOW, MINUTE)
    assert not isinstance(claim, Settled)
    ledger.fail_at(1, DOWN)
    with pytest.raises(StorageUnavailable):
        ledger.give_back(claim, "why", NOW)
    assert ledger.records[KEY].claimed_until == NOW + MINUTE


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_what_is_missing_skips_a_test_and_in_ci_fails_it(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install it"):
        need("apt-get install it")
    need(None)
