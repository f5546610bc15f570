"""Reads a table of legs in order of their ends, and yields each call once it is whole."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cdr.calls.call import CallRecord, Direction
from cdr.intake.folding.fold import FoldedCall, FoldOptions, end_of, in_place_of, records_of
from cdr.intake.folding.leg import Leg
from cdr.intake.folding.v20_legs import calls_of
from cdr.intake.newest import newest_by_time
from cdr.intake.ports import MOST_NAMELESS, Batch, Bearings, Behind, Lag, Position, Progress, StartFrom, Unread
from cdr.intake.queued_marks import mark_of, mark_of_given_up
from cdr.intake.time_order import position as time_position
from cdr.intake.time_order.position import TimePosition
from cdr.intake.time_order.table import (
    FLOWS_AT_ONCE,
    LegTable,
    TooLong,
    Touched,
    endless_pages,
    flows_of,
    legs_by_call,
    newest_end_of,
    pages_from,
)
from cdr.intake.time_order.unfindable import unfindable
from shared import log
from shared.clock import Clock
from shared.errors import NoSuchStart

PAGE_SIZE = 2_000
MOST_LEGS = 10_000

CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""The phone system's and its database's, where these are two machines."""

LOOKED_BACK = timedelta(hours=6)
"""For legs that come where reading has gone on from. A clock that is set back by more comes by here in time."""

_NEXT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LegPatience:
    """How long is waited, and for what.

    ``overlap`` is how late a leg may come, or be told to belong to another call. A call knows which legs it misses, but
    where nobody answered, the phone that rang last is named by no other leg: then a call from outside must have been
    over for ``settle``, which is no longer than the overlap. ``open_row_wait`` is when a call is given up that does not
    become whole.
    """

    overlap: timedelta = timedelta(minutes=15)
    settle: timedelta = timedelta(minutes=5)
    open_row_wait: timedelta = timedelta(hours=24)
    most_legs: int = MOST_LEGS


