"""The newest calls of a table, looked for from its newest end on, further and further back until there are enough.

A table may have a few rows in a long while and then millions at once, so what is read at a time is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import end_of
from cdr.intake.id_order.table import RowTable
from cdr.intake.time_order.table import Touched

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
    ends: tuple[datetime, datetime] | None,
    pages_from: Callable[[datetime], Iterable[Sequence[Touched]]],
    whole: Callable[[Sequence[Touched]], Iterable[CallRecord]],
    limit: int,
) -> list[CallRecord]:
    """The latest ends first. Spans of time before the newest end are twice as long each time.

    :param ends: the oldest end and the newest one; None: nothing has ended
    :param pages_from: what ended at a moment or later
    :param whole: the records of the calls that these legs belong to, as far as they are whole
    """
    found: list[CallRecord] = []
    if ends is None:
        return found
    (oldest, newest), span = ends, FIRST_SPAN
    while True:
        since = max(oldest, newest - span)
        touched = _some(pages_from(since))
        is_too_much = len(touched) > MOST_READ
        if is_too_much and span > SHORTEST_SPAN:
            if found:
                break
            span /= 2
            continue
        records = {record.id: record for record in whole(touched)}
        found = sorted(records.values(), key=lambda record: (end_of(record), record.id), reverse=True)
        if len(found) >= limit or since <= oldest or is_too_much:
            break
        span *= 2
    return found[:limit]


def _some(pages: Iterable[Sequence[Touched]]) -> Sequence[Touched]:
    """Not many more than are allowed."""
    touched: list[Touched] = []
    for page in pages:
        touched += page
        if len(touched) > MOST_READ:
            break
    return touched
