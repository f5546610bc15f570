"""From the queue to the Call Logger: every call exactly once, or one record that says why not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import Accepted, Call, CallKey, Outcome, Settlement, State, Travels
from cdr.calls.message import decode_row, with_travels
from cdr.calls.rules import UNDATED
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.submit import SubmitPlan, Worker, delay_before_next, submit_call
from local.call_logger.store import CallLogger
from shared.clock import HandMovedClock
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
)
from tests.fakes.call_api import Asked, InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger, LedgerRecord
from tests.support.factories import ALICE, OUTSIDE, make_message, make_rules
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=3)
BUDGET = timedelta(minutes=2, seconds=30)
GIVE_UP_AFTER = timedelta(days=7)
SECOND = timedelta(seconds=1)
KEY = CallKey("2026-11-22", "0000017F-7-7")

pytestmark = pytest.mark.usefixtures("events")


class TroubledApi(InMemoryCallApi):
    """Fails as long as it has a trouble."""

    trouble: PipelineError | None = None

    def submit(self, call: Call, **how: Any) -> Accepted:
        if self.trouble:
            self.fail_at(1, self.trouble)
        return super().submit(call, **how)


def by_rules(worker: Worker, **changed: Any) -> Worker:
    return replace(worker, plan=replace(worker.plan, rules=make_rules(**changed)))


def record_of(worker: Worker, key: CallKey = KEY) -> LedgerRecord:
    return worker.ledger.records[key]


def travels_of(text: str) -> Travels:
    return decode_row(text).travels


def old_message(since: datetime, **changed: Any) -> str:
    return with_travels(make_message(**changed), Travels(times_put_back=40, since=since))


def deliver_all(worker: Worker) -> None:
    """What the host does: bring every visible message; one that fails stays."""
    for _ in range(len(worker.queue.visible)):
        text = worker.queue.take()
        try:
            submit_call(text, worker)
        except PipelineError:
            worker.queue.send_all([text])


# What becomes of a call


def test_a_call_is_submitted_and_recorded(worker: Worker, events: Events) -> None:
    assert submit_call(make_message(), worker) is Outcome.SUBMITTED
    (entry,) = worker.api.call_logger.entries
    assert (entry["pbxCallId"], entry["callOwnerEmail"]) == ("0000017F-7-7", ALICE)
    record = record_of(worker)
    assert (record.state, record.reason, record.entry_id) == (State.SUBMITTED, "created", entry["id"])
    assert (record.row_id, record.attempts, record.settled_at) == (7, 1, NOON)
    assert worker.queue.texts == []
    assert events.names == ["call.submitted"]
    assert events.only("call.submitted") == {
        "event": "call.submitted",
        "level": "INFO",
        "call": "0000017F-7-7",
        "row_id": 7,
        "attempts": 1,
        "reason": "created",
        "entry_id": entry["id"],
    }


def test_a_call_that_the_api_has_already_is_submitted(worker: Worker) -> None:
    submit_call(make_message(), worker)
    forgetful = replace(worker, ledger=InMemoryLedger())
    assert submit_call(make_message(), forgetful) is Outcome.SUBMITTED
    assert (record_of(forgetful).state, record_of(forgetful).reason) == (State.SUBMITTED, "known_before")
    assert worker.api.submitted == ["0000017F-7-7"]


def test_the_api_is_asked_with_patience_within_the_budget(worker: Worker) -> None:
    submit_call(make_message(), worker)
    assert worker.api.asked == [Asked(NOON + BUDGET, patient=True)]


def test_a_call_that_the_rules_do_not_want_is_skipped_with_its_reason(worker: Worker, events: Events) -> None:
    assert submit_call(make_message(answered=False), worker) is Outcome.SKIPPED
    assert worker.api.asked == []
    assert (record_of(worker).state, record_of(worker).reason) == (State.SKIPPED, "unanswered")
    assert record_of(worker).message == "", "nobody needs its row any more"
    assert events.only("call.skipped")["reason"] == "unanswered"


def test_a_row_that_makes_no_call_is_rejected_with_the_field_and_the_row(worker: Worker, events: Events) -> None:
    message = make_message(duration_s=-1)
    assert submit_call(message, worker) is Outcome.REJECTED
    assert worker.api.asked == []
    record = record_of(worker)
    assert (record.state, record.reason, record.detail) == (State.REJECTED, "invalid_row", "duration_s: is negative")
    assert record.message == message
    assert worker.queue.texts == []
    rejected = events.only("call.rejected")
    assert (rejected["level"], rejected["reason"]) == ("WARNING", "invalid_row")
    assert rejected["detail"] == "duration_s: is negative"


def test_a_call_of_an_extension_without_address_is_kept_for_a_replay(worker: Worker) -> None:
    message = make_message(extension="999")
    assert submit_call(message, worker) is Outcome.REJECTED
    assert record_of(worker).reason == "unmapped_extension"
    assert record_of(worker).message == message


def test_what_the_api_refuses_is_rejected_with_its_own_words(worker: Worker, events: Events) -> None:
    worker.api.fail_at(1, ApiRejected(f"the API answered 400: phoneNumber {OUTSIDE} must be shorter"))
    assert submit_call(make_message(), worker) is Outcome.REJECTED
    assert record_of(worker).reason == "refused_by_api"
    assert record_of(worker).detail == f"the API answered 400: phoneNumber {OUTSIDE} must be shorter"
    assert events.only("call.rejected")["detail"] == "the API answered 400: phoneNumber ***42 must be shorter"


# One call, one submission


def test_a_duplicate_of_a_submitted_call_does_nothing(worker: Worker, events: Events) -> None:
    submit_call(make_message(), worker)
    before = record_of(worker)
    assert submit_call(make_message(), worker) is Outcome.REPEATED
    assert len(worker.api.asked) == 1
    assert record_of(worker) == before
    assert worker.queue.texts == []
    assert events.names == ["call.submitted", "call.repeated"]


@pytest.mark.parametrize(
    ("at_first", "reason"),
    [({"include_unanswered": False}, "unanswered"), ({"include_unanswered": True, "emails": {}}, "unmapped_extension")],
    ids=["skipped", "rejected"],
)
def test_a_skipped_or_rejected_call_may_be_claimed_again(worker: Worker, at_first: dict[str, Any], reason: str) -> None:
    message = make_message(answered=False)
    submit_call(message, by_rules(worker, **at_first))
    assert record_of(worker).reason == reason
    assert submit_call(message, by_rules(worker, include_unanswered=True)) is Outcome.SUBMITTED
    assert record_of(worker).state is State.SUBMITTED
    assert record_of(worker).attempts == 2


def test_two_rows_with_the_same_key_make_one_entry_and_a_record_each(worker: Worker, events: Events) -> None:
    worker = by_rules(worker, pbx_call_id="{call_id}")
    assert submit_call(make_message(id=7), worker) is Outcome.SUBMITTED
    assert submit_call(make_message(id=8), worker) is Outcome.SKIPPED
    assert worker.api.submitted == ["0000017F-7"]
    assert {record.row_id: (record.state, record.reason) for record in worker.ledger.records.values()} == {
        7: (State.SUBMITTED, "created"),
        8: (State.SKIPPED, "same_pbx_call_id"),
    }
    skipped = events.only("call.skipped")
    assert (skipped["row_id"], skipped["reason"]) == (8, "same_pbx_call_id")


def test_a_second_row_of_a_key_may_come_again_and_the_first_one_too(worker: Worker) -> None:
    worker = by_rules(worker, pbx_call_id="{call_id}")
    outcomes = [submit_call(make_message(id=row_id), worker) for row_id in (7, 8, 8, 7)]
    assert outcomes == [Outcome.SUBMITTED, Outcome.SKIPPED, Outcome.SKIPPED, Outcome.REPEATED]
    assert len(worker.ledger.records) == 2


def test_a_row_that_is_not_logged_keeps_its_record_when_another_row_has_the_same_key(worker: Worker) -> None:
    worker = by_rules(worker, pbx_call_id="{call_id}")
    submit_call(make_message(id=7, answered=False), worker)
    submit_call(make_message(id=8), worker)
    assert {record.row_id: record.state for record in worker.ledger.records.values()} == {
        7: State.SKIPPED,
        8: State.SUBMITTED,
    }


def test_a_call_at_the_api_of_which_no_row_is_known_is_taken_for_this_one(worker: Worker) -> None:
    claim = worker.ledger.claim(KEY, 7, make_message(), NOON, LEASE)
    del worker.ledger.records[KEY]
    worker.ledger.settle(claim, Settlement(State.SUBMITTED, "created", entry_id="e-1"), NOON)
    assert submit_call(make_message(), worker) is Outcome.REPEATED
    assert list(worker.ledger.records) == [KEY]


def test_rows_of_one_key_are_one_call_on_both_sides_of_midnight(worker: Worker) -> None:
    worker = by_rules(worker, pbx_call_id="{call_id}")
    submit_call(make_message(id=7, ended_at="2026-11-22 23:59:00"), worker)
    submit_call(make_message(id=8, ended_at="2026-11-23 00:01:00"), worker)
    assert worker.api.submitted == ["0000017F-7"]


def test_workers_that_get_the_same_call_at_once_submit_it_once(worker: Worker) -> None:
    worker.api.call_logger = CallLogger(race_window_s=0.03)
    together = Barrier(6)

    def work(_: int) -> Outcome:
        together.wait(timeout=10)
        return submit_call(make_message(), worker)

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(work, range(6)))
    assert outcomes.count(Outcome.SUBMITTED) == 1
    assert set(outcomes) <= {Outcome.SUBMITTED, Outcome.PUT_BACK, Outcome.REPEATED}
    assert len(worker.api.submitted) == 1


# What cannot be submitted now is put back


def test_when_the_api_is_unavailable_the_claim_is_given_back_and_the_message_comes_again(
    worker: Worker, events: Events
) -> None:
    worker.api.fail_at(1, ApiUnavailable(f"the API answered 503 for {OUTSIDE}"))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    record = record_of(worker)
    assert (record.state, record.claimed_until) == (State.CLAIMED, NOON), "whoever gets the message may try at once"
    assert record.last_error == f"ApiUnavailable: the API answered 503 for {OUTSIDE}"
    (back,) = worker.queue.messages
    assert back.visible_at == NOON + 30 * SECOND
    assert travels_of(back.text) == Travels(times_put_back=1, since=NOON)
    assert events.names == ["call.put_back"]
    assert events.only("call.put_back") == {
        "event": "call.put_back",
        "level": "WARNING",
        "call": "0000017F-7-7",
        "row_id": 7,
        "error": "ApiUnavailable",
        "reason": "the API answered 503 for ***42",
        "times": 1,
        "delay_s": 30,
    }


def test_when_the_api_refuses_our_credentials_it_says_so_loudly_and_the_call_waits(
    worker: Worker, events: Events
) -> None:
    worker.api.fail_at(1, ApiDenied("api.auth: the API answered 401"))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    assert record_of(worker).claimed_until == NOON
    assert worker.queue.messages[0].visible_at == NOON + 30 * SECOND
    assert events.names == ["api.denied", "call.put_back"]
    denied = events.only("api.denied")
    assert (denied["level"], denied["reason"]) == ("ERROR", "api.auth: the API answered 401")


def test_refused_credentials_never_reject_a_call(worker: Worker) -> None:
    worker = replace(worker, api=TroubledApi())
    worker.api.trouble = ApiDenied("api.auth: the API answered 403")
    worker.queue.send_all([make_message()])
    while worker.clock.now() < NOON + timedelta(days=6):
        deliver_all(worker)
        assert record_of(worker).state is State.CLAIMED
        worker.clock.move(timedelta(hours=1))
    worker.api.trouble = None
    deliver_all(worker)
    assert worker.api.submitted == ["0000017F-7-7"]


def test_after_a_submission_without_answer_the_claim_stays_and_the_message_comes_after_its_lease(
    worker: Worker, events: Events
) -> None:
    worker.api.fail_at(1, SubmissionUnknown("no answer within 30 s"))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    assert record_of(worker).claimed_until == NOON + LEASE
    (back,) = worker.queue.messages
    assert back.visible_at == NOON + LEASE + 5 * SECOND
    assert events.names == ["call.unsettled"]
    assert events.only("call.unsettled")["delay_s"] == 185


@pytest.mark.parametrize("answer_lost", [True, False], ids=["it is in", "it never came in"])
def test_the_delivery_after_the_lease_finds_out_what_became_of_a_submission(
    worker: Worker, *, answer_lost: bool
) -> None:
    worker.api.fail_at(1, SubmissionUnknown("reset"), answer_lost=answer_lost)
    submit_call(make_message(), worker)
    worker.clock.move(LEASE + 5 * SECOND)
    assert submit_call(worker.queue.take(), worker) is Outcome.SUBMITTED
    assert record_of(worker).reason == ("known_before" if answer_lost else "created")
    assert worker.api.submitted == ["0000017F-7-7"]


def test_while_a_submission_is_unknown_a_duplicate_waits_for_the_end_of_its_lease(
    worker: Worker, events: Events
) -> None:
    worker.api.fail_at(1, SubmissionUnknown("reset"))
    submit_call(make_message(), worker)
    worker.clock.move(timedelta(minutes=1))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    assert len(worker.api.asked) == 1
    assert worker.queue.messages[1].visible_at == NOON + LEASE + 5 * SECOND
    held = events.only("call.put_back")
    assert (held["level"], held["error"]) == ("INFO", "ClaimHeld")


def test_a_claim_whose_worker_died_is_taken_over_after_its_lease(worker: Worker) -> None:
    worker.ledger.claim(KEY, 7, make_message(), NOON, LEASE)
    worker.clock.move(LEASE)
    assert submit_call(make_message(), worker) is Outcome.SUBMITTED
    assert record_of(worker).attempts == 2


def test_the_delay_doubles_from_thirty_seconds_to_five_minutes() -> None:
    delays = [delay_before_next(times, lambda: 0.0).total_seconds() for times in (0, 1, 2, 3, 4, 5, 10_000)]
    assert delays == [30, 60, 120, 240, 300, 300, 300]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_up_to_a_fifth_of_the_delay(times: int, drawn: float) -> None:
    longest = delay_before_next(times, lambda: 0.0)
    assert longest * 0.8 - timedelta(microseconds=1) <= delay_before_next(times, lambda: drawn) <= longest


def test_each_time_a_message_is_put_back_it_waits_longer_and_remembers_since_when(worker: Worker) -> None:
    worker = replace(worker, api=TroubledApi())
    worker.api.trouble = ApiUnavailable("503")
    worker.queue.send_all([make_message()])
    delays = []
    for times in range(1, 7):
        deliver_all(worker)
        (back,) = worker.queue.messages
        delays.append((back.visible_at - worker.clock.now()).total_seconds())
        assert travels_of(back.text) == Travels(times, NOON)
        worker.clock.move(back.visible_at - worker.clock.now())
    assert delays == [30, 60, 120, 240, 300, 300]


def test_a_message_that_is_put_back_keeps_its_row_and_where_it_was_replayed_from(worker: Worker) -> None:
    origin = CallKey(UNDATED, "row-7")
    message = with_travels(make_message(), Travels(replay_of=origin))
    worker.api.fail_at(1, ApiUnavailable("503"))
    submit_call(message, worker)
    back = decode_row(worker.queue.texts[0])
    assert back.travels == Travels(1, NOON, origin)
    assert back.values == decode_row(message).values


# A long outage


def test_while_the_api_is_known_to_be_down_others_are_put_back_without_asking_it(
    worker: Worker, events: Events
) -> None:
    worker.api.fail_at(1, ApiUnavailable("the API answered 503"))
    for row_id in (7, 8, 9):
        assert submit_call(make_message(id=row_id), worker) is Outcome.PUT_BACK
    assert len(worker.api.asked) == 1
    assert [record.claimed_until for record in worker.ledger.records.values()] == [NOON] * 3
    reasons = [event["reason"] for event in events.named("call.put_back")]
    assert reasons[1:] == ["the API is known to be down: the API answered 503"] * 2


def test_while_the_api_is_known_to_be_down_one_message_every_five_seconds_asks_once(worker: Worker) -> None:
    worker = replace(worker, api=TroubledApi())
    worker.api.trouble = ApiUnavailable("503")
    for n in range(61):  # half a minute, two messages a second
        submit_call(make_message(id=n), worker)
        worker.clock.sleep(0.5)
    assert [asked.patient for asked in worker.api.asked] == [True] + [False] * 6


@pytest.mark.parametrize(
    "error",
    [ApiUnavailable("503"), ApiDenied("401"), SubmissionUnknown("no answer")],
    ids=lambda error: type(error).__name__,
)
def test_each_failure_of_the_api_makes_the_others_wait(worker: Worker, error: PipelineError) -> None:
    worker.api.fail_at(1, error)
    submit_call(make_message(id=7), worker)
    assert submit_call(make_message(id=8), worker) is Outcome.PUT_BACK
    assert len(worker.api.asked) == 1


def test_the_first_success_opens_the_way_for_all(worker: Worker) -> None:
    worker.api.fail_at(1, ApiUnavailable("503"))
    submit_call(make_message(id=7), worker)
    worker.clock.move(5 * SECOND)
    assert [submit_call(make_message(id=n), worker) for n in (8, 9, 10)] == [Outcome.SUBMITTED] * 3


def test_an_api_that_refuses_a_call_is_there_for_the_others(worker: Worker) -> None:
    worker.api.fail_at(1, ApiUnavailable("503"))
    submit_call(make_message(id=7), worker)
    worker.clock.move(5 * SECOND)
    worker.api.fail_at(1, ApiRejected("the API answered 400"))
    assert submit_call(make_message(id=8), worker) is Outcome.REJECTED
    assert submit_call(make_message(id=9), worker) is Outcome.SUBMITTED


def test_what_needs_no_api_is_settled_while_it_is_down(worker: Worker) -> None:
    worker.api.fail_at(1, ApiUnavailable("503"))
    submit_call(make_message(id=7), worker)
    assert submit_call(make_message(id=8, answered=False), worker) is Outcome.SKIPPED
    assert submit_call(make_message(id=9, ended_at="never"), worker) is Outcome.REJECTED


def test_after_hours_of_outage_all_calls_get_in_within_five_minutes(worker: Worker) -> None:
    worker = replace(worker, api=TroubledApi())
    worker.api.trouble = ApiUnavailable("503")
    worker.queue.send_all([make_message(id=n, call_id=f"call-{n}") for n in range(30)])
    back_at = NOON + timedelta(hours=5)
    while worker.clock.now() < back_at:
        deliver_all(worker)
        worker.clock.sleep(1)
    assert 0 < len(worker.api.asked) <= timedelta(hours=5) / timedelta(seconds=5)
    worker.api.trouble = None
    while worker.queue.messages:
        deliver_all(worker)
        worker.clock.sleep(1)
    assert worker.clock.now() - back_at <= timedelta(minutes=5, seconds=1)
    assert sorted(worker.api.submitted) == sorted(f"call-{n}-{n}" for n in range(30))


# Giving up


def test_a_call_is_given_up_when_its_time_is_over_with_the_last_error(worker: Worker, events: Events) -> None:
    message = old_message(NOON - GIVE_UP_AFTER)
    worker.api.fail_at(1, ApiUnavailable(f"the API answered 503 for {OUTSIDE}"))
    assert submit_call(message, worker) is Outcome.REJECTED
    record = record_of(worker)
    assert (record.state, record.reason) == (State.REJECTED, "gave_up")
    assert "given up after 7 days" in record.detail
    assert f"ApiUnavailable: the API answered 503 for {OUTSIDE}" in record.detail
    assert record.message == message, "for a replay"
    assert worker.queue.texts == []
    rejected = events.only("call.rejected")
    assert (rejected["level"], rejected["reason"], rejected["row_id"]) == ("ERROR", "gave_up", 7)


def test_a_moment_before_that_it_is_put_back_once_more(worker: Worker) -> None:
    worker.api.fail_at(1, ApiUnavailable("503"))
    message = old_message(NOON - GIVE_UP_AFTER + SECOND)
    assert submit_call(message, worker) is Outcome.PUT_BACK
    assert travels_of(worker.queue.texts[0]) == Travels(41, NOON - GIVE_UP_AFTER + SECOND)


def test_a_call_that_gets_in_at_last_is_not_given_up(worker: Worker) -> None:
    assert submit_call(old_message(NOON - 2 * GIVE_UP_AFTER), worker) is Outcome.SUBMITTED


def test_a_call_that_is_given_up_unasked_says_what_was_wrong_with_the_api(worker: Worker) -> None:
    worker.api.fail_at(1, ApiDenied("api.auth: the API answered 401"))
    submit_call(make_message(id=8), worker)
    submit_call(old_message(NOON - GIVE_UP_AFTER), worker)
    assert record_of(worker).detail.endswith("the API is known to be down: api.auth: the API answered 401")


def test_a_call_that_another_worker_has_is_not_given_up(worker: Worker) -> None:
    worker.ledger.claim(KEY, 7, make_message(), NOON, LEASE)
    assert submit_call(old_message(NOON - GIVE_UP_AFTER), worker) is Outcome.PUT_BACK
    assert record_of(worker).claimed_until == NOON + LEASE


def test_storage_trouble_gives_no_call_up(worker: Worker) -> None:
    worker.ledger.fail_at(1, StorageUnavailable("503"))
    assert submit_call(old_message(NOON - GIVE_UP_AFTER), worker) is Outcome.PUT_BACK


def test_a_call_that_cannot_be_recorded_as_given_up_is_put_back(worker: Worker) -> None:
    worker.api.fail_at(1, ApiUnavailable("503"))
    worker.ledger.fail_at(3, StorageUnavailable("busy"))  # after claim and give_back
    assert submit_call(old_message(NOON - GIVE_UP_AFTER), worker) is Outcome.PUT_BACK
    assert len(worker.queue.texts) == 1


def test_what_is_at_the_api_by_another_delivery_is_not_given_up(worker: Worker) -> None:
    class OvertakenLedger(InMemoryLedger):
        def give_back(self, claim: Any, error: str, now: datetime) -> None:
            super().give_back(claim, error, now)
            self.settle(claim, Settlement(State.SUBMITTED, "created", entry_id="e-1"), now)

    worker = replace(worker, ledger=OvertakenLedger())
    worker.api.fail_at(1, ApiUnavailable("503"))
    assert submit_call(old_message(NOON - GIVE_UP_AFTER), worker) is Outcome.REPEATED
    assert record_of(worker).state is State.SUBMITTED


# Too many rejections at once


def test_past_the_limit_calls_are_put_back_instead_of_rejected_and_loudly(worker: Worker, events: Events) -> None:
    worker = replace(worker, rejections=RejectionLimit(2))
    messages = [make_message(id=n, extension="0142 555 0142") for n in range(4)]
    outcomes = [submit_call(message, worker) for message in messages]
    assert outcomes == [Outcome.REJECTED] * 2 + [Outcome.PUT_BACK] * 2
    assert [record.state for record in worker.ledger.records.values()] == ["rejected"] * 2 + ["claimed"] * 2
    assert {record.claimed_until for record in worker.ledger.records.values() if record.state == "claimed"} == {NOON}
    stopped = events.named("rejections.stopped")
    assert [event["level"] for event in stopped] == ["ERROR"] * 2
    assert stopped[0]["reason"].startswith("not rejected for now: extension ***42 has no address")


def test_what_the_api_refuses_counts_too_and_good_calls_pass(worker: Worker) -> None:
    worker = replace(worker, rejections=RejectionLimit(1))
    worker.api.fail_at(1, ApiRejected("400"))
    worker.api.fail_at(2, ApiRejected("400"))
    assert submit_call(make_message(id=1), worker) is Outcome.REJECTED
    assert submit_call(make_message(id=2), worker) is Outcome.PUT_BACK
    assert submit_call(make_message(id=3), worker) is Outcome.SUBMITTED
    assert submit_call(make_message(id=4, answered=False), worker) is Outcome.SKIPPED


def test_a_minute_later_calls_are_rejected_again(worker: Worker) -> None:
    worker = replace(worker, rejections=RejectionLimit(1))
    worker.queue.send_all([make_message(id=n, duration_s=-1) for n in range(3)])
    deliver_all(worker)
    worker.clock.move(timedelta(minutes=1))
    deliver_all(worker)
    assert [record.state for record in worker.ledger.records.values()] == ["rejected", "rejected", "claimed"]


def test_a_call_that_could_not_be_rejected_for_days_is_given_up_with_its_reason(worker: Worker) -> None:
    worker = replace(worker, rejections=RejectionLimit(0))
    submit_call(old_message(NOON - GIVE_UP_AFTER, duration_s=-1), worker)
    assert record_of(worker).reason == "gave_up"
    assert record_of(worker).detail.endswith("duration_s: is negative")


# Garbage

GARBAGE = [
    "",
    "no JSON",
    "[]",
    '{"version": 1}',
    '{"version": 2, "row": {"id": 7}}',
    '{"version": 1, "row": {"id": "seven"}}',
    '{"version": 1, "row": {"id": 7}, "travels": 3}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: text[:40] or "empty")
def test_garbage_is_recorded_with_its_text(worker: Worker, events: Events, text: str) -> None:
    text = text[:40_000]
    assert submit_call(text, worker) is Outcome.REJECTED
    ((key, record),) = worker.ledger.records.items()
    assert (record.state, record.reason, record.message) == (State.REJECTED, "invalid_message", text)
    assert (record.row_id, key.day) == (None, UNDATED)
    assert worker.queue.texts == []
    assert events.only("call.rejected")["call"] == key.name


def test_the_same_garbage_has_one_record_however_often_it_comes(worker: Worker) -> None:
    for _ in range(3):
        submit_call("no JSON", worker)
    submit_call("other garbage", worker)
    assert len(worker.ledger.records) == 2


def test_a_number_in_garbage_is_masked_in_the_log(worker: Worker, events: Events) -> None:
    submit_call(json.dumps({"version": OUTSIDE}), worker)
    assert "***42" in events.only("call.rejected")["detail"]


@pytest.mark.parametrize("hindrance", ["too many rejections", "no ledger"])
def test_garbage_that_cannot_be_recorded_now_is_put_back(worker: Worker, events: Events, hindrance: str) -> None:
    if hindrance == "no ledger":
        worker.ledger.fail_at(1, StorageUnavailable("503"))
    else:
        worker = replace(worker, rejections=RejectionLimit(0))
    assert submit_call("no JSON", worker) is Outcome.PUT_BACK
    (back,) = worker.queue.messages
    assert (back.text, back.visible_at) == ("no JSON", NOON + timedelta(minutes=5))
    assert events.only("call.put_back")["level"] == "ERROR"


@given(
    st.text(max_size=300)
    | st.builds(
        lambda row: json.dumps({"version": 1, "row": row}),
        st.dictionaries(
            st.sampled_from(["id", "call_id", "ended_at", "extension", "answered", "duration_s", "caller_number"]),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=20)
            | st.lists(st.integers(), max_size=2),
        ),
    )
)
def test_any_text_ends_in_the_ledger(text: str) -> None:
    clock = HandMovedClock(NOON)
    plan = SubmitPlan(make_rules(), LEASE, BUDGET, GIVE_UP_AFTER)
    ledger, api, queue = InMemoryLedger(), InMemoryCallApi(), InMemoryCallQueue(clock)
    submit_call(text, Worker(ledger, api, queue, clock, ApiWatch(), RejectionLimit(60), lambda: 0.0, plan))
    (record,) = ledger.records.values()
    assert record.state is not State.CLAIMED
    assert queue.texts == []


# Replayed calls


def test_a_replayed_call_that_stands_elsewhere_now_closes_its_old_record(worker: Worker) -> None:
    submit_call(make_message(extension="999"), worker)
    replayed = with_travels(record_of(worker).message, Travels(replay_of=KEY))
    by_call_id = by_rules(worker, pbx_call_id="{call_id}", emails={"999": ALICE})
    assert submit_call(replayed, by_call_id) is Outcome.SUBMITTED
    assert record_of(worker, CallKey(UNDATED, "0000017F-7")).state is State.SUBMITTED
    old = record_of(worker)
    assert (old.state, old.reason, old.detail) == (State.SKIPPED, "replayed", "replayed as 0000017F-7")


def test_a_replayed_call_that_stands_where_it_stood_is_settled_there(worker: Worker) -> None:
    submit_call(make_message(extension="999"), worker)
    replayed = with_travels(record_of(worker).message, Travels(replay_of=KEY))
    submit_call(replayed, by_rules(worker, emails={"999": ALICE}))
    assert {key: record.state for key, record in worker.ledger.records.items()} == {KEY: State.SUBMITTED}


def test_a_replayed_call_that_is_at_the_api_under_its_new_key_closes_its_old_record(worker: Worker) -> None:
    submit_call(make_message(), worker)
    old = CallKey(UNDATED, "row-7")
    worker.ledger.keep(old, 7, make_message(), Settlement(State.REJECTED, "invalid_row"), NOON)
    replayed = with_travels(make_message(), Travels(replay_of=old))
    assert submit_call(replayed, worker) is Outcome.REPEATED
    assert record_of(worker, old).state is State.SKIPPED


# Storage trouble


def test_without_the_ledger_the_message_is_put_back(worker: Worker, events: Events) -> None:
    worker.ledger.fail_at(1, StorageUnavailable("table CdrCalls: 503"))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    assert worker.api.asked == []
    assert worker.queue.messages[0].visible_at == NOON + 30 * SECOND
    put_back = events.only("call.put_back")
    assert (put_back["error"], put_back["reason"]) == ("StorageUnavailable", "table CdrCalls: 503")


def test_without_ledger_and_queue_it_raises_for_the_host_to_bring_the_message_again(worker: Worker) -> None:
    worker.ledger.fail_at(1, StorageUnavailable("503"))
    worker.queue.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        submit_call(make_message(), worker)
    assert worker.api.asked == []


def test_garbage_without_ledger_and_queue_raises_too(worker: Worker) -> None:
    worker.ledger.fail_at(1, StorageUnavailable("503"))
    worker.queue.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        submit_call("no JSON", worker)


def test_a_submission_that_could_not_be_recorded_is_found_by_the_next_delivery(worker: Worker) -> None:
    worker.ledger.fail_at(2, StorageUnavailable("503"))
    assert submit_call(make_message(), worker) is Outcome.PUT_BACK
    while worker.queue.messages:
        worker.clock.move(30 * SECOND)
        deliver_all(worker)
    assert worker.api.submitted == ["0000017F-7-7"]
    assert record_of(worker).reason == "known_before"


API_FAILURES = {
    "unavailable": (ApiUnavailable("503"), False),
    "denied": (ApiDenied("401"), False),
    "never came in": (SubmissionUnknown("reset"), False),
    "answer lost": (SubmissionUnknown("reset"), True),
    "fine": None,
}


@pytest.mark.parametrize("api_failure", API_FAILURES.values(), ids=API_FAILURES)
@pytest.mark.parametrize("answer_lost", [False, True], ids=["refused", "storage's answer lost"])
@pytest.mark.parametrize("part", ["ledger", "queue"])
def test_a_call_gets_in_once_whichever_operation_fails(
    worker: Worker, part: str, *, answer_lost: bool, api_failure: tuple[PipelineError, bool] | None
) -> None:
    for n in range(1, 7):
        clock = HandMovedClock(NOON)
        ledger, api, queue = InMemoryLedger(), InMemoryCallApi(), InMemoryCallQueue(clock)
        fresh = replace(worker, ledger=ledger, api=api, queue=queue, clock=clock, watch=ApiWatch())
        if api_failure:
            api.fail_at(1, api_failure[0], answer_lost=api_failure[1])
        queue.send_all([make_message()])
        {"ledger": ledger, "queue": queue}[part].fail_at(n, StorageUnavailable("503"), answer_lost=answer_lost)
        while queue.messages:
            with suppress(StorageUnavailable):
                deliver_all(fresh)
            clock.sleep(5)
        assert api.submitted == ["0000017F-7-7"], f"the {n}th operation of the {part} failed"
        assert {key: record.state for key, record in ledger.records.items()} == {KEY: State.SUBMITTED}
