"""What was rejected is listed, and comes back once its cause is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallKey, Outcome, Settlement, State, Travels
from cdr.calls.message import decode_row
from cdr.calls.rules import UNDATED
from cdr.operations.replay import UNDER_WAY_FOR, ReplayOutcome, list_rejected, replay
from cdr.submission.submit import Worker, submit_call
from shared.clock import HandMovedClock
from shared.errors import StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import ALICE, OUTSIDE, make_message, make_rules
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BUDGET = timedelta(seconds=120)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("events")


def replay_now(worker: Worker, **chosen: str) -> ReplayOutcome:
    return replay(ledger=worker.ledger, queue=worker.queue, clock=worker.clock, time_budget=BUDGET, **chosen)


def reject(worker: Worker, *ids: int, **columns: Any) -> None:
    """Nobody has extension 999; other columns make other reasons."""
    for row_id in ids:
        message = make_message(**{"id": row_id, "call_id": f"call-{row_id}", "extension": "999"} | columns)
        assert submit_call(message, worker) is Outcome.REJECTED


def mapped(worker: Worker) -> Worker:
    return replace(worker, plan=replace(worker.plan, rules=make_rules(emails={"999": ALICE})))


def work(worker: Worker) -> list[Outcome]:
    return [submit_call(worker.queue.take(), worker) for _ in range(len(worker.queue.visible))]


def queued_ids(worker: Worker) -> list[int]:
    return sorted(decode_row(text).id for text in worker.queue.texts)


# Replay


def test_rejected_calls_are_logged_once_the_configuration_is_mended(worker: Worker, events: Events) -> None:
    reject(worker, 1, 2, 3)
    assert replay_now(worker) == ReplayOutcome(queued=3, under_way=0, complete=True)
    assert work(mapped(worker)) == [Outcome.SUBMITTED] * 3
    assert worker.api.submitted == ["call-1-1", "call-2-2", "call-3-3"]
    assert {record.state for record in worker.ledger.records.values()} == {State.SUBMITTED}
    assert events.only("replay.finished") == {
        "event": "replay.finished",
        "level": "INFO",
        "queued": 3,
        "under_way": 0,
        "complete": True,
    }


def test_nothing_but_rejected_calls_is_replayed(worker: Worker) -> None:
    submit_call(make_message(id=1), worker)
    submit_call(make_message(id=2, answered=False), worker)
    worker.ledger.claim(CallKey("2026-11-22", "call-3"), 3, make_message(id=3), NOON, BUDGET)
    assert replay_now(worker).queued == 0
    assert worker.queue.texts == []


def test_calls_can_be_chosen_by_their_reason(worker: Worker, events: Events) -> None:
    reject(worker, 1, 2)
    reject(worker, 3, duration_s=-1, extension="101")
    assert replay_now(worker, reason="unmapped_extension").queued == 2
    assert queued_ids(worker) == [1, 2]
    assert events.only("replay.finished")["reason"] == "unmapped_extension"


def test_one_call_can_be_chosen_by_its_name(worker: Worker) -> None:
    reject(worker, 1, 2)
    assert replay_now(worker, call="call-2-2").queued == 1
    assert queued_ids(worker) == [2]


def test_a_call_that_nobody_knows_is_no_error(worker: Worker) -> None:
    reject(worker, 1)
    assert replay_now(worker, call="call-9-9") == ReplayOutcome(queued=0, under_way=0, complete=True)


def test_a_replayed_call_begins_its_travels_anew_and_remembers_where_it_stood(worker: Worker) -> None:
    reject(worker, 1)
    replay_now(worker)
    (text,) = worker.queue.texts
    assert decode_row(text).travels == Travels(0, None, CallKey("2026-11-22", "call-1-1"))


def test_a_call_that_was_given_up_gets_its_whole_time_again(worker: Worker) -> None:
    key = CallKey("2026-11-22", "0000017F-7-7")
    worker.ledger.keep(key, 7, make_message(), Settlement(State.REJECTED, "gave_up", "after 7 days"), NOON)
    replay_now(worker, reason="gave_up")
    assert work(worker) == [Outcome.SUBMITTED]


def test_garbage_is_replayed_as_it_is_and_stays_one_record(worker: Worker) -> None:
    submit_call("no JSON", worker)
    assert replay_now(worker).queued == 1
    assert worker.queue.texts == ["no JSON"]
    work(worker)
    assert len(worker.ledger.records) == 1


def test_repeating_a_replay_queues_nothing_twice(worker: Worker) -> None:
    reject(worker, 1, 2)
    replay_now(worker)
    assert replay_now(worker) == ReplayOutcome(queued=0, under_way=2, complete=True)
    assert len(worker.queue.texts) == 2


def test_a_call_that_was_rejected_again_may_be_replayed_again_at_once(worker: Worker) -> None:
    reject(worker, 1)
    worker.clock.move(SECOND)
    replay_now(worker)
    worker.clock.move(SECOND)
    assert work(worker) == [Outcome.REJECTED]
    assert replay_now(worker).queued == 1


def test_a_replayed_call_whose_message_got_lost_may_be_replayed_again_after_a_while(worker: Worker) -> None:
    reject(worker, 1)
    replay_now(worker)
    worker.queue.take()
    worker.clock.move(UNDER_WAY_FOR - SECOND)
    assert replay_now(worker).under_way == 1
    worker.clock.move(SECOND)
    assert replay_now(worker).queued == 1


def test_replaying_twice_at_once_logs_each_call_once(worker: Worker) -> None:
    reject(worker, 1)
    replay_now(worker)
    worker.queue.send_all(list(worker.queue.texts))
    assert work(mapped(worker)) == [Outcome.SUBMITTED, Outcome.REPEATED]
    assert worker.api.submitted == ["call-1-1"]


def test_a_call_that_is_settled_while_the_replay_runs_is_left_out(worker: Worker) -> None:
    class BusyLedger(InMemoryLedger):
        def message(self, key: CallKey) -> str:
            self.keep(key, 1, "", Settlement(State.SKIPPED, "replayed"), NOON)
            return super().message(key)

    worker = replace(worker, ledger=BusyLedger())
    reject(worker, 1)
    assert replay_now(worker).queued == 0
    assert worker.queue.texts == []


class SlowQueue(InMemoryCallQueue):
    """Takes half of a replay's time for each message."""

    def send_all(self, messages: Any) -> None:
        super().send_all(messages)
        self._clock.sleep(BUDGET.total_seconds() / 2)