@dataclass(frozen=True, slots=True)
class TimeOrderReader:
    """A CallReader."""

    table: LegTable
    clock: Clock
    patience: LegPatience
    options: FoldOptions
    page_size: int = PAGE_SIZE

    def begin(self, start: StartFrom) -> Position:
        return time_position.to_text(self._first(start))

    def _first(self, start: StartFrom) -> TimePosition:
        match start:
            case "beginning":
                return TimePosition()
            case "now":
                newest = self.table.newest_end() or self.table.now()
                return TimePosition(newest - self.patience.overlap, newest_end=newest, ended_after=newest)
            case datetime():
                return TimePosition(read_from=start, started_from=start)
        raise NoSuchStart("3cx.start_from: this source has no numbers as ids; write a date, or now")

    def batches(self, position: Position) -> Iterator[Batch]:
        """What never ended, while the position still remembers what was told of it. Then a page of what has ended
        lately, then a look at the calls that were not whole, then the rest: so that neither can keep who stops early
        from the other."""
        reading = _Reading(self, time_position.from_text(position))
        yield from reading.endless()
        pages = reading.pages()
        first_page = next(pages, None)
        if first_page is not None:
            yield first_page
        yield from reading.look_again()
        yield from pages

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        read, flow, ended_at = time_position.from_text(position), record.source_id, end_of(record)
        started_at = record.values.get("started_at")
        if read.started_from and started_at and datetime.fromisoformat(str(started_at)) < read.started_from:
            return True
        if read.newest_end is None or ended_at > read.newest_end or flow in read.waiting:
            return False
        if mark_of(flow, None) in read.done or read.newest_end - ended_at >= self.patience.overlap:
            return True
        return self.table.now() - ended_at >= self.patience.overlap

    def must_settle(self, call: FoldedCall, now: datetime) -> bool:
        """Whether it ended so lately that a leg may still come that no other one names, and changes what is told of it.
        Where the end is far ahead, by a clock that was wrong, there is nothing to wait for."""
        return call.ended_at is not None and abs(now - call.ended_at) < self._time_to_settle(call)

    def _time_to_settle(self, call: FoldedCall) -> timedelta:
        """None where one of ours talked with somebody outside. Of what we begin ourselves it may be told late that it
        was a consultation within another call."""
        people = call.owners.get("each", ())
        if people and not any(entry.is_internal for entry in people):
            return timedelta()
        missed = call.unanswered
        is_begun_outside = missed is not None and not missed.is_internal and missed.direction is Direction.INBOUND
        return self.patience.settle if is_begun_outside else self.patience.overlap

    def lag(self, position: Position | None) -> Lag:
        read = time_position.from_text(position) if position is not None else TimePosition()
        newest = self.table.newest_end()
        beyond = self.table.ended_from(read.newest_end + _NEXT if read.newest_end else read.read_from, 1)
        shown = newest.isoformat(timespec="seconds") if newest else None
        return Lag(shown, 0, min((leg.ended_at for leg in beyond), default=None))

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        """A record belongs to the time of its own end, which is that of one of its call's legs."""
        told: set[str] = set()
        for page in pages_from(self.table, start, self.page_size):
            within = [leg for leg in page if leg.ended_at < end]
            whole = self._whole(within)
            records = [record for record in whole if record.id not in told and start <= end_of(record) < end]
            told.update(record.id for record in records)
            yield records
            if len(within) < len(page):
                return

    def newest(self, limit: int) -> Sequence[CallRecord]:
        first, newest = self.table.ended_from(None, 1), self.table.newest_end()
        ends = (first[0].ended_at, newest) if first and newest else None
        return newest_by_time(ends, lambda since: pages_from(self.table, since, self.page_size), self._whole, limit)

    def _whole(self, touched: Iterable[Touched]) -> Iterator[CallRecord]:
        for legs in legs_by_call(self.table, flows_of(touched), self.patience.most_legs):
            if not isinstance(legs, TooLong):
                for call in calls_of(legs):
                    yield from records_of(call, self.options)

    def again(self, record: CallRecord) -> Sequence[CallRecord]:
        found = legs_by_call(self.table, [record.source_id], self.patience.most_legs)
        calls = [call for legs in found if not isinstance(legs, TooLong) for call in calls_of(legs)]
        return [each for call in calls for each in records_of(call, self.options)]

    def bearings(self, position: Position) -> Bearings:
        read, newest = time_position.from_text(position).newest_end, self.table.newest_end()
        return Bearings(
            read,
            newest,
            is_beyond=read is not None and newest is not None and newest < read,
            newest_at=newest,
        )

    def unread(self, position: Position) -> Unread:
        """Of whole hours, so that a look or two later it still is of the same ones."""
        read_from, behind = time_position.from_text(position).read_from, None
        if read_from is not None:
            until = read_from.replace(minute=0, second=0, microsecond=0)
            behind = Behind(until.isoformat(), self.table.count_ended(until - LOOKED_BACK, until))
        return Unread(self.table.nameless(MOST_NAMELESS), behind)

    def check(self, position: Position | None = None) -> None:  # noqa: ARG002 - its newest end is as cheap
        self.table.newest_end()


