"""What the ledger forgets, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call import CallKey, Settlement, State
from cdr.operations.retention import clean_ledger
from shared.clock import HandMovedClock
from shared.errors import StorageUnavailable
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message
from tests.unit.conftest import Events

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEEP = timedelta(days=90)
KEEP_REJECTED = timedelta(days=365)
BUDGET = timedelta(minutes=5)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("events")


def clean(ledger: InMemoryLedger, clock: HandMovedClock) -> int:
    return clean_ledger(ledger=ledger, clock=clock, keep=KEEP, keep_rejected=KEEP_REJECTED, time_budget=BUDGET)


def settle(ledger: InMemoryLedger, name: str, state: State, age: timedelta) -> CallKey:
    key = CallKey("2025-01-01", name)
    claim = ledger.claim(key, 7, make_message(), NOON - age, timedelta(minutes=3))
    ledger.settle(claim, Settlement(state, "because"), NOON - age)
    return key


@pytest.mark.parametrize("state", [State.SUBMITTED, State.SKIPPED])
def test_a_settled_call_is_removed_when_it_is_older_than_its_days(
    ledger: InMemoryLedger, clock: HandMovedClock, state: State
) -> None:
    young = settle(ledger, "young", state, KEEP)
    settle(ledger, "old", state, KEEP + SECOND)
    assert clean(ledger, clock) == 1
    assert list(ledger.records) == [young]


def test_a_rejected_call_is_kept_for_its_own_longer_time(ledger: InMemoryLedger, clock: HandMovedClock) -> None:
    young = settle(ledger, "young", State.REJECTED, KEEP_REJECTED)
    settle(ledger, "old", State.REJECTED, KEEP_REJECTED + SECOND)
    assert clean(ledger, clock) == 1
    assert list(ledger.records) == [young]


def test_a_rejected_call_that_was_replayed_in_vain_is_kept_as_well(
    ledger: InMemoryLedger, clock: HandMovedClock
) -> None:
    key = settle(ledger, "replayed", State.REJECTED, KEEP + SECOND)
    ledger.mark_replayed(key, NOON - KEEP)
    assert clean(ledger, clock) == 0


def test_a_claimed_call_is_never_removed(ledger: InMemoryLedger, clock: HandMovedClock) -> None:
    ledger.claim(CallKey("2020-01-01", "a"), 7, make_message(), NOON - timedelta(days=2_000), timedelta(minutes=3))
    assert clean(ledger, clock) == 0
    assert len(ledger.records) == 1


def test_a_rejected_call_that_was_claimed_again_is_not_removed(ledger: InMemoryLedger, clock: HandMovedClock) -> None:
    key = settle(ledger, "replayed", State.REJECTED, KEEP_REJECTED + SECOND)
    ledger.claim(key, 7, make_message(), NOON, timedelta(minutes=3))
    assert clean(ledger, clock) == 0


def test_what_was_removed_is_counted_over_all_batches(
    ledger: InMemoryLedger, clock: HandMovedClock, events: Events
) -> None:
    for n in range(250):
        settle(ledger, f"old-{n}", State.SUBMITTED, KEEP + SECOND)
    assert clean(ledger, clock) == 250
    assert events.only("ledger.cleaned")["removed"] == 250
    assert clean(ledger, clock) == 0


def test_the_time_budget_leaves_the_rest_for_the_next_day(clock: HandMovedClock) -> None:
    class SlowLedger(InMemoryLedger):
        def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
            for removed in super().remove_settled(before, rejected_before):
                clock.move(BUDGET / 2)
                yield removed

    ledger = SlowLedger()
    for n in range(250):
        settle(ledger, f"old-{n}", State.SUBMITTED, KEEP + SECOND)
    assert clean(ledger, clock) == 200
    assert clean(ledger, clock) == 50


def test_what_was_removed_before_a_failure_stays_removed(ledger: InMemoryLedger, clock: HandMovedClock) -> None:
    for n in range(150):
        settle(ledger, f"old-{n}", State.SUBMITTED, KEEP + SECOND)
    ledger.fail_at(2, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        clean(ledger, clock)
    assert clean(ledger, clock) == 50
