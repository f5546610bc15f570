"""What the ledger forgets; what it never does is part of its contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from cdr.calls.call import CallKey, Reason, Settlement, State
from cdr.operations.retention import Cleaner, clean_ledger
from shared.errors import StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import REMOVED_AT_ONCE, InMemoryLedger
from tests.support.events import Events
from tests.support.workshop import NOON

KEEP, KEEP_REJECTED = timedelta(days=90), timedelta(days=365)
BUDGET, SECOND = timedelta(minutes=5), timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("events")


def clean(ledger: InMemoryLedger, clock: HandMovedClock) -> int:
    return clean_ledger(Cleaner(ledger, clock, KEEP, KEEP_REJECTED, BUDGET))


def settle(ledger: InMemoryLedger, state: State, age: timedelta, calls: int = 1) -> None:
    for n in range(calls):
        key = CallKey("2025-01-01", f"{state} {age} {n}")
        ledger.record(key, None, Settlement(state, Reason.GAVE_UP), NOON - age)


@pytest.mark.parametrize(
    ("state", "kept_for"),
    [(State.SUBMITTED, KEEP), (State.SKIPPED, KEEP), (State.REJECTED, KEEP_REJECTED)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_settled_call_is_removed_when_it_is_older_than_its_days(
    ledger: InMemoryLedger, clock: HandMovedClock, state: State, kept_for: timedelta
) -> None:
    settle(ledger, state, kept_for)
    young = list(ledger.records)
    settle(ledger, state, kept_for + SECOND)
    assert clean(ledger, clock) == 1
    assert list(ledger.records) == young


def test_what_was_removed_is_counted_over_all_batches(
    ledger: InMemoryLedger, clock: HandMovedClock, events: Events
) -> None:
    settle(ledger, State.SUBMITTED, KEEP + SECOND, calls=2 * REMOVED_AT_ONCE + 50)
    assert [clean(ledger, clock), clean(ledger, clock)] == [2 * REMOVED_AT_ONCE + 50, 0]
    assert [event["removed"] for event in events.named("ledger.cleaned")] == [2 * REMOVED_AT_ONCE + 50, 0]


def test_the_time_budget_leaves_the_rest_for_the_next_day(clock: HandMovedClock) -> None:
    class SlowLedger(InMemoryLedger):
        def remove_settled(self, before: datetime, rejected_before: datetime, now: datetime) -> Iterator[int]:
            for removed in super().remove_settled(before, rejected_before, now):
                clock.move(BUDGET / 2)
                yield removed

    ledger = SlowLedger()
    settle(ledger, State.SUBMITTED, KEEP + SECOND, calls=2 * REMOVED_AT_ONCE + 50)
    assert [clean(ledger, clock), clean(ledger, clock)] == [2 * REMOVED_AT_ONCE, 50]


def test_what_was_removed_before_a_failure_stays_removed_and_the_failure_is_told(
    ledger: InMemoryLedger, clock: HandMovedClock, events: Events
) -> None:
    settle(ledger, State.SUBMITTED, KEEP + SECOND, calls=REMOVED_AT_ONCE + 50)
    ledger.fail_at(2, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        clean(ledger, clock)
    assert events.only("storage.failed")["reason"] == "503"
    assert clean(ledger, clock) == 50
