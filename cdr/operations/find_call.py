"""Use case: what became of this call? By its name, by its row's id, or by its extension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, islice

from cdr.calls.call import UNDATED
from cdr.operations.ports import KeptCall, LedgerRecords

DAYS_BY_NAME, DAYS_BY_ROW = 31, 7
"""So many are looked at, this one included, where none is named: of a name each costs one request."""

MOST_FOUND = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: of ``call`` (the name in the ledger), ``row`` and ``extension`` exactly one. ``day`` is that
    under which it stands, of its end or its beginning (UTC, see call_key); None: the last days."""

    call: str | None = None
    row: str | None = None
    extension: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class FoundCalls:
    """``days`` are those that were looked at, as the ledger names them; ``complete`` is False where there are more
    calls than are told."""

    calls: Sequence[KeptCall]
    days: Sequence[str]
    complete: bool


def find_calls(records: LedgerRecords, wanted: Wanted, now: datetime) -> FoundCalls:
    """What the ledger keeps of the calls that fit, those of the latest days first.

    :raises StorageUnavailable: nothing can be said
    """
    days = _days(wanted, now)
    found = list(islice(_each_once(_found(records, wanted, days)), MOST_FOUND + 1))
    return FoundCalls(found[:MOST_FOUND], days, len(found) <= MOST_FOUND)


def _days(wanted: Wanted, now: datetime) -> Sequence[str]:
    """What ended at no known time stands under a day of its own; a clock may be ahead by the day after."""
    if wanted.day is not None:
        return [wanted.day.isoformat(), UNDATED]
    number = DAYS_BY_ROW if wanted.call is None else DAYS_BY_NAME
    tomorrow = now.date() + timedelta(days=1)
    return [*((tomorrow - timedelta(days=ago)).isoformat() for ago in range(number + 1)), UNDATED]


def _found(records: LedgerRecords, wanted: Wanted, days: Sequence[str]) -> Iterator[KeptCall]:
    if wanted.call is not None:
        name = wanted.call
        yield from chain.from_iterable(records.named(day, name) for day in days)
        if wanted.day is None:  # of the calls before these days, those that were rejected are known by name
            older = {call.key.day for call in records.rejected_as(name)}.difference(days)
            yield from chain.from_iterable(records.named(day, name) for day in sorted(older, reverse=True))
    elif wanted.row is not None:
        row = wanted.row
        yield from chain.from_iterable(records.of_row(day, row) for day in days)
    elif wanted.extension is not None:
        extension = wanted.extension
        yield from chain.from_iterable(records.of_extension(day, extension) for day in days)


def _each_once(calls: Iterable[KeptCall]) -> Iterator[KeptCall]:
    seen = set()
    for call in calls:
        if call.key not in seen:
            seen.add(call.key)
            yield call
