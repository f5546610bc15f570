"""What only the fakes can do: fail at a chosen operation, and show what happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdr.intake.ports import StoredPosition
from shared.errors import ApiUnavailable, LeaseHeld, SourceUnavailable, StorageUnavailable, SubmissionUnknown
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryRowTable
from tests.support.factories import make_call, make_message
from tests.support.requirements import need

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DOWN = StorageUnavailable("the line is dead")
LETTERS = [make_message(id=number) for number in range(4)]


def test_a_queue_fails_at_the_chosen_message_and_keeps_the_ones_before_it(clock: HandMovedClock) -> None:
    queue = InMemoryCallQueue(clock)
    queue.send_all(LETTERS[:1])
    queue.fail_at(3, DOWN)
    queue.depth()
    with pytest.raises(StorageUnavailable):
        queue.send_all(LETTERS[1:])
    assert queue.letters == LETTERS[:2]
    assert queue.operations == ["put", "depth", "put", "put"]
    queue.send_all(LETTERS[2:])
    assert queue.letters == LETTERS


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_table_fails_while_connecting_or_reading(n: int) -> None:
    table = InMemoryRowTable([{"id": 1}])

    def read() -> int | None:
        with table.connect() as rows:
            rows.rows_after(None, 10)
            return rows.newest_id()

    table.fail_at(n, SourceUnavailable("gone"))
    with pytest.raises(SourceUnavailable):
        read()
    assert table.operations == ["connect", "rows_after", "newest_id"][:n]
    assert read() == 1


def test_a_failure_leaves_everything_as_it_was_unless_only_its_answer_is_lost() -> None:
    store = InMemoryPositionStore()
    lease = store.lease("first", NOW, MINUTE)
    store.fail_at(1, DOWN)
    store.fail_at(2, DOWN, answer_lost=True)
    seven = StoredPosition("calllog", "7")
    for stored in (None, seven):
        with pytest.raises(StorageUnavailable):
            store.save(lease, seven, NOW, MINUTE)
        assert store.stored == stored
    with pytest.raises(LeaseHeld):
        store.lease("second", NOW, MINUTE)


def test_an_api_can_lose_its_answer_or_never_be_reached() -> None:
    api = InMemoryCallApi()
    api.fail_at(1, ApiUnavailable("down"))
    api.fail_at(2, SubmissionUnknown("no answer"), answer_lost=True)
    for error in (ApiUnavailable, SubmissionUnknown):
        with pytest.raises(error):
            api.submit(make_call(), give_up_at=NOW)
    assert api.submitted == [make_call().pbx_call_id]
    assert api.submit(make_call(), give_up_at=NOW).earlier is True


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_what_is_missing_skips_a_test_and_in_ci_fails_it(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install it"):
        need("apt-get install it")
    need(None)
