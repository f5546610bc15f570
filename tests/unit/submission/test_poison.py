"""What the host gave up on ends in the ledger, and nothing is ever raised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import UNDATED, Reason, Settlement, State
from cdr.calls.message import Letter, Message, letter_of
from cdr.submission.poison import PoisonKeeper, keep_poisoned
from shared.errors import StorageUnavailable
from tests.support.events import Events
from tests.support.factories import OUTSIDE, make_job, make_message, make_record
from tests.support.workshop import NOON, TIMES, Workshop
from tests.unit.submission.texts import TEXTS

LEASE, MINUTE = TIMES.claim_lease, timedelta(minutes=1)
SUBMITTED = Settlement(State.SUBMITTED, Reason.CREATED)
DOWN = StorageUnavailable("table CdrCalls: 503")

pytestmark = pytest.mark.usefixtures("events")


def keep(letter: Letter, shop: Workshop, **changed: object) -> None:
    keeper = PoisonKeeper(shop.ledger, shop.queue, shop.clock, shop.worker.rules)
    keep_poisoned(letter, replace(keeper, **changed))


# A call


def test_a_call_is_recorded_as_given_up_with_its_last_error_and_its_row(shop: Workshop, events: Events) -> None:
    (claim,) = shop.ledger.claim([make_job()], NOON, LEASE)
    shop.ledger.give_back([(claim, f"ApiUnavailable: the API answered 503 for {OUTSIDE}")], NOON)
    keep(make_message(), shop)
    record = shop.record()
    assert (record.state, record.reason, record.row_id) == (State.REJECTED, "gave_up", "7")
    last = f"ApiUnavailable: the API answered 503 for {OUTSIDE}"
    assert record.detail == f"given up after too many deliveries; last: {last}"
    assert record.message == make_message().to_text(), "for a replay"
    assert shop.queue.texts == []
    kept = events.only("poison.kept")
    assert (kept["level"], kept["call"], kept["row_id"]) == ("ERROR", "0000017F-7-7", 7)
    assert (kept["extension"], kept["ended_at"]) == ("101", "2026-11-22T10:01:30+00:00")
    assert kept["detail"].endswith("503 for ***42")


@pytest.mark.parametrize("ago", [None, LEASE], ids=["never claimed", "its worker died"])
def test_a_call_of_which_no_error_is_known_is_recorded_too(shop: Workshop, ago: timedelta | None) -> None:
    if ago:
        shop.ledger.claim([make_job()], NOON - ago, LEASE)
    keep(make_message(), shop)
    assert shop.record().detail.endswith("last: no error recorded")


def test_nothing_is_recorded_of_a_call_that_a_worker_has_in_hand(shop: Workshop, events: Events) -> None:
    (claim,) = shop.ledger.claim([make_job()], NOON, LEASE)
    before = shop.record()
    keep(make_message(), shop)
    assert shop.record() == before
    (back,) = shop.queue.messages
    assert (back.text, back.visible_at) == (make_message().to_text(), NOON + 5 * MINUTE)
    assert events.names == ["poison.returned"]
    shop.ledger.settle([(claim, SUBMITTED)], NOON + MINUTE)
    shop.clock.move(5 * MINUTE)
    keep(shop.queue.take(), shop)
    assert (shop.record().state, shop.queue.texts) == (State.SUBMITTED, [])


def test_a_call_that_is_at_the_api_stays_submitted(shop: Workshop, events: Events) -> None:
    shop.submit_row()
    before = shop.record()
    keep(make_message(), shop)
    assert (shop.record(), events.names) == (before, ["call.submitted", "call.repeated"])


Meanwhile = Callable[[Workshop], object]


@pytest.mark.parametrize(
    ("first", "states"),
    [
        (lambda s: s.submit_row(id=7), {"7": "submitted", "8": "skipped"}),
        (lambda s: s.submit_row(id=7, answered=False), {"7": "skipped", "8": "rejected"}),
        (lambda s: s.submit_row(id=7, duration_s=-1), {"7": "rejected", "8": "rejected"}),
        (lambda s: s.ledger.claim([make_job(s.worker.rules, id=7)], NOON, LEASE), {"7": "claimed"}),
    ],
    ids=["submitted", "skipped", "rejected", "in hand"],
)
def test_another_row_with_the_same_key_keeps_its_record_and_this_one_gets_its_own(
    shop: Workshop, first: Meanwhile, states: dict[str, str]
) -> None:
    shop.go_by(pbx_call_id="{call_id}")
    first(shop)
    keep(make_message(id=8), shop)
    assert shop.states == states
    assert len(shop.queue.texts) == ("8" not in states)


def test_of_several_calls_each_that_can_be_is_recorded_and_only_the_others_come_again(shop: Workshop) -> None:
    message = Message(tuple(make_record(id=n, call_id=f"call-{n}") for n in (1, 2, 3)))
    shop.ledger.claim([make_job(id=2, call_id="call-2")], NOON, LEASE)
    keep(message, shop)
    assert shop.states == {"1": "rejected", "2": "claimed", "3": "rejected"}
    assert shop.queue.letters == [message.only(message.records[1:2])]
    shop.clock.move(5 * MINUTE)
    keep(shop.queue.take(), shop)
    assert set(shop.states.values()) == {"rejected"}


# Garbage


@pytest.mark.parametrize("text", ["no JSON", "x" * 65_000], ids=["short", "longer than there is room"])
def test_garbage_is_recorded_with_its_text_as_far_as_it_fits(shop: Workshop, text: str) -> None:
    keep(letter_of(text), shop, rules=None)
    ((key, record),) = shop.ledger.records.items()
    assert (key.day, record.row_id, record.message) == (UNDATED, None, text[:60_000])
    assert (record.reason, record.detail.partition(";")[0]) == ("gave_up", "given up after too many deliveries")


# What stands in the way


@pytest.mark.parametrize("failing", [1, 2], ids=["reading the last error", "recording"])
def test_without_the_ledger_the_message_goes_back_on_the_poison_queue(
    shop: Workshop, events: Events, failing: int
) -> None:
    shop.ledger.fail_at(failing, DOWN)
    keep(make_message(), shop)
    (back,) = shop.queue.messages
    assert (back.text, back.visible_at) == (make_message().to_text(), NOON + 5 * MINUTE)
    assert "rejected" not in shop.states.values()
    assert events.names == ["storage.failed", "poison.returned"]
    assert events.only("storage.failed")["reason"] == "table CdrCalls: 503"


def test_without_usable_rules_it_goes_back_for_the_ledger_has_no_place_for_it(shop: Workshop) -> None:
    keep(make_message(), shop, rules=None)
    assert (shop.queue.letters, shop.ledger.operations) == ([make_message()], [])


def test_without_ledger_and_queue_it_waits_ever_longer_until_one_is_back(shop: Workshop) -> None:
    for n in range(1, 9):
        shop.ledger.fail_at(n, DOWN)
        shop.queue.fail_at(n, DOWN)
    keep(make_message(), shop)
    assert shop.clock.now() - NOON == timedelta(seconds=1 + 2 + 4 + 8 + 16 + 30 + 30 + 30)
    assert shop.record().state is State.REJECTED


@given(TEXTS, st.lists(st.booleans(), max_size=6), st.lists(st.booleans(), max_size=6))
def test_whatever_the_text_and_whatever_fails_it_is_kept_or_put_back(
    text: str, ledger_fails: list[bool], queue_fails: list[bool]
) -> None:
    shop, letter = Workshop(), letter_of(text)
    for part, fails in ((shop.ledger, ledger_fails), (shop.queue, queue_fails)):
        for n in (n for n, does_fail in enumerate(fails, start=1) if does_fail):
            part.fail_at(n, DOWN)
    keep(letter, shop)
    while shop.queue.messages:
        (left,) = shop.queue.letters
        assert left == letter_of(letter.to_text()) or all(record in letter.records for record in left.records)
        shop.clock.move(5 * MINUTE)
        keep(shop.queue.take(), shop)
    assert {record.state for record in shop.ledger.records.values()} == {State.REJECTED}


@pytest.mark.parametrize("first", [1, 2], ids=["at the look for its last error", "at recording it"])
def test_a_defect_that_one_call_meets_keeps_no_other_from_the_ledger_and_lets_nothing_escape(
    shop: Workshop, events: Events, first: int
) -> None:
    message = Message((make_record(id=1, call_id="1"), make_record(id=2, call_id="2")))
    shop.ledger.fail_at(first, KeyError("claimed_until"))
    keep(message, shop)
    assert events.names == ["poison.failed", "poison.kept", "poison.returned"]
    assert events.only("poison.failed")["error"] == "KeyError"
    assert [record.state for record in shop.ledger.records.values()] == [State.REJECTED]
    assert shop.queue.letters == [message.only(message.records[:1])]


def test_a_defect_of_the_queue_is_waited_for_like_an_outage(shop: Workshop, events: Events) -> None:
    shop.ledger.fail_at(1, DOWN)
    shop.queue.fail_at(1, KeyError("x"))
    keep(make_message(), shop)
    assert events.names == ["storage.failed", "poison.failed", "poison.kept"]