def test_a_replay_whose_time_is_over_says_so_and_the_next_one_goes_on(worker: Worker, events: Events) -> None:
    worker = replace(worker, queue=SlowQueue(worker.clock))
    reject(worker, 1, 2, 3, 4, 5)
    assert replay_now(worker) == ReplayOutcome(queued=2, under_way=0, complete=False)
    assert replay_now(worker) == ReplayOutcome(queued=2, under_way=2, complete=False)
    assert replay_now(worker) == ReplayOutcome(queued=1, under_way=4, complete=True)
    assert queued_ids(worker) == [1, 2, 3, 4, 5]
    assert [event["complete"] for event in events.named("replay.finished")] == [False, False, True]


def test_a_replay_that_fails_halfway_can_be_repeated(worker: Worker) -> None:
    reject(worker, 1, 2, 3)
    worker.queue.fail_at(3, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        replay_now(worker)
    assert replay_now(worker) == ReplayOutcome(queued=1, under_way=2, complete=True)
    assert queued_ids(worker) == [1, 2, 3]


def test_a_replay_that_could_not_be_noted_queues_a_duplicate_that_does_no_harm(worker: Worker) -> None:
    reject(worker, 1)
    worker.ledger.fail_at(3, StorageUnavailable("503"))  # after rejected and message
    with pytest.raises(StorageUnavailable):
        replay_now(worker)
    assert replay_now(worker).queued == 1
    assert work(mapped(worker)) == [Outcome.SUBMITTED, Outcome.REPEATED]


# The list of what was rejected


def names_of(page: list[dict[str, Any]]) -> list[str]:
    return [call["call"] for call in page]


def test_rejected_calls_are_listed_newest_first(worker: Worker) -> None:
    for row_id in (1, 2, 3):
        reject(worker, row_id)
        worker.clock.move(SECOND)
    page = list_rejected(worker.ledger, after=None, limit=10, reveal=False)
    assert names_of(page.calls) == ["call-3-3", "call-2-2", "call-1-1"]
    assert page.next is None


def test_each_says_why_and_when_and_shows_its_row_with_masked_numbers(worker: Worker) -> None:
    reject(worker, 1)
    worker.clock.move(SECOND)
    replay_now(worker)
    (call,) = list_rejected(worker.ledger, after=None, limit=10, reveal=False).calls
    row = call.pop("row")
    assert call == {
        "call": "call-1-1",
        "reason": "unmapped_extension",
        "detail": "extension 999 has no address in extension_mapping",
        "rejected_at": "2026-11-22T12:00:00+00:00",
        "replayed_at": "2026-11-22T12:00:01+00:00",
    }
    assert (row["caller_number"], row["dest_number"], row["extension"]) == ("***42", "***", "999")
    assert row["ended_at"] == "2026-11-22T10:01:30"


def test_numbers_are_shown_only_on_demand_wherever_they_stand(worker: Worker) -> None:
    reject(worker, 1, extension=OUTSIDE, hangup_cause=f"transferred to {OUTSIDE}")
    submit_call(f"garbage about {OUTSIDE}", worker)
    assert "0142" not in str(list_rejected(worker.ledger, after=None, limit=10, reveal=False))
    calls = list_rejected(worker.ledger, after=None, limit=10, reveal=True).calls
    call, garbage = sorted(calls, key=lambda call: call["call"])
    assert (call["row"]["caller_number"], call["row"]["extension"]) == (OUTSIDE, OUTSIDE)
    assert OUTSIDE in call["detail"]
    assert garbage["row"] == f"garbage about {OUTSIDE}"


def test_garbage_is_listed_with_its_text(worker: Worker) -> None:
    submit_call("no JSON", worker)
    (call,) = list_rejected(worker.ledger, after=None, limit=10, reveal=False).calls
    assert (call["reason"], call["detail"]) == ("invalid_message", "the message is not JSON")
    assert call["row"] == "no JSON"


def test_an_empty_list_is_one_empty_page(ledger: InMemoryLedger) -> None:
    page = list_rejected(ledger, after=None, limit=10, reveal=False)
    assert (page.calls, page.next) == ([], None)


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 5))
def test_pages_are_complete_and_repeat_nothing(seconds: list[int], limit: int) -> None:
    ledger, clock = InMemoryLedger(), HandMovedClock(NOON)
    for n, pause in enumerate(seconds):
        clock.sleep(pause)
        key = CallKey(UNDATED if n % 3 else "2026-11-22", f"call {n}")
        ledger.keep(key, n, make_message(id=n), Settlement(State.REJECTED, "because"), clock.now())
    listed, pages, after = [], 0, None
    while after is not None or pages == 0:
        page = list_rejected(ledger, after=after, limit=limit, reveal=False)
        listed += page.calls
        pages, after = pages + 1, page.next
        assert len(page.calls) <= limit
    assert sorted(names_of(listed)) == sorted(f"call {n}" for n in range(len(seconds)))
    assert [call["rejected_at"] for call in listed] == sorted((c["rejected_at"] for c in listed), reverse=True)
    assert pages == max(1, -(-len(seconds) // limit))


def test_what_is_rejected_between_two_pages_pushes_nothing_off_the_next_one(worker: Worker) -> None:
    for row_id in range(4):
        reject(worker, row_id)
        worker.clock.move(SECOND)
    first = list_rejected(worker.ledger, after=None, limit=2, reveal=False)
    reject(worker, 9)
    second = list_rejected(worker.ledger, after=first.next, limit=2, reveal=False)
    assert names_of(first.calls + second.calls) == ["call-3-3", "call-2-2", "call-1-1", "call-0-0"]
