"""What the host gave up on ends in the ledger, and nothing is ever raised."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallKey, Settlement, State
from cdr.calls.message import decode_row
from cdr.calls.rules import UNDATED, call_key
from cdr.submission.poison import keep_poisoned
from shared.clock import HandMovedClock
from shared.errors import StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import OUTSIDE, make_message, make_rules
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=3)
KEY = CallKey("2026-11-22", "0000017F-7-7")

pytestmark = pytest.mark.usefixtures("events")


def keep(text: str, ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock) -> None:
    keep_poisoned(text, ledger=ledger, poison_queue=queue, clock=clock, rules=make_rules())


def test_a_call_is_recorded_as_given_up_with_its_last_error_and_its_row(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock, events: Events
) -> None:
    message = make_message()
    claim = ledger.claim(KEY, 7, message, NOON, LEASE)
    ledger.give_back(claim, f"ApiUnavailable: the API answered 503 for {OUTSIDE}", NOON)
    keep(message, ledger, queue, clock)
    record = ledger.records[KEY]
    assert (record.state, record.reason, record.row_id) == (State.REJECTED, "gave_up", 7)
    assert record.detail.endswith(f"last: ApiUnavailable: the API answered 503 for {OUTSIDE}")
    assert record.message == message, "for a replay"
    assert queue.texts == []
    kept = events.only("poison.kept")
    assert (kept["level"], kept["call"], kept["row_id"]) == ("ERROR", "0000017F-7-7", 7)
    assert kept["detail"].endswith("503 for ***42")


def test_a_call_that_no_worker_ever_reached_is_recorded_too(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    keep(make_message(), ledger, queue, clock)
    assert ledger.records[KEY].detail.endswith("last: no error recorded")


def test_a_call_whose_worker_died_with_the_claim_is_recorded(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    ledger.claim(KEY, 7, make_message(), NOON, LEASE)
    keep(make_message(), ledger, queue, clock)
    assert ledger.records[KEY].state is State.REJECTED


def test_a_call_that_is_at_the_api_stays_submitted(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock, events: Events
) -> None:
    claim = ledger.claim(KEY, 7, make_message(), NOON, LEASE)
    ledger.settle(claim, Settlement(State.SUBMITTED, "created", entry_id="e-1"), NOON)
    before = ledger.records[KEY]
    keep(make_message(), ledger, queue, clock)
    assert ledger.records[KEY] == before
    assert events.names == ["call.repeated"]


def test_garbage_is_recorded_with_its_text(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    keep("no JSON", ledger, queue, clock)
    ((key, record),) = ledger.records.items()
    assert (key.day, record.row_id, record.message) == (UNDATED, None, "no JSON")


@pytest.mark.parametrize("failing", [1, 2], ids=["reading the last error", "recording"])
def test_without_the_ledger_the_message_goes_back_on_the_poison_queue(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock, events: Events, failing: int
) -> None:
    ledger.fail_at(failing, StorageUnavailable("table CdrCalls: 503"))
    keep(make_message(), ledger, queue, clock)
    (back,) = queue.messages
    assert (back.text, back.visible_at) == (make_message(), NOON + timedelta(minutes=5))
    assert ledger.records == {}
    assert events.names == ["storage.failed", "poison.returned"]
    assert events.only("storage.failed")["reason"] == "table CdrCalls: 503"


def test_without_usable_rules_it_goes_back_for_the_ledger_has_no_place_for_it(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    keep_poisoned(make_message(), ledger=ledger, poison_queue=queue, clock=clock, rules=None)
    assert queue.texts == [make_message()]
    assert ledger.operations == []


def test_without_ledger_and_queue_it_waits_ever_longer_until_one_is_back(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    for n in range(1, 9):
        ledger.fail_at(n, StorageUnavailable("503"))
        queue.fail_at(n, StorageUnavailable("503"))
    keep(make_message(), ledger, queue, clock)
    assert clock.now() - NOON == timedelta(seconds=1 + 2 + 4 + 8 + 16 + 30 + 30 + 30)
    assert ledger.records[KEY].state is State.REJECTED


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"id": st.integers() | JSON_VALUES},
    optional=dict.fromkeys(("call_id", "started_at", "ended_at", "extension", "answered", "duration_s"), JSON_VALUES),
)
MESSAGES = st.fixed_dictionaries(
    {"version": st.just(1) | JSON_VALUES, "row": ROWS | JSON_VALUES},
    optional={"cut": JSON_VALUES, "travels": JSON_VALUES},
).map(json.dumps)
TEXTS = st.text(st.characters(codec=None)) | JSON_VALUES.map(json.dumps) | MESSAGES


@given(TEXTS, st.lists(st.booleans(), max_size=6), st.lists(st.booleans(), max_size=6))
def test_whatever_the_text_and_whatever_fails_it_is_kept_or_put_back(
    text: str, ledger_fails: list[bool], queue_fails: list[bool]
) -> None:
    clock, ledger = HandMovedClock(NOON), InMemoryLedger()
    queue = InMemoryCallQueue(clock)
    for part, fails in ((ledger, ledger_fails), (queue, queue_fails)):
        for n, does_fail in enumerate(fails, start=1):
            if does_fail:
                part.fail_at(n, StorageUnavailable("503"))
    keep(text, ledger, queue, clock)
    kept = [record.message for record in ledger.records.values()]
    assert kept + queue.texts == [text]


@pytest.mark.parametrize("depth", [100, 990, 1_000, 20_000])
def test_nesting_of_any_depth_is_kept(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock, depth: int
) -> None:
    text = f'{{"version": 1, "row": {{"id": 7, "answered": {"[" * depth}{"]" * depth}}}}}'
    keep(text, ledger, queue, clock)
    assert [record.message for record in ledger.records.values()] == [text]


@pytest.mark.parametrize("name", ["", "a/b\\c#d?e", "\x00\x1f\x7f", "x" * 255, "é" * 255, "\ud800"])
def test_a_call_id_of_any_kind_has_a_place(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock, name: str
) -> None:
    message = make_message(call_id=name)
    keep(message, ledger, queue, clock)
    assert list(ledger.records) == [call_key(decode_row(message), make_rules())]


def test_the_place_is_that_of_the_rules_in_force(
    ledger: InMemoryLedger, queue: InMemoryCallQueue, clock: HandMovedClock
) -> None:
    rules = replace(make_rules(), pbx_call_id="{call_id}")
    keep_poisoned(make_message(), ledger=ledger, poison_queue=queue, clock=clock, rules=rules)
    assert list(ledger.records) == [CallKey(UNDATED, "0000017F-7")]
