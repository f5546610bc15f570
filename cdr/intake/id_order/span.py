"""Which ids to look at for the calls of a time, found by halving: times of ends need no index for that.

Ids grow with time, but not call by call: one that lasts has a low id and a late end, and a table that is copied has its
rows a little out of order. So a wide margin is left on both sides; and where a look finds times that do not grow with
the ids within it, or none that can be read, all ids are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cdr.intake.id_order.table import IdSpan, Row, RowTable

MARGIN = timedelta(days=2)
FEW = 10_000
"""So many ids are looked at as they are."""
ROWS_TO_LOOK_AT = 5
"""For one with a time, at a place."""


ALL = IdSpan()


class _OutOfOrder(Exception):
    """The table's times do not show where to look."""


@dataclass
class _Looks:
    """What was seen at which place: the time of the first row beyond it that has one."""

    table: RowTable
    moment_of: Callable[[Row], datetime | None]
    newest: int
    seen: dict[int, datetime | None] = field(default_factory=dict)

    def at(self, place: int) -> datetime | None:
        """None: nothing is there any more.

        :raises _OutOfOrder: there is, but without a time; or with one that contradicts what was seen before
        """
        if place not in self.seen:
            rows = self.table.rows_after(place, ROWS_TO_LOOK_AT)
            moments = [moment for row in rows if (moment := self.moment_of(row)) is not None]
            if rows and not moments:
                raise _OutOfOrder
            self.seen[place] = moments[0] if moments else None
            self._check()
        return self.seen[place]

    def _check(self) -> None:
        latest: datetime | None = None
        for _, moment in sorted(self.seen.items()):
            if moment is None:
                continue
            if latest is not None and moment < latest - MARGIN:
                raise _OutOfOrder
            latest = moment if latest is None else max(latest, moment)

    def first_from(self, moment: datetime, low: int) -> int:
        """A place before which all is earlier than the moment."""
        high = self.newest
        while high - low > FEW // 10:
            middle = (low + high) // 2
            found = self.at(middle)
            low, high = (middle, high) if found is not None and found < moment else (low, middle)
        return low


def span_of(table: RowTable, start: datetime, end: datetime, moment_of: Callable[[Row], datetime | None]) -> IdSpan:
    """The ids of what may have ended from ``start`` to before ``end`` (aware)."""
    newest, oldest = table.newest_id(), table.rows_after(None, 1)
    if newest is None or not oldest or newest - oldest[0].id <= FEW:
        return ALL
    looks = _Looks(table, moment_of, newest)
    try:
        first = looks.first_from(start - MARGIN, oldest[0].id - 1)
        last = looks.first_from(end + MARGIN, first)
    except _OutOfOrder:
        return ALL
    return IdSpan(first, last + FEW // 10)
