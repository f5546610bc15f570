"""From the queue to the Call Logger: every call exactly once, or one record that says why not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.email_addresses import Addresses
from cdr.submission.submit import DELIVERIES_TOGETHER, TRIES_APART, Outcome
from local.call_logger.store import CallLogger
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiRejected,
    ApiUnavailable,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
    TakenElsewhere,
)
from tests.fakes.call_api import Asked, InMemoryCallApi
from tests.fakes.directory import InMemoryPhoneBookStore
from tests.fakes.ledger import InMemoryLedger, LedgerRecord
from tests.support.events import Events
from tests.support.factories import ALICE, OUTSIDE, make_job, make_message
from tests.support.workshop import GIVE_UP_AFTER, KEY, NOON, TIMES, Workshop

SECOND = timedelta(seconds=1)
LEASE, LONGEST_DELAY = TIMES.claim_lease, TIMES.longest_delay
DOWN = StorageUnavailable("table CdrCalls: 503")
NOT_REACHED = ApiUnavailable(f"the API answered 503 for {OUTSIDE}")

pytestmark = pytest.mark.usefixtures("events")


def old_message(age: timedelta = GIVE_UP_AFTER, **changed: Any) -> Message:
    return replace(make_message(**changed), tries=40, first_tried_at=NOON - age)


# What becomes of a call

ABOUT = {"call": "0000017F-7-7", "row_id": 7, "extension": "101", "direction": "INBOUND"}
ABOUT |= {"ended_at": "2026-11-22T10:01:30+00:00", "waited_s": 2 * 3_600 - 90}
ASKED = {"tries": 1, "api_ms": 0}

REFUSED = f"the API answered 400: phoneNumber {OUTSIDE} must be shorter"
UNMAPPED = "extension 999 has no address in extension_mapping"
CASES: dict[str, tuple[dict[str, Any], PipelineError | None, Outcome, str, str]] = {
    "submitted": ({}, None, Outcome.SUBMITTED, "created", ""),
    "not wanted": ({"answered": False}, None, Outcome.SKIPPED, "unanswered", ""),
    "no call": ({"duration_s": -1}, None, Outcome.REJECTED, "invalid_row", "duration_s: is negative"),
    "nobody's": ({"extension": "999"}, None, Outcome.REJECTED, "unmapped_extension", UNMAPPED),
    "refused": ({}, ApiRejected(REFUSED), Outcome.REJECTED, "refused_by_api", REFUSED),
}
"""A row, what the API does to it, and what comes of it: the reason, and the detail."""


@pytest.mark.parametrize(("row", "failure", "outcome", "reason", "detail"), CASES.values(), ids=CASES)
def test_a_call_ends_with_one_record_and_one_line_that_say_what_became_of_it(
    shop: Workshop,
    events: Events,
    *,
    row: dict[str, Any],
    failure: PipelineError | None,
    outcome: Outcome,
    reason: str,
    detail: str,
) -> None:
    if failure:
        shop.api.fail_at(1, failure)
    message, is_rejected = make_message(**row), outcome is Outcome.REJECTED
    assert shop.submit(message) is outcome
    record, entries = shop.record(), shop.api.call_logger.entries
    assert record == LedgerRecord(
        State(outcome.value),
        "7",
        message.to_text() if is_rejected else "",  # only for a replay
        attempts=1,
        claimed_until=NOON + LEASE,
        reason=reason,
        detail=detail,
        entry_id=entries[0]["id"] if entries else None,
        settled_at=NOON,
        extension=row["extension"] if reason == "unmapped_extension" else None,
    )
    assert shop.queue.texts == []
    assert shop.api.asked == ([Asked(NOON + TIMES.submit_budget, patient=True)] if failure or entries else [])
    told = ABOUT | {"attempts": 1, "reason": reason, "entry_id": record.entry_id}
    told |= {"extension": row.get("extension", "101"), "detail": detail.replace(OUTSIDE, "***42")}
    told |= {"event": f"call.{outcome}", "level": "WARNING" if is_rejected else "INFO"}
    asked = ASKED if shop.api.asked else {}
    assert events.only(f"call.{outcome}") == {k: v for k, v in told.items() if v} | asked
    assert len(events.names) == 1


# One call, one submission


def test_a_duplicate_of_a_submitted_call_does_nothing(shop: Workshop, events: Events) -> None:
    shop.submit_row()
    before = shop.record()
    assert shop.submit_row() is Outcome.REPEATED
    assert (len(shop.api.asked), shop.record(), shop.queue.texts) == (1, before, [])
    assert events.names == ["call.submitted", "call.repeated"]


def test_a_call_that_only_the_api_knows_is_submitted(shop: Workshop) -> None:
    shop.submit_row()
    shop.ledger.records.clear()
    assert shop.submit_row() is Outcome.SUBMITTED
    assert (shop.record().reason, shop.api.submitted) == ("known_before", ["0000017F-7-7"])


def test_two_rows_with_the_same_key_make_one_entry_and_a_record_each_however_often_they_come(
    shop: Workshop, events: Events
) -> None:
    shop.go_by(pbx_call_id="{call_id}")
    ends = {7: "2026-11-22 23:59:00", 8: "2026-11-23 00:01:00"}
    outcomes = [shop.submit_row(id=row_id, ended_at=ends[row_id]) for row_id in (7, 8, 8, 7)]
    assert outcomes == [Outcome.SUBMITTED, Outcome.SKIPPED, Outcome.SKIPPED, Outcome.REPEATED]
    assert (shop.api.submitted, shop.states) == (["0000017F-7"], {"7": "submitted", "8": "skipped"})
    skipped = events.named("call.skipped")[0]
    assert (skipped["row_id"], skipped["extension"], skipped["reason"]) == (8, "101", "same_pbx_call_id")


def test_a_row_whose_own_record_cannot_be_written_comes_again(shop: Workshop) -> None:
    shop.go_by(pbx_call_id="{call_id}")
    shop.submit_row(id=7)
    shop.ledger.fail_at(2, DOWN)
    assert shop.submit_row(id=8) is Outcome.PUT_BACK
    shop.clock.move(30 * SECOND)
    assert shop.deliver_visible() == [Outcome.SKIPPED]


def test_a_call_at_the_api_of_which_no_row_is_known_is_taken_for_this_one(shop: Workshop) -> None:
    (claim,) = shop.ledger.claim([make_job()], NOON, LEASE)
    shop.ledger.records.clear()
    shop.ledger.settle([(claim, Settlement(State.SUBMITTED, Reason.CREATED))], NOON)
    assert shop.submit_row() is Outcome.REPEATED
    assert list(shop.ledger.records) == [KEY]


def test_workers_that_get_the_same_call_at_once_submit_it_once(shop: Workshop) -> None:
    shop.api.call_logger = CallLogger(race_window_s=0.03)
    together = Barrier(6)

    def work(_: int) -> Outcome:
        together.wait(timeout=10)
        return shop.submit_row()

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(work, range(6)))
    assert outcomes.count(Outcome.SUBMITTED) == 1
    assert set(outcomes) <= {Outcome.SUBMITTED, Outcome.PUT_BACK, Outcome.REPEATED}
    assert shop.api.submitted == ["0000017F-7-7"]


# What cannot be settled now is put back


def failing(error: PipelineError) -> Callable[[Workshop], object]:
    return lambda shop: shop.api.fail_at(1, error)


AT_ONCE, PUT_BACK = timedelta(), ("call.put_back",)
HINDERED: dict[str, tuple[Callable[[Workshop], object], str, timedelta | None, float, tuple[str, ...]]] = {
    "not reached": (failing(NOT_REACHED), "ApiUnavailable", AT_ONCE, 30, PUT_BACK),
    "failed": (failing(ApiFailed("500")), "ApiFailed", AT_ONCE, 30, PUT_BACK),
    "asked to wait": (failing(ApiUnavailable("429", 70 * SECOND)), "ApiUnavailable", AT_ONCE, 70, PUT_BACK),
    "denied": (failing(ApiDenied("401")), "ApiDenied", AT_ONCE, 30, ("api.denied", *PUT_BACK)),
    "no answer": (failing(SubmissionUnknown("reset")), "SubmissionUnknown", LEASE, 185, ("call.unsettled",)),
    "taken elsewhere": (
        failing(TakenElsewhere("202")),
        "TakenElsewhere",
        LEASE,
        185,
        ("api.denied", "call.unsettled"),
    ),
    "in hand": (lambda shop: shop.ledger.claim([make_job()], NOON, LEASE), "Held", LEASE, 185, PUT_BACK),
    "no ledger": (lambda shop: shop.ledger.fail_at(1, DOWN), "StorageUnavailable", None, 30, PUT_BACK),
    "cannot be settled": (lambda shop: shop.ledger.fail_at(2, DOWN), "StorageUnavailable", LEASE, 30, PUT_BACK),
}
"""What stands in a call's way, for how long its claim goes on, and its message waits."""


