"""How many calls the ledger has, read from its counters: of the days that are done with by one sum each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cdr.calls.call import UNDATED, State
from cdr.edges.storage.ledger_tally import (
    COUNTERS,
    DAYS,
    TOLD_EVERY,
    Counts,
    as_text,
    counter,
    counts_in,
    hour_of,
    total,
)
from cdr.edges.storage.table import ONE_TRANSACTION, Table, quoted, version_of
from cdr.edges.storage.transaction import Delete, Insert, Merge
from cdr.operations.ports import HourCount, LedgerCounts, hours_until

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

QUIET_FOR = TOLD_EVERY + timedelta(minutes=15)
"""After that whoever told that he counts on a day is done, or has told again."""

MOST_READ = 5
"""Days whose counters are read themselves, beside those of the last hours."""

MOST_ROWS = 50
"""Counters of a day; more are made one."""

Day = Mapping[str, Any]
"""What the index has of a day."""


class LedgerSums:
    """The counters of a ledger, and the days that its index knows of."""

    def __init__(self, ledger: Table, index: Table) -> None:
        self._ledger = ledger
        self._index = index

    def counts(self, now: datetime, *, is_whole: bool) -> LedgerCounts:
        days = list(self._index.query(f"PartitionKey eq '{DAYS}'"))
        hours = hours_until(now)
        recent = {f"{hours[0]:%Y-%m-%d}", f"{hours[-1]:%Y-%m-%d}", UNDATED}
        moving = sorted((day for day in days if not _is_summed(day)), key=_counted_at, reverse=True)
        others = [day["RowKey"] for day in moving if day["RowKey"] not in recent]
        read = {day["RowKey"] for day in days if day["RowKey"] in recent} | set(others[:MOST_READ])
        found = total(
            self._of_day(day["RowKey"]) if day["RowKey"] in read else counts_in(day.get("sums")) for day in days
        )
        by_state = Counter[str]()
        for name, n in found.items():
            hour, _, state = name.partition(" ")
            by_state[state] += n if hour != "reason" else 0
        return LedgerCounts(
            {state: by_state[state] for state in State if by_state[state]},
            {name.partition(" ")[2]: n for name, n in found.items() if name.startswith("reason ")},
            [HourCount(hour, *_of_hour(found, hour)) for hour in hours],
            complete=is_whole and len(others) <= MOST_READ,
        )

    def _of_day(self, day: str) -> Counts:
        return total(counts_in(row.get("counts")) for row in self._rows(day))

    def _rows(self, day: str) -> Sequence[TableEntity]:
        end = COUNTERS.replace(" ", "!")
        within = f"PartitionKey eq {quoted(day)} and RowKey ge {quoted(COUNTERS)} and RowKey lt {quoted(end)}"
        return list(self._ledger.query(within, ["PartitionKey", "RowKey", "counts"]))

    def sum_up(self, now: datetime, may_go_on: Callable[[], bool]) -> None:
        """Keep the sum of each day on which somebody may have counted since its last one."""
        for day in self._index.query(f"PartitionKey eq '{DAYS}'"):
            if not may_go_on():
                return
            if not _is_summed(day):
                self._sum_up(day, now)

    def _sum_up(self, day: TableEntity, now: datetime) -> None:
        """It holds only while nobody has told of the day anew."""
        name, rows = day["RowKey"], self._rows(day["RowKey"])
        sums = total(counts_in(row.get("counts")) for row in rows)
        address = {"PartitionKey": DAYS, "RowKey": name}
        is_over = not sums and now - _counted_at(day) >= QUIET_FOR
        if is_over or len(rows) > MOST_ROWS:
            self._make_one(name, rows, now)
        if is_over:
            self._index.write([Delete(address, version_of(day))])
        else:
            self._index.write([Merge({**address, "sums": as_text(sums), "summed_at": now}, version_of(day))])

    def _make_one(self, day: str, rows: Sequence[TableEntity], now: datetime) -> None:
        """Who still has one of these counters finds it gone, and begins a new one."""
        for start in range(0, len(rows), ONE_TRANSACTION - 1):
            some = rows[start : start + ONE_TRANSACTION - 1]
            counts = total(counts_in(row.get("counts")) for row in some)
            one = [Insert(counter(day, counts, now))] if counts else []
            self._ledger.write([*(Delete(row, version_of(row)) for row in some), *one])


def _is_summed(day: Day) -> bool:
    summed_at = day.get("summed_at")
    return isinstance(summed_at, datetime) and summed_at - _counted_at(day) >= QUIET_FOR


def _counted_at(day: Day) -> datetime:
    """What cannot be read is old."""
    moment = day.get("counted_at")
    return moment if isinstance(moment, datetime) else datetime(2000, 1, 1, tzinfo=UTC)


def _of_hour(counts: Counts, hour: datetime) -> tuple[int, int, int]:
    name = hour_of(hour)
    submitted, skipped, rejected = (
        counts.get(f"{name} {state}", 0) for state in (State.SUBMITTED, State.SKIPPED, State.REJECTED)
    )
    return submitted, skipped, rejected
