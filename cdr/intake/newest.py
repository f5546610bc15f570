"""The newest calls of a table, looked for from its newest end on, further and further back until there are enough.

A table may have a few rows in a long while and then millions at once, so what is read at a time is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cdr.calls.call import CallRecord

if TYPE_CHECKING:
    from cdr.intake.id_order import RowTable
    from cdr.intake.time_order import LegTable, Touched

MOST_READ = 5_000
"""Rows or legs. Beyond, what was found has to do."""

FIRST_SPAN, SHORTEST_SPAN = timedelta(minutes=15), timedelta(seconds=1)


def newest_by_id(table: RowTable, limit: int, page_size: int) -> list[CallRecord]:
    """The highest ids first, without what has not ended. Ranges of ids are twice as wide each time, and half as wide
    where one has more rows than a page."""
    top, oldest = table.newest_id(), table.rows_after(None, 1)
    found: list[CallRecord] = []
    read, width = 0, min(limit, page_size)
    while top is not None and oldest and top >= oldest[0].id and len(found) < limit and read < MOST_READ:
        bottom = max(oldest[0].id, top - width + 1)
        page = table.rows_in([(bottom, top)], None, page_size)
        read += len(page)
        if len(page) == page_size and top - bottom >= page_size:
            width = max(page_size, (top - bottom + 1) // 2)
            continue
        found += [record for row in reversed(page) if row.ended for record in row.records]
        top, width = bottom - 1, width * 2
    return found[:limit]


def newest_by_time(
    table: LegTable, whole: Callable[[Sequence[Touched]], Iterable[CallRecord]], limit: int, page_size: int
) -> list[CallRecord]:
    """The latest ends first. Spans of time before the newest end are twice as long each time.

    :param whole: the records of the calls that these legs belong to, as far as they are whole
    """
    newest, oldest = table.newest_end(), table.ended_from(None, None, 1)
    found: list[CallRecord] = []
    span = FIRST_SPAN
    while newest is not None and oldest:
        since = max(oldest[0].ended_at, newest - span)
        touched = _ended_from(table, since, page_size)
        is_too_much = len(touched) > MOST_READ
        if is_too_much and span > SHORTEST_SPAN:
            if found:
                break
            span /= 2
            continue
        records = {record.id: record for record in whole(touched)}
        found = sorted(records.values(), key=_end_of, reverse=True)
        if len(found) >= limit or since <= oldest[0].ended_at or is_too_much:
            break
        span *= 2
    return found[:limit]


def _ended_from(table: LegTable, since: datetime, page_size: int) -> Sequence[Touched]:
    """Not many more than are allowed."""
    touched: list[Touched] = []
    after: Touched | None = None
    while len(touched) <= MOST_READ and (page := table.ended_from(since, after, page_size)):
        touched += page
        after = page[-1]
        if len(page) < page_size:
            break
    return touched


def _end_of(record: CallRecord) -> tuple[datetime, str]:
    return datetime.fromisoformat(str(record.values["ended_at"])), record.id