@pytest.mark.parametrize(("hinder", "error", "claimed_for", "delay_s", "names"), HINDERED.values(), ids=HINDERED)
def test_the_claim_is_free_at_once_unless_the_call_may_be_on_its_way_and_the_message_comes_again(
    shop: Workshop,
    events: Events,
    *,
    hinder: Callable[[Workshop], object],
    error: str,
    claimed_for: timedelta | None,
    delay_s: float,
    names: tuple[str, ...],
) -> None:
    hinder(shop)
    assert shop.submit_row() is Outcome.PUT_BACK
    claimed = [record.claimed_until - NOON for record in shop.ledger.records.values() if record.state is State.CLAIMED]
    assert claimed == ([claimed_for] if claimed_for is not None else [])
    (back,) = shop.queue.messages
    assert back.visible_at - NOON == delay_s * SECOND
    assert shop.queue.letters == [replace(make_message(), tries=1, first_tried_at=NOON)]
    assert tuple(events.names) == names
    line = events.only(names[-1])
    assert (line["error"], line["delay_s"], line["level"]) == (error, delay_s, "INFO" if error == "Held" else "WARNING")
    assert [event["level"] for event in events.named("api.denied")] == ["ERROR"] * (len(names) - 1)


def test_one_verdict_decides_when_a_call_comes_again_and_its_line_says_so(events: Events) -> None:
    shop = Workshop(random=iter([0.5]).__next__)
    shop.api.fail_at(1, NOT_REACHED)
    shop.submit_row(call_group_id="800")
    assert events.only("call.put_back") == {
        **ABOUT,
        **ASKED,
        "event": "call.put_back",
        "level": "WARNING",
        "group": "800",
        "error": "ApiUnavailable",
        "reason": "the API answered 503 for ***42",
        "times": 1,
        "delay_s": 27,
    }
    assert shop.record().last_error == f"ApiUnavailable: the API answered 503 for {OUTSIDE}"


