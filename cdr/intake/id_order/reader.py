"""Reads a table of calls in order of id: late ids and rows without an end are looked for again until they settle."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

from cdr.calls.call import CallRecord
from cdr.calls.fingerprint import Fingerprint, fingerprint, may_be_same
from cdr.calls.rules import end_time
from cdr.calls.times import YEARS, readings, time_of
from cdr.intake.id_order import position as id_position
from cdr.intake.id_order.position import IdPosition, Seen
from cdr.intake.id_order.span import span_of
from cdr.intake.id_order.table import Row, RowPatience, RowTable
from cdr.intake.newest import newest_by_id
from cdr.intake.ports import MOST_NAMELESS, Batch, Bearings, Behind, Lag, Position, Progress, StartFrom, Unread
from shared import log
from shared.clock import Clock
from shared.errors import InvalidRow, PositionUnreadable, SourceMisconfigured

PAGE_SIZE = 500

STEP = 1_000
"""Late rows are looked for among ten times as many ids; so many farther they are others."""

FAR_AHEAD = timedelta(days=1)
"""An end that is further ahead than time zones and clocks can be wrong stands for a call that is still on."""


@dataclass(frozen=True, slots=True)
class IdOrderReader:
    """A CallReader. ``timezone`` is that of the table's timestamps without an offset."""

    table: RowTable
    clock: Clock
    patience: RowPatience
    timezone: str = "UTC"
    page_size: int = PAGE_SIZE

    def begin(self, start: StartFrom) -> Position:
        return id_position.to_text(self._first(start))

    def _first(self, start: StartFrom) -> IdPosition:
        if start == "beginning":
            return IdPosition()
        if isinstance(start, int):
            return IdPosition(start)
        newest = self.table.newest_id()
        if isinstance(start, datetime):
            first = self.table.first_id_since(start)
            return IdPosition(first - 1 if first is not None else newest)
        return IdPosition(newest if newest is not None else 0)

    def batches(self, position: Position) -> Iterator[Batch]:
        """First a look at what is behind the position: until that has become less, a full position has no room for
        what is new. Then at least a page of what is new, however long the look took: neither may starve the other."""
        reading = _Reading(self, id_position.from_text(position))
        yield from reading.look_again()
        while reading.may_be_more:
            yield from reading.next_page()

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        return id_position.has_passed(id_position.from_text(position), int(record.source_id))

    def lag(self, position: Position | None) -> Lag:
        last = id_position.from_text(position).last if position is not None else None
        newest = self.table.newest_id()
        behind = 0 if newest is None else newest - last if last is not None else newest
        return Lag(newest, max(0, behind), self._waiting_since(last))

    def bearings(self, position: Position) -> Bearings:
        read = id_position.from_text(position)
        newest = self.table.newest_id()
        wanted = sorted({row_id for row_id in (read.last, newest) if row_id is not None})
        there = {row.id: row for row in self.table.rows_in([(n, n) for n in wanted], None, len(wanted))}
        at_position, at_end = there.get(read.last or 0), there.get(newest or 0)
        return Bearings(
            read=read.last,
            newest=newest,
            is_beyond=read.last is not None and newest is not None and newest < read.last,
            is_another=at_position is not None and not may_be_same(read.anchor, self.anchor_of(at_position)),
            newest_at=self._end_or_start_of(at_end) if at_end is not None else None,
            first_at=self._first_at(read.last) if at_position is None and read.last is not None else None,
        )

    def unread(self, position: Position) -> Unread:
        """Where nothing is missing that is still looked for, no row has to come any more."""
        settled, behind = id_position.settled(id_position.from_text(position)), None
        if settled is not None:
            up_to = settled // STEP * STEP
            behind = Behind(str(up_to), self.table.count_among(up_to - 10 * STEP, up_to - 1))
        return Unread(self.table.nameless(MOST_NAMELESS), behind)

    def _first_at(self, before: int) -> datetime | None:
        behind = [row for row in self.table.rows_after(None, 1) if row.id < before]
        return next((self._moment_of(row, "started_at") or self._moment_of(row, "ended_at") for row in behind), None)

    def is_over(self, row: Row) -> bool:
        ends = self._moments_of(row, "ended_at") if row.ended else ()
        if not ends:
            return row.ended
        now = self.clock.now()
        # In the hour that comes twice its last pass, as long as that is not still to come.
        ended_at = max((end for end in ends if end <= now), default=ends[0])
        return now - ended_at >= (self.patience.settle or -FAR_AHEAD)

    def is_hopeless(self, row: Row) -> bool:
        """Whether it has no end, and began so long ago that none will come in all likelihood."""
        if row.ended and not self._ends_far_ahead(row):
            return False
        now = self.clock.now()
        began = max(self._moments_of(row, "started_at"), default=now)
        return began.year in YEARS and now - began >= self.patience.open_row_wait

    def given_up(self, row: Row) -> Row:
        """What is told of a row that does not end: also of one whose end is still to come."""
        if not (row.ended and self._ends_far_ahead(row)):
            return row
        told = {"problem": "its end lies in the future"}
        return replace(row, records=tuple(replace(each, values={**each.values, **told}) for each in row.records))

    def _ends_far_ahead(self, row: Row) -> bool:
        ended_at = self._moment_of(row, "ended_at")
        return ended_at is not None and ended_at - self.clock.now() > FAR_AHEAD

    @staticmethod
    def anchor_of(row: Row) -> Fingerprint:
        return fingerprint(row.records[0]) if row.records else ""

    def _end_or_start_of(self, row: Row) -> datetime | None:
        """A row that is still on may have a placeholder for its end."""
        ended_at = self._moment_of(row, "ended_at") if row.ended else None
        return ended_at or self._moment_of(row, "started_at")

    def _moment_of(self, row: Row, column: str) -> datetime | None:
        return next(iter(self._moments_of(row, column)), None)

    def _moments_of(self, row: Row, column: str) -> Sequence[datetime]:
        written = row.records[0].values.get(column) if row.records else None
        if isinstance(written, str):
            with suppress(ValueError, OverflowError):  # of what is no date either, and at the end of the calendar
                return readings(time_of(written) or datetime.fromisoformat(written.strip()), self.timezone)
        return ()

    def _waiting_since(self, last: int | None) -> datetime | None:
        for row in self.table.rows_after(last, 1):
            for record in row.records:
                try:
                    return end_time(record, self.timezone)
                except InvalidRow:
                    return None
        return None

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        within = span_of(self.table, start, end, self._end_or_start_of)
        while page := self.table.rows_ended_between(start, end, within, self.page_size):
            yield [record for row in page for record in row.records]
            if len(page) < self.page_size:  # to see that there is no more, the rest of the span would be read once more
                return
            within = within._replace(after=page[-1].id)

    def again(self, record: CallRecord) -> Sequence[CallRecord]:
        number = record.source_id
        if not re.fullmatch("-?[0-9]{1,40}", number):
            return ()
        rows = self.table.rows_in([(int(number), int(number))], None, 1)
        return [each for row in rows if row.ended for each in row.records]

    def newest(self, limit: int) -> Sequence[CallRecord]:
        return newest_by_id(self.table, limit, self.page_size)

    def check(self, position: Position | None = None) -> None:
        """At the beginning of a table that is a JOIN, the first row may be long to look for."""
        last = None
        with suppress(PositionUnreadable):
            last = id_position.from_text(position).last if position is not None else None
        self.table.rows_after(last, 1)