@dataclass
class _Reading:
    """One reading of the table, from a position on."""

    reader: TimeOrderReader
    position: TimePosition
    server_now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.server_now = self.reader.table.now()
        newest = self.position.newest_end
        if newest is not None and self.server_now < newest - CLOCKS_DIFFER_BY:
            log.event("source.clock_set_back", level=logging.WARNING, newest=newest, now=self.server_now)
            self.position = time_position.put_back(self.position, self.server_now, self.reader.patience.overlap)

    def pages(self) -> Iterator[Batch]:
        for page in pages_from(self.reader.table, self.position.read_from, self.reader.page_size):
            before, found = self.position, set[str]()
            fresh = flows_of(leg for leg in page if leg.mark not in before.done)
            records = self._take(fresh, found)
            records += self._take_lost(set(fresh) - found, page)
            self._read_up_to(newest_end_of(page))
            if records or self.position != before:
                yield self._batch(records, len(page))

    def look_again(self) -> Iterator[Batch]:
        """At the calls that were not whole, which may be so by now by a leg that ended long ago and came late."""
        waiting = list(self.position.waiting)
        for start in range(0, len(waiting), FLOWS_AT_ONCE):
            some = [flow for flow in waiting[start : start + FLOWS_AT_ONCE] if flow in self.position.waiting]
            before, found = self.position, set[str]()
            records = self._take(some, found)
            for flow in sorted(set(some) - found):
                log.event("row.vanished", level=logging.WARNING, row_id=flow)
            self.position = time_position.vanished(self.position, set(some) - found)
            if records or self.position != before:
                yield replace(self._batch(records, len(some)), is_news=False)

    def endless(self) -> Iterator[Batch]:
        """What began so long ago that it is given up. A call of which no leg ever ends is not come by otherwise."""
        reader = self.reader
        after = reader.patience.open_row_wait + reader.patience.overlap
        since = self.position.read_from - after if self.position.read_from else None
        for page in endless_pages(reader.table, since, self.server_now - after, reader.page_size):
            before = self.position
            records = self._take(flows_of(leg for leg in page if leg.mark not in before.done), set())
            if records or self.position != before:
                yield replace(self._batch(records, len(page)), is_news=False)

    def _take(self, flows: Sequence[str], found: set[str]) -> list[CallRecord]:
        """The records of the calls that these flows belong to, as far as their time has come; the others wait.
        ``found`` gets the flows that have legs."""
        records: list[CallRecord] = []
        for legs in legs_by_call(self.reader.table, flows, self.reader.patience.most_legs):
            if isinstance(legs, TooLong):
                found.update(leg.flow for leg in legs.legs)
                records += self._take_too_long(legs)
                continue
            by_flow = defaultdict[str, list[Leg]](list)
            for leg in legs:
                by_flow[leg.flow].append(leg)
            found.update(by_flow)
            for call in calls_of(legs):
                records += self._take_call(call, [leg for flow in call.flows for leg in by_flow[flow]])
        return records

    def _take_call(self, call: FoldedCall, legs: Sequence[Leg]) -> Sequence[CallRecord]:
        """``legs`` with all copies, since the table will go on to have all of them."""
        marks = {mark_of(leg.flow, leg.main_flow) for leg in legs}
        if self._is_done(call, marks):
            return ()
        if self._is_of_no_interest(call):
            self._done(call, marks)
            return ()
        is_late = self._has_waited(call, legs)
        if call.is_whole and not is_late and self.reader.must_settle(call, self.server_now):
            return ()  # it ended within the overlap, so the next poll comes by it again
        records: Sequence[CallRecord] = records_of(call, self.reader.options, after_wait=is_late, give_up=is_late)
        if not records:
            self.position = time_position.waits(self.position, call.flows, self.reader.clock.now())
        elif call.may_be_logged:
            records = self._in_place_of_parts(call, records, legs)
            self._done(call, marks)
        else:
            self._done(call, {mark_of_given_up(call.id)})
        return records

    def _is_done(self, call: FoldedCall, marks: Collection[str]) -> bool:
        is_given_up = not call.may_be_logged and mark_of_given_up(call.id) in self.position.done
        return is_given_up or all(mark in self.position.done for mark in marks)

    def _in_place_of_parts(
        self, call: FoldedCall, records: Sequence[CallRecord], legs: Sequence[Leg]
    ) -> Sequence[CallRecord]:
        """Flows may have been queued as calls of their own, before it was known that they are one."""
        alone = [leg for part in call.flows for leg in self._as_queued([leg for leg in legs if leg.flow == part])]
        parts = (record for part in calls_of(alone) for record in records_of(part, self.reader.options, give_up=True))
        merged = in_place_of(parts, records)
        if merged != list(records):
            log.event("call.merged_late", level=logging.WARNING, call=call.id, flows=list(call.flows))
        return merged

    def _as_queued(self, flow: Sequence[Leg]) -> Sequence[Leg]:
        """A flow's legs as they were when they were queued; nothing if they were not.

        Where its mark would have been dropped meanwhile it is taken for queued, which does no harm.
        """
        queued = [leg for leg in flow if mark_of(leg.flow, leg.main_flow) in self.position.done]
        if queued or flow[0].flow in self.position.waiting:
            return queued
        forgotten = self.position.read_from
        is_old = all(leg.ended_at and forgotten and leg.ended_at < forgotten for leg in flow)
        is_alone = mark_of(flow[0].flow, None) in self.position.done or is_old
        return [replace(leg, main_flow=None) for leg in flow] if is_alone else ()

    def _is_of_no_interest(self, call: FoldedCall) -> bool:
        """While a leg is missing that may be a talk, nobody knows when a call is over."""
        after, begun = self.position.ended_after, self.position.started_from
        ended_at = call.ended_at if call.may_be_logged else None
        is_before = after is not None and ended_at is not None and ended_at <= after
        return is_before or (begun is not None and call.started_at is not None and call.started_at < begun)

    def _has_waited(self, call: FoldedCall, legs: Sequence[Leg]) -> bool:
        """Since it was first seen here; or since it last changed, for a history that is read for the first time."""
        patience = self.reader.patience
        since = min((at for flow in call.flows if (at := self.position.waiting.get(flow))), default=None)
        if since is not None and self.reader.clock.now() - since >= patience.open_row_wait:
            return True
        moments = [at for leg in legs for at in (leg.started_at, leg.ended_at) if at]
        quiet_for = self.server_now - max(moments, default=self.server_now)
        return quiet_for >= patience.open_row_wait + patience.overlap

    def _done(self, call: FoldedCall, marks: Collection[str]) -> None:
        self.position = time_position.queued(self.position, marks, call.ended_at or self.server_now, call.flows)

    def _take_too_long(self, found: TooLong) -> Sequence[CallRecord]:
        """Such a call is a loop of forwarding; it is told of once, however many of its flows lead to it."""
        marks = {mark_of(leg.flow, leg.main_flow) for leg in found.legs} | {mark_of_given_up(found.name)}
        is_known = mark_of_given_up(found.name) in self.position.done
        ended_at = max((leg.ended_at for leg in found.legs if leg.ended_at), default=self.server_now)
        flows = {leg.flow for leg in found.legs}
        self.position = time_position.queued(self.position, marks, max(ended_at, self.server_now), flows)
        problem = f"The call has more than {self.reader.patience.most_legs} legs"
        row = {"id": found.name, "call_id": found.name, "ended_at": ended_at.isoformat(), "problem": problem}
        return () if is_known else [CallRecord.from_row(row)]

    def _take_lost(self, lost: Collection[str], page: Sequence[Touched]) -> Sequence[CallRecord]:
        records = unfindable(lost, page)
        for record in records:
            marks = {leg.mark for leg in page if leg.flow == record.id}
            self.position = time_position.queued(self.position, marks, end_of(record), [record.id])
        return records

    def _read_up_to(self, newest: datetime) -> None:
        overlap = self.reader.patience.overlap
        self.position = time_position.read_up_to(self.position, newest, self.server_now, overlap)

    def _batch(self, records: Sequence[CallRecord], read: int) -> Batch:
        return Batch(records, time_position.to_text(self.position), read)


def progress(position: Position) -> Progress:
    """:raises PositionUnreadable: it is none of a table of legs"""
    read = time_position.from_text(position)
    shown = read.newest_end.isoformat(timespec="seconds") if read.newest_end else None
    return Progress(shown, len(read.waiting), 0)