def test_an_outside_number_in_the_place_of_an_extension_or_a_group_is_masked(shop: Workshop, events: Events) -> None:
    shop.submit_row(extension="19075550142", call_group_id=OUTSIDE)
    rejected = events.only("call.rejected")
    assert (rejected["extension"], rejected["group"]) == ("***42", "***42")


@pytest.mark.parametrize("answer_lost", [True, False], ids=["it is in", "it never came in"])
def test_the_delivery_after_the_lease_finds_out_what_became_of_a_submission(
    shop: Workshop, *, answer_lost: bool
) -> None:
    shop.api.fail_at(1, SubmissionUnknown("reset"), answer_lost=answer_lost)
    shop.submit_row()
    shop.clock.move(LEASE + 5 * SECOND)
    assert shop.deliver_visible() == [Outcome.SUBMITTED]
    assert shop.record().reason == ("known_before" if answer_lost else "created")
    assert shop.api.submitted == ["0000017F-7-7"]


LATEST_START = TIMES.submit_budget - TIMES.longest_attempt


@pytest.mark.parametrize(
    ("takes", "outcome"),
    [
        pytest.param(LATEST_START, Outcome.SUBMITTED, id="an attempt still fits into the budget"),
        pytest.param(LATEST_START + SECOND, Outcome.PUT_BACK, id="it does not"),
        pytest.param(LEASE + SECOND, Outcome.PUT_BACK, id="past the end of the lease"),
    ],
)
def test_a_call_whose_claim_took_too_long_is_put_back_instead_of_submitted(takes: timedelta, outcome: Outcome) -> None:
    class SlowLedger(InMemoryLedger):
        def claim(self, *asked: Any) -> Any:
            answers = super().claim(*asked)
            shop.clock.move(takes)
            return answers

    shop = Workshop(ledger=SlowLedger())
    assert shop.submit_row() is outcome
    assert len(shop.api.asked) == (outcome is Outcome.SUBMITTED)
    if outcome is Outcome.PUT_BACK:
        assert shop.record().claimed_until <= shop.clock.now(), "given back, for whoever gets the message next"
        assert not shop.worker.api_breaker.is_down(shop.clock.now()), "the API has nothing to do with it"
        assert shop.queue.messages[0].visible_at - shop.clock.now() == 30 * SECOND, "storage gets a rest"


