"""What became of a call? By its name, its row's id or its extension; with its day, or among the last days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta

import pytest

from cdr.calls.call import UNDATED, CallKey, Job, Reason, Settlement, State
from cdr.operations.find_call import MOST_FOUND, FoundCalls, Wanted, find_calls
from tests.fakes.ledger import InMemoryLedger
from tests.support.factories import make_message, make_record
from tests.support.workshop import NOON

TODAY = date(2026, 11, 22)
LEASE = timedelta(minutes=3)


@pytest.fixture
def ledger() -> InMemoryLedger:
    return InMemoryLedger()


@pytest.fixture
def find(ledger: InMemoryLedger) -> Callable[..., FoundCalls]:
    return lambda **wanted: find_calls(ledger, Wanted(**wanted), NOON)


def put(ledger: InMemoryLedger, name: str, days_ago: int | None = 0, row: int = 7, extension: str = "101") -> CallKey:
    """A call that a worker has; days_ago None: nobody knows when it ended."""
    day = UNDATED if days_ago is None else (TODAY - timedelta(days=days_ago)).isoformat()
    job = Job(make_record(id=row, extension=extension), CallKey(day, name))
    ledger.claim([job], NOON, LEASE)
    return job.key


def keys(found: FoundCalls) -> list[CallKey]:
    return [call.key for call in found.calls]


def test_a_call_is_found_by_its_name_among_the_last_days_the_latest_first(
    ledger: InMemoryLedger, find: Callable[..., FoundCalls]
) -> None:
    old, new, undated = put(ledger, "C", 30), put(ledger, "C", 0), put(ledger, "C", None)
    put(ledger, "C", 31)
    put(ledger, "D", 0)
    found = find(call="C")
    assert (keys(found), found.complete, len(found.days)) == ([new, old, undated], True, 33)
    assert (found.days[0], found.days[1], found.days[-1]) == ("2026-11-23", "2026-11-22", UNDATED)


def test_one_that_was_rejected_is_found_by_its_name_however_old_it_is(
    ledger: InMemoryLedger, find: Callable[..., FoundCalls]
) -> None:
    key = CallKey("2025-12-24", "C")
    ledger.record(key, make_message(), Settlement(State.REJECTED, Reason.GAVE_UP, "too often"), NOON)
    (call,) = find(call="C").calls
    assert asdict(call).items() >= {"key": asdict(key), "state": "rejected", "reason": "gave_up"}.items()


@pytest.mark.parametrize("wanted", [{"row": "8"}, {"extension": "105"}], ids=str)
def test_it_is_found_by_its_row_or_its_extension_among_the_days_of_a_week(
    ledger: InMemoryLedger, find: Callable[..., FoundCalls], wanted: dict[str, str]
) -> None:
    put(ledger, "A", 1)
    mine = put(ledger, "B", 6, row=8, extension="105")
    put(ledger, "C", 7, row=8, extension="105")
    assert keys(find(**wanted)) == [mine]


@pytest.mark.parametrize("wanted", [{"call": "C"}, {"row": "8"}, {"extension": "105"}], ids=str)
def test_with_its_day_no_other_one_is_looked_at_but_the_one_of_calls_without_an_end(
    ledger: InMemoryLedger, find: Callable[..., FoundCalls], wanted: dict[str, str]
) -> None:
    mine, undated = (put(ledger, "C", days_ago, row=8, extension="105") for days_ago in (90, None))
    put(ledger, "C", 0, row=8, extension="105")
    found = find(**wanted, day=date(2026, 8, 24))
    assert (keys(found), found.days) == ([mine, undated], ["2026-08-24", UNDATED])


def test_more_calls_than_can_be_told_are_told_in_part(ledger: InMemoryLedger, find: Callable[..., FoundCalls]) -> None:
    for n in range(MOST_FOUND + 1):
        put(ledger, f"C-{n}", row=n)
    found = find(extension="101")
    assert (len(found.calls), found.complete) == (MOST_FOUND, False)
