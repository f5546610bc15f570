"""What is needed of a table in which each row is a call, or stands for one, and which numbers its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from cdr.calls.call import CallRecord
from cdr.intake.id_order.position import Range


class IdSpan(NamedTuple):
    """Ids beyond ``after`` and up to ``last``; None: no bound."""

    after: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table in which each row is a call. ``records`` has more than one where several people get an entry."""

    id: int
    ended: bool
    records: Sequence[CallRecord]


class RowTable(Protocol):
    """An open connection to such a table. Every method raises SourceUnavailable or SourceMisconfigured."""

    def rows_after(self, position: int | None, limit: int) -> list[Row]:
        """Up to ``limit`` rows with an id beyond the position, in order of id."""

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[Row]:
        """Up to ``limit`` rows whose id lies in one of the ranges (ascending) and beyond ``after``, in order of id."""

    def ended_among(self, ids: Sequence[int], after: int | None, limit: int) -> list[Row]:
        """Up to ``limit`` of the rows with these ids (ascending) and beyond ``after``, in order of id. Those without an
        end may be left out."""

    def newest_id(self) -> int | None:
        """The highest id in the table; None if it is empty."""

    def first_id_since(self, moment: datetime) -> int | None:
        """The lowest id of a row that started at or after an aware moment; None if there is none."""

    def rows_ended_between(self, start: datetime, end: datetime, within: IdSpan, limit: int) -> list[Row]:
        """Up to ``limit`` rows that ended from ``start`` to before ``end`` (aware) with an id in the span."""

    def count_among(self, first: int, last: int) -> int:
        """How many rows have an id from ``first`` to ``last``, both included."""

    def nameless(self, most: int) -> int:
        """How many rows have no id, counted up to so many. No other method comes by them."""


@dataclass(frozen=True, slots=True)
class RowPatience:
    """How long ids that are missing may still appear, when a row without an end is given up, and how long one reading
    looks for both before it goes on to what is new."""

    gap_wait: timedelta = timedelta(minutes=15)
    open_row_wait: timedelta = timedelta(hours=24)
    settle: timedelta = timedelta()
    """So long ago a row must have ended that it counts as over: some tables are written in steps."""
    look_for: timedelta = timedelta(seconds=12)
    most_open: int = 1_000
    """Beyond so many that are open, one that began longer ago than ``open_row_wait`` is given up as soon as it is seen:
    a history may be full of such rows, and the position has room for some thousands."""