@pytest.mark.parametrize(
    ("takes", "known", "asks"),
    [
        (LATEST_START, "nothing", True),
        (LATEST_START + SECOND, "nothing", False),
        (timedelta(), "down", False),
        (timedelta(), "took a call a moment ago", False),
    ],
    ids=["nothing speaks against it", "there is no time left", "it is known to be down", "it is known to be well"],
)
def test_a_failure_makes_us_ask_how_the_api_is_if(takes: timedelta, known: str, *, asks: bool) -> None:
    class FailingApi(InMemoryCallApi):
        def submit(self, *_: Any, **__: Any) -> Any:
            shop.clock.move(takes)
            raise ApiFailed("the API answered 500")

    shop = Workshop(api=FailingApi())
    if known == "down":
        shop.worker.api_breaker.failed(NOON - 60 * SECOND, "not reached")
    elif known != "nothing":
        shop.worker.api_breaker.succeeded(NOON - 30 * SECOND)
    assert shop.submit_row() is Outcome.PUT_BACK
    assert shop.api.operations == ["check_health"] * asks


def test_an_api_that_asks_for_a_pause_where_it_is_asked_how_it_is_gets_it(shop: Workshop) -> None:
    shop.api.fail_at(1, ApiFailed("the API answered 500"))
    shop.api.fail_at(2, ApiUnavailable("the API answered 429", timedelta(minutes=10)))
    assert shop.submit_row() is Outcome.PUT_BACK
    breaker = shop.worker.api_breaker
    assert [breaker.may_try(NOON + n * timedelta(minutes=1)) for n in (1, 9, 10)] == [False, False, True]


# While nobody knows whose extension it is


def test_calls_of_unknown_extensions_wait_for_a_phone_book_that_was_never_read_and_others_do_not(
    shop: Workshop, events: Events
) -> None:
    store = InMemoryPhoneBookStore()
    shop.worker = replace(shop.worker, addresses=Addresses({"101": ALICE}, shop.clock, origin="pbx", store=store))
    store.fail_at(1, DOWN)
    assert [shop.submit_row(id=n, extension=e) for n, e in ((1, "101"), (2, "102"))] == [
        Outcome.SUBMITTED,
        Outcome.PUT_BACK,
    ]
    put_back = events.only("call.put_back")
    assert (put_back["error"], put_back["delay_s"]) == ("PhoneBookUnread", 30)
    store.kept = KeptPhoneBook("pbx", NOON, PhoneBook({"102": "bob@example.com"}))
    shop.clock.move(30 * SECOND)
    assert shop.deliver_visible() == [Outcome.SUBMITTED]
    assert [entry["callOwnerEmail"] for entry in shop.api.call_logger.entries] == [ALICE, "bob@example.com"]


def test_a_call_that_waited_in_vain_is_one_whose_extension_is_unmapped(shop: Workshop) -> None:
    addresses = Addresses({}, shop.clock, origin="pbx", store=InMemoryPhoneBookStore())
    shop.worker = replace(shop.worker, addresses=addresses)
    assert shop.submit(old_message(extension="102")) is Outcome.REJECTED
    record = shop.record()
    assert (record.reason, record.extension) == ("unmapped_extension", "102")
    assert record.detail.startswith("given up after 7 days, 0:00:00; last: PhoneBookUnread: extension 102 ")


# While the API is down


