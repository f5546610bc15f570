"""What is needed of a phone system's report that tells rows by when they started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from cdr.intake.folding.leg import Leg
from cdr.intake.window_order.under_way import UnderWay


@dataclass(frozen=True, slots=True)
class Window:
    """All rows that started from ``start`` to before ``end``."""

    start: datetime
    end: datetime
    rows: Sequence[Leg]


class ReportLog(Protocol):
    """A phone system's report. Every method raises SourceUnavailable or SourceMisconfigured."""

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        """A period, in as many windows as it takes, in order and without gaps. A row may come more than once."""

    def calls_under_way(self) -> Sequence[UnderWay] | None:
        """None if this may not be seen."""

    def newest_start(self) -> datetime | None:
        """When the newest call of the report started; None if it is empty."""


@dataclass(frozen=True, slots=True)
class ReportPatience:
    """``rows_late`` is how long after its end a row may come, and a request may take; ``quiet`` when a call counts as
    over where it cannot be seen what is under way; ``open_row_wait`` the longest call, and when one is given up."""

    rows_late: timedelta = timedelta(minutes=6)
    quiet: timedelta = timedelta(hours=1)
    open_row_wait: timedelta = timedelta(hours=24)
    most_legs: int = 10_000

    @property
    def ages(self) -> Sequence[timedelta]:
        """When each moment is read. At the first, short calls are over."""
        return _growing(self.rows_late + timedelta(minutes=2), self.open_row_wait + self.rows_late)


@lru_cache(maxsize=1)
def _growing(first: timedelta, longest: timedelta) -> Sequence[timedelta]:
    """By half, until they reach the longest; in whole seconds."""
    ages = [first]
    while ages[-1] < longest:
        ages.append(ages[-1] * 3 / 2)
    return tuple(timedelta(seconds=age // timedelta(seconds=1)) for age in ages)