def progress(position: Position) -> Progress:
    """:raises PositionUnreadable: it is none of a table with ids"""
    read = id_position.from_text(position)
    return Progress(read.last, len(read.open_rows), read.missing)


@dataclass
class _Reading:
    """One reading of the table, from a position on."""

    reader: IdOrderReader
    position: IdPosition
    may_be_more: bool = True

    def next_page(self) -> Iterator[Batch]:
        """One row more is read than belongs to it: what has the same id would otherwise be passed over unseen."""
        size = self.reader.page_size
        rows = self.reader.table.rows_after(self.position.last, size + 1)
        _check_unique(rows)
        page, self.may_be_more = rows[:size], len(rows) > size
        if page:
            anchor = self.reader.anchor_of(page[-1])
            over = {row.id for row in page if self.reader.is_over(row)}
            hopeless = self._too_many([row for row in page if row.id not in over])
            page = [self.reader.given_up(row) if row.id in hopeless else row for row in page]
            seen = [Seen(row.id, row.id in over or row.id in hopeless) for row in page]
            position = id_position.advance(self.position, seen, self.reader.clock.now())
            yield self._batch(page, seen, replace(position, anchor=anchor))

    def _too_many(self, still_on: Sequence[Row]) -> Collection[int]:
        """Those for which the position has no room, since nothing is likely to become of them."""
        left = max(0, self.reader.patience.most_open - len(self.position.open_rows))
        return frozenset([row.id for row in still_on if self.reader.is_hopeless(row)][left:])

    def look_again(self) -> Iterator[Batch]:
        """Ask again for the rows that had not ended and for the ids that were missing.

        What is overdue is judged once, before the look: a row that became so during it would be forgotten unseen.
        """
        patience, began = self.reader.patience, self.reader.clock.now()
        given_up = id_position.overdue(self.position, began, patience.open_row_wait)
        was_there = self.position
        for raw, is_all_there_is in self._looks(began, given_up):
            # Only once there was something: else the next look, which begins with the same, would come no further.
            if self.position != was_there and self.reader.clock.now() - began > patience.look_for:
                return
            if not raw:
                continue
            looked_for = (row for row in raw if id_position.is_looked_for(self.position, row.id))
            page = [self.reader.given_up(row) if row.id in given_up else row for row in looked_for]
            seen = [Seen(row.id, self.reader.is_over(row) or row.id in given_up) for row in page]
            looked = id_position.look_again(self.position, seen, self.reader.clock.now())
            if is_all_there_is:
                looked = id_position.come_by(looked, raw[-1].id, began, patience.gap_wait)
            if looked != self.position:
                yield self._batch(page, seen, looked, is_news=False)
        kept = id_position.forget(self.position, began, patience.gap_wait, patience.open_row_wait)
        for row_id in sorted(self.position.open_rows.keys() - kept.open_rows.keys()):
            log.event("row.vanished", level=logging.WARNING, row_id=row_id)
        if kept != self.position:
            yield self._batch((), (), kept, is_news=False)

    def _looks(self, began: datetime, given_up: Collection[int]) -> Iterator[tuple[list[Row], bool]]:
        """Pages, each with whether it holds every row there is up to its last one. Of calls that go on nothing is read:
        there may be thousands of them at each poll."""
        table, position = self.reader.table, self.position
        if going_on := sorted(position.open_rows.keys() - set(given_up)):
            for page in self._pages(partial(table.ended_among, going_on)):
                yield page, False
        if ranges := id_position.to_look_at_again(position, began, self.reader.patience.gap_wait, given_up):
            for page in self._pages(partial(table.rows_in, ranges)):
                yield page, True

    def _pages(self, ask: Callable[[int | None, int], list[Row]]) -> Iterator[list[Row]]:
        size, after = self.reader.page_size, None
        while True:
            page = ask(after, size)
            yield page
            if len(page) < size:
                return
            after = page[-1].id

    def _batch(self, page: Sequence[Row], seen: Sequence[Seen], position: IdPosition, *, is_news: bool = True) -> Batch:
        self.position = position
        records = [record for row, fact in zip(page, seen, strict=True) if fact.ended for record in row.records]
        return Batch(records, id_position.to_text(position), len(page), is_news)


def _check_unique(rows: Sequence[Row]) -> None:
    twice = next((row.id for row, after in pairwise(rows) if row.id == after.id), None)
    if twice is not None:
        raise SourceMisconfigured(
            f"3cx.schema: the id {twice} comes more than once, but each row must be a call of its own. If a JOIN "
            "multiplies the rows, join what yields one row for each call, such as a subquery or an APPLY with TOP 1"
        )