@pytest.mark.parametrize(
    ("error", "times", "outcome"),
    [
        (NOT_REACHED, 1, Outcome.PUT_BACK),
        (ApiDenied("403"), 4, Outcome.SUBMITTED),
        (ApiDenied("401"), 5, Outcome.PUT_BACK),
        (ApiFailed("500"), 4, Outcome.SUBMITTED),
        (ApiFailed("500"), 5, Outcome.PUT_BACK),
        (SubmissionUnknown("no answer"), 4, Outcome.SUBMITTED),
        (SubmissionUnknown("no answer"), 5, Outcome.PUT_BACK),
        (ApiRejected("400"), 5, Outcome.SUBMITTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PipelineError) else None,
)
def test_others_wait_when_the_api_is_not_there_but_not_while_it_fails_at_few_calls(
    shop: Workshop, events: Events, *, error: PipelineError, times: int, outcome: Outcome
) -> None:
    for n in range(times):
        shop.api.fail_at(1, error)
        shop.submit_row(id=100 + n)
    assert shop.submit_row() is outcome
    if outcome is Outcome.PUT_BACK:
        assert len(shop.api.asked) == times
        assert shop.record().claimed_until == NOON
        assert events.named("call.put_back")[-1]["reason"].startswith("the API is known to be down: ")


def test_one_message_every_five_seconds_asks_once_and_the_first_success_opens_the_way(shop: Workshop) -> None:
    for n in range(1, 8):
        shop.api.fail_at(n, NOT_REACHED)
    for n in range(61):  # half a minute, two messages a second
        shop.submit_row(id=n)
        shop.clock.sleep(0.5)
    assert [asked.patient for asked in shop.api.asked] == [True] + [False] * 6
    shop.clock.move(5 * SECOND)
    assert [shop.submit_row(id=n) for n in (100, 101, 102)] == [Outcome.SUBMITTED] * 3
    assert [asked.patient for asked in shop.api.asked[7:]] == [False, True, True]


def test_an_api_that_refuses_a_call_is_there_for_the_others(shop: Workshop) -> None:
    shop.api.fail_at(1, NOT_REACHED)
    shop.api.fail_at(2, ApiRejected("400"))
    shop.submit_row(id=1)
    shop.clock.move(5 * SECOND)
    assert [shop.submit_row(id=n) for n in (2, 3)] == [Outcome.REJECTED, Outcome.SUBMITTED]


def test_an_api_that_asks_for_time_is_not_even_probed_before(shop: Workshop) -> None:
    shop.api.fail_at(1, ApiUnavailable("429", timedelta(minutes=10)))
    for n in range(100):
        shop.submit_row(id=n)
        shop.clock.move(6 * SECOND - SECOND / 100)
    assert len(shop.api.asked) == 1
    shop.clock.move(SECOND)
    assert shop.submit_row() is Outcome.SUBMITTED


def test_what_needs_no_api_is_settled_while_it_is_down(shop: Workshop) -> None:
    shop.api.fail_at(1, NOT_REACHED)
    shop.submit_row(id=1)
    assert shop.submit_row(id=2, answered=False) is Outcome.SKIPPED
    assert shop.submit_row(id=3, ended_at="never") is Outcome.REJECTED


# Giving up


def test_a_call_is_given_up_when_its_time_is_over_with_the_last_error(shop: Workshop, events: Events) -> None:
    shop.api.fail_at(1, NOT_REACHED)
    assert shop.submit(old_message()) is Outcome.REJECTED
    record = shop.record()
    assert (record.state, record.reason) == (State.REJECTED, "gave_up")
    last = f"ApiUnavailable: the API answered 503 for {OUTSIDE}"
    assert record.detail == f"given up after 7 days, 0:00:00; last: {last}"
    assert record.message == make_message().to_text(), "for a replay"
    assert shop.queue.texts == []
    rejected = events.only("call.rejected")
    assert (rejected["level"], rejected["reason"], rejected["row_id"]) == ("ERROR", "gave_up", 7)


@pytest.mark.parametrize("way", ["never tried", "given back"])
def test_a_call_that_certainly_was_not_sent_is_tried_however_old_it_is(shop: Workshop, way: str) -> None:
    if way == "given back":
        (claim,) = shop.ledger.claim([make_job()], NOON, LEASE)
        shop.ledger.give_back([(claim, "ApiUnavailable: 503")], NOON)
    assert shop.submit(old_message(10 * GIVE_UP_AFTER)) is Outcome.SUBMITTED


@pytest.mark.parametrize("name", ["in hand", "no ledger", "no answer", "cannot be settled"])
def test_no_call_is_given_up_for_storage_or_while_it_may_be_on_its_way_in(shop: Workshop, name: str) -> None:
    HINDERED[name][0](shop)
    assert shop.submit(old_message(10 * GIVE_UP_AFTER)) is Outcome.PUT_BACK
    assert len(shop.queue.texts) == 1
    assert "rejected" not in shop.states.values()


def test_an_unanswered_submission_is_given_up_unasked_once_its_lease_has_ended(shop: Workshop) -> None:
    shop.api.fail_at(1, SubmissionUnknown("no answer"))
    assert shop.submit(old_message()) is Outcome.PUT_BACK
    shop.clock.move(LEASE - SECOND)
    assert shop.submit(old_message()) is Outcome.PUT_BACK
    shop.clock.move(SECOND)
    assert shop.submit(old_message()) is Outcome.REJECTED
    assert len(shop.api.asked) == 1
    assert shop.record().detail == "given up after 7 days, 0:00:00; last: sent, and no answer came"


# Too many rejections at once


def test_past_the_limit_calls_are_put_back_instead_of_rejected_and_loudly(events: Events) -> None:
    shop = Workshop(rejections=2)
    outcomes = [shop.submit_row(id=n, duration_s="0142 555 0142") for n in range(4)]
    assert outcomes == [Outcome.REJECTED] * 2 + [Outcome.PUT_BACK] * 2
    assert list(shop.states.values()) == ["rejected"] * 2 + ["claimed"] * 2
    assert [record.claimed_until for record in shop.ledger.records.values()][2:] == [NOON] * 2, "free at once"
    stopped = events.named("rejections.stopped")
    assert [event["level"] for event in stopped] == ["ERROR"] * 2
    assert stopped[0]["reason"].startswith("not rejected for now: duration_s: holds '***42'")
    shop.clock.move(timedelta(minutes=1))
    assert shop.deliver_visible() == [Outcome.REJECTED] * 2


KNOWN_CAUSES = {
    "unmapped extensions": (make_message(extension="999"), None),
    "replays of what makes no call": (replace(make_message(duration_s=-1), replay_of=KEY), None),
    "replays of what the API refuses": (replace(make_message(), replay_of=KEY), ApiRejected("400")),
}


@pytest.mark.parametrize(("message", "refusal"), KNOWN_CAUSES.values(), ids=KNOWN_CAUSES)
def test_rejections_of_a_known_cause_are_never_stopped_and_told_once_a_minute(
    events: Events, message: Message, refusal: ApiRejected | None
) -> None:
    shop = Workshop(rejections=1)
    for n in range(1, 131):
        if refusal:
            shop.api.fail_at(1, refusal)
        of_its_own = replace(message.records[0], id=str(n), values={**message.records[0].values, "id": n})
        assert shop.submit(message.only([of_its_own])) is Outcome.REJECTED
        shop.clock.move(SECOND)
    levels = [event["level"] for event in events.named("call.rejected")]
    assert [n for n, level in enumerate(levels) if level == "WARNING"] == [0, 60, 120]
    assert set(levels) == {"WARNING", "INFO"}
    assert shop.submit_row(duration_s=-1) is Outcome.REJECTED, "they did not count"


def test_a_replayed_call_that_is_given_up_is_always_told_as_an_error(shop: Workshop, events: Events) -> None:
    for _ in range(2):
        shop.api.fail_at(1, NOT_REACHED)
        shop.submit(replace(old_message(), replay_of=KEY))
        shop.clock.move(5 * SECOND)
    assert [event["level"] for event in events.named("call.rejected")] == ["ERROR"] * 2


def test_what_went_well_takes_no_warning_away_from_what_did_not(shop: Workshop, events: Events) -> None:
    shop.submit(replace(make_message(id=1), replay_of=KEY))
    shop.submit(replace(make_message(id=2, duration_s=-1), replay_of=KEY))
    assert events.only("call.rejected")["level"] == "WARNING"


# Replayed calls


def test_a_replayed_call_that_stands_elsewhere_now_closes_its_old_record(shop: Workshop) -> None:
    shop.submit_row(extension="999")
    shop.go_by(pbx_call_id="{call_id}", emails={"999": ALICE})
    assert shop.submit(replace(make_message(extension="999"), replay_of=KEY)) is Outcome.SUBMITTED
    assert shop.record(CallKey(UNDATED, "0000017F-7")).state is State.SUBMITTED
    old = shop.record()
    assert (old.state, old.reason, old.detail) == (State.SKIPPED, "replayed", "replayed as 0000017F-7")


def test_a_replayed_call_that_is_at_the_api_under_its_new_key_closes_its_old_record(shop: Workshop) -> None:
    shop.submit_row()
    old = CallKey(UNDATED, "row-7")
    shop.ledger.record(old, make_message(), Settlement(State.REJECTED, Reason.INVALID_ROW), NOON)
    assert shop.submit(replace(make_message(), replay_of=old)) is Outcome.REPEATED
    assert shop.record(old).state is State.SKIPPED


def test_a_replayed_call_whose_old_record_cannot_be_closed_comes_again_for_that(shop: Workshop) -> None:
    """The third thing that is asked of the ledger, after a claim and its settlement."""
    shop.submit_row(extension="999")
    shop.go_by(pbx_call_id="{call_id}", emails={"999": ALICE})
    shop.ledger.fail_at(3, DOWN)
    assert shop.submit(replace(make_message(extension="999"), replay_of=KEY)) is Outcome.PUT_BACK
    assert shop.record().state is State.REJECTED
    shop.clock.move(timedelta(hours=1))
    assert shop.deliver_visible() == [Outcome.REPEATED]
    assert (shop.record().reason, len(shop.api.submitted)) == ("replayed", 1)


# Storage trouble


def test_without_ledger_and_queue_it_raises_for_the_host_to_bring_the_message_again(shop: Workshop) -> None:
    shop.ledger.fail_at(1, DOWN)
    shop.queue.fail_at(1, DOWN)
    with pytest.raises(StorageUnavailable):
        shop.submit_row()
    assert shop.api.asked == []


API_FAILURES: dict[str, tuple[PipelineError, bool] | None] = {
    "unavailable": (NOT_REACHED, False),
    "failed": (ApiFailed("500"), False),
    "denied": (ApiDenied("401"), False),
    "never came in": (SubmissionUnknown("reset"), False),
    "answer lost": (SubmissionUnknown("reset"), True),
    "fine": None,
}


@pytest.mark.parametrize("api_failure", API_FAILURES.values(), ids=API_FAILURES)
@pytest.mark.parametrize("answer_lost", [False, True], ids=["refused", "storage's answer lost"])
@pytest.mark.parametrize("part", ["ledger", "queue"])
def test_a_call_gets_in_once_whichever_operation_fails(
    part: str, *, answer_lost: bool, api_failure: tuple[PipelineError, bool] | None
) -> None:
    for n in range(1, 7):
        shop = Workshop()
        if api_failure:
            shop.api.fail_at(1, api_failure[0], answer_lost=api_failure[1])
        shop.queue.send_all([make_message()])
        getattr(shop, part).fail_at(n, DOWN, answer_lost=answer_lost)
        while shop.queue.messages:
            with suppress(StorageUnavailable):
                shop.deliver_visible()
            shop.clock.sleep(5)
        assert shop.api.submitted == ["0000017F-7-7"], f"the {n}th operation of the {part} failed"
        assert {key: record.state for key, record in shop.ledger.records.items()} == {KEY: State.SUBMITTED}


# What comes again and again


def test_the_first_redelivery_is_worked_on_and_a_later_one_sent_apart_by_a_random_delay(events: Events) -> None:
    shop = Workshop(random=lambda: 0.5)
    assert shop.submit(make_message(), DELIVERIES_TOGETHER + 1) is Outcome.PUT_BACK
    (sent,) = shop.queue.messages
    assert sent.visible_at - NOON == LONGEST_DELAY / 2
    assert shop.ledger.records == {}, "nothing was tried that may have been the end of the process"
    line = events.only("call.put_back")
    assert (line["level"], line["times"], line["delay_s"]) == ("WARNING", 1, 150)
    shop.clock.move(LONGEST_DELAY)
    assert shop.submit(shop.queue.take(), DELIVERIES_TOGETHER) is Outcome.SUBMITTED


def test_a_message_that_ends_every_process_is_left_to_the_host_in_the_end(shop: Workshop) -> None:
    letter, times = make_message(), 0
    while shop.submit(letter, deliveries=10) is Outcome.PUT_BACK:
        shop.clock.move(LONGEST_DELAY)
        letter, times = shop.queue.take(), times + 1
        assert letter == replace(make_message(), tries=times, first_tried_at=NOON)
    assert times == TRIES_APART
