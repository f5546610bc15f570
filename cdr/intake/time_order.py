"""Reads a table of legs in order of their ends, and yields each call once it is whole."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from cdr.calls.call import CallRecord
from cdr.intake import time_position
from cdr.intake.folded import FoldedCall, FoldOptions, records_of
from cdr.intake.leg import Leg
from cdr.intake.newest import newest_by_time
from cdr.intake.ports import Batch, Bearings, Lag, Position, Progress, StartFrom
from cdr.intake.time_position import TimePosition, mark_of, mark_of_given_up
from cdr.intake.v20_legs import calls_of
from shared import log
from shared.clock import Clock
from shared.errors import NoSuchStart

PAGE_SIZE = 2_000
MOST_LEGS = 10_000
FLOWS_AT_ONCE = 200
"""Whose legs are read together."""

CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""The phone system's and its database's, where these are two machines."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A leg that has ended, as far as it is needed to find its call."""

    leg: str
    flow: str
    main_flow: str | None
    ended_at: datetime

    @property
    def mark(self) -> str:
        return mark_of(self.flow, self.main_flow)


class LegTable(Protocol):
    """An open connection to a table of legs. Every method raises SourceUnavailable or SourceMisconfigured."""

    def now(self) -> datetime:
        """The server's own time (aware, UTC)."""

    def newest_end(self) -> datetime | None:
        """None if no leg has ended."""

    def ended_from(self, since: datetime | None, after: Touched | None, limit: int) -> Sequence[Touched]:
        """Up to ``limit`` legs that ended at ``since`` or later, and beyond ``after``, in order of their ends (and of
        their ids where these are the same)."""

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        """Up to ``limit`` legs of these flows, and of flows that were joined to one of them."""


@dataclass(frozen=True, slots=True)
class LegPatience:
    """``overlap`` is how late a leg may come; ``open_row_wait`` when a call is given up that does not become whole."""

    overlap: timedelta = timedelta(minutes=15)
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
                newest = self.table.newest_end()
                read_from = newest - self.patience.overlap if newest else None
                return TimePosition(read_from=read_from, newest_end=newest, ended_after=newest)
            case datetime():
                return TimePosition(read_from=start, started_from=start)
        raise NoSuchStart("3cx.start_from: this source has no numbers as ids; write a date, or now")

    def batches(self, position: Position) -> Iterator[Batch]:
        """A page of what has ended lately, then a look at the calls that were not whole, then the rest: so that neither
        can keep who stops early from the other."""
        reading = _Reading(self, time_position.from_text(position))
        pages = reading.pages()
        first_page = next(pages, None)
        if first_page is not None:
            yield first_page
        yield from reading.look_again()
        yield from pages

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        read = time_position.from_text(position)
        started_at = record.values.get("started_at")
        if read.started_from and started_at and datetime.fromisoformat(str(started_at)) < read.started_from:
            return True
        ended_at = datetime.fromisoformat(str(record.values["ended_at"]))
        is_waiting = record.id.partition("/")[0] in read.waiting
        return read.newest_end is not None and ended_at <= read.newest_end and not is_waiting

    def lag(self, position: Position | None) -> Lag:
        read = time_position.from_text(position) if position is not None else TimePosition()
        newest = self.table.newest_end()
        beyond = self.table.ended_from(read.newest_end or read.read_from, None, 2)
        waiting = [leg.ended_at for leg in beyond if read.newest_end is None or leg.ended_at > read.newest_end]
        shown = newest.isoformat(timespec="seconds") if newest else None
        return Lag(shown, 0, min(waiting, default=None))

    def bearings(self, position: Position) -> Bearings:
        read, newest = time_position.from_text(position).newest_end, self.table.newest_end()
        is_beyond = read is not None and newest is not None and newest < read
        return Bearings(read, newest, is_beyond=is_beyond, newest_at=newest)

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        """A record belongs to the time of its own end, which is that of one of its call's legs."""
        told: set[str] = set()
        for page in self.pages_from(start):
            within = [leg for leg in page if leg.ended_at < end]
            whole = self._whole(within)
            records = [record for record in whole if record.id not in told and start <= _end_of(record) < end]
            told.update(record.id for record in records)
            yield records
            if len(within) < len(page):
                return

    def newest(self, limit: int) -> Sequence[CallRecord]:
        first, newest = self.table.ended_from(None, None, 1), self.table.newest_end()
        ends = (first[0].ended_at, newest) if first and newest else None
        return newest_by_time(ends, self.pages_from, self._whole, limit)

    def pages_from(self, since: datetime | None) -> Iterator[Sequence[Touched]]:
        """What ended then or later, in order of its end."""
        after: Touched | None = None
        while page := self.table.ended_from(since, after, self.page_size):
            yield page
            after = page[-1]
            if len(page) < self.page_size:
                return

    def _whole(self, touched: Iterable[Touched]) -> Iterator[CallRecord]:
        for legs in legs_by_call(self.table, flows_of(touched), self.patience.most_legs):
            if not isinstance(legs, TooLong):
                for call in calls_of(legs):
                    yield from records_of(call, self.options)

    def check(self) -> None:
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
        for page in self.reader.pages_from(self.position.read_from):
            fresh = [leg for leg in page if not self.position.is_done(leg.mark)]
            before = self.position
            records = self._take(flows_of(fresh))
            self._read_up_to(page[-1].ended_at)
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
                yield self._batch(records, len(some))

    def _take(self, flows: Sequence[str], found: set[str] | None = None) -> list[CallRecord]:
        """The records of the calls that these flows belong to, as far as their time has come; the others wait."""
        records: list[CallRecord] = []
        for legs in legs_by_call(self.reader.table, flows, self.reader.patience.most_legs):
            if isinstance(legs, TooLong):
                records.append(self._take_too_long(legs))
                continue
            if found is not None:
                found.update(leg.flow for leg in legs)
            marks = _marks_by_flow(legs)
            for call in calls_of(legs):
                records += self._take_call(call, {mark for flow in call.flows for mark in marks[flow]}, legs)
        return records

    def _take_call(self, call: FoldedCall, marks: Collection[str], legs: Sequence[Leg]) -> Sequence[CallRecord]:
        if all(self.position.is_done(mark) for mark in marks):
            return ()
        if self._is_of_no_interest(call):
            self._done(call, marks)
            return ()
        given_up = mark_of_given_up(call.id)
        if not call.may_be_logged and self.position.is_done(given_up):
            return ()
        is_late = self._has_waited(call, legs)
        records = records_of(call, self.reader.options, after_wait=is_late, give_up=is_late)
        if records and not call.may_be_logged:
            self._done(call, {given_up})
            return records
        if not records:
            self.position = time_position.waits(self.position, call.flows, self.reader.clock.now())
            return ()
        earlier = [flow for flow in call.flows if self.position.is_done(mark_of(flow, None))]
        self._done(call, marks)
        return self._in_place_of(earlier, call, records, legs) if earlier else records

    def _in_place_of(
        self, earlier: Sequence[str], call: FoldedCall, records: Sequence[CallRecord], legs: Sequence[Leg]
    ) -> Sequence[CallRecord]:
        """Flows that were queued as calls of their own, before it was known that they are one. Who submits these sees
        to it that not both get in."""
        log.event("call.merged_late", level=logging.WARNING, call=call.id, flows=list(call.flows))
        alone = [replace(leg, main_flow=None) for leg in legs if leg.flow in earlier and leg.flow != call.id]
        old = [record for part in calls_of(alone) for record in records_of(part, self.reader.options, give_up=True)]
        return [replace(record, replaces=tuple(o for o in old if _same_person(o, record))) for record in records]

    def _is_of_no_interest(self, call: FoldedCall) -> bool:
        after, begun = self.position.ended_after, self.position.started_from
        is_before = after is not None and call.ended_at is not None and call.ended_at <= after
        return is_before or (begun is not None and call.started_at is not None and call.started_at < begun)

    def _has_waited(self, call: FoldedCall, legs: Sequence[Leg]) -> bool:
        """Since it was first seen here; or since it last changed, for a history that is read for the first time."""
        patience = self.reader.patience
        since = min((at for flow in call.flows if (at := self.position.waiting.get(flow))), default=None)
        if since is not None and self.reader.clock.now() - since >= patience.open_row_wait:
            return True
        moments = [at for leg in legs if leg.flow in call.flows for at in (leg.started_at, leg.ended_at) if at]
        quiet_for = self.server_now - max(moments, default=self.server_now)
        return quiet_for >= patience.open_row_wait + patience.overlap

    def _done(self, call: FoldedCall, marks: Collection[str]) -> None:
        ended_at = call.ended_at or self.position.newest_end or self.server_now
        self.position = time_position.queued(self.position, marks, ended_at, call.flows)

    def _take_too_long(self, found: TooLong) -> CallRecord:
        """Such a call is a loop of forwarding; it is told of once."""
        ended_at = max((leg.ended_at for leg in found.legs if leg.ended_at), default=self.server_now)
        problem = f"The call has more than {self.reader.patience.most_legs} legs"
        marks = {mark_of(leg.flow, leg.main_flow) for leg in found.legs}
        self.position = time_position.queued(self.position, marks, ended_at, [found.flow])
        return CallRecord.from_row(
            {"id": found.flow, "call_id": found.flow, "ended_at": ended_at.isoformat(), "problem": problem}
        )

    def _read_up_to(self, newest: datetime) -> None:
        overlap = self.reader.patience.overlap
        self.position = time_position.read_up_to(self.position, newest, self.server_now, overlap)

    def _batch(self, records: Sequence[CallRecord], read: int) -> Batch:
        return Batch(records, time_position.to_text(self.position), read)


@dataclass(frozen=True, slots=True)
class TooLong:
    """A flow with more legs than are read of a call; ``legs`` are some of them."""

    flow: str
    legs: Sequence[Leg]


def legs_by_call(table: LegTable, flows: Sequence[str], most_legs: int) -> Iterator[Sequence[Leg] | TooLong]:
    """All legs of the calls of these flows, some calls at a time, each call once."""
    seen: set[str] = set()
    for start in range(0, len(flows), FLOWS_AT_ONCE):
        wanted = [flow for flow in flows[start : start + FLOWS_AT_ONCE] if flow not in seen]
        for legs in _joined(table, wanted, most_legs):
            if not isinstance(legs, TooLong):
                seen.update(leg.flow for leg in legs)
            yield legs


def _joined(table: LegTable, flows: Sequence[str], most_legs: int) -> Iterator[Sequence[Leg] | TooLong]:
    """Over any number of steps, until no flow is named that was not asked for."""
    asked: set[str] = set()
    legs: list[Leg] = []
    wanted = set(flows)
    while wanted:
        found = table.legs_of(sorted(wanted), most_legs + 1)
        if len(found) > most_legs:
            yield from _apart(table, flows, found, most_legs)
            return
        asked |= wanted
        legs += found
        wanted = {flow for leg in found for flow in (leg.flow, leg.main_flow) if flow is not None} - asked
    if legs:
        yield legs


def _apart(
    table: LegTable, flows: Sequence[str], found: Sequence[Leg], most_legs: int
) -> Iterator[Sequence[Leg] | TooLong]:
    """Together they have too many legs: one of them is too long, or they are too many calls."""
    if len(flows) == 1:
        yield TooLong(flows[0], found)
        return
    middle = len(flows) // 2
    yield from _joined(table, flows[:middle], most_legs)
    yield from _joined(table, flows[middle:], most_legs)


def flows_of(touched: Iterable[Touched]) -> list[str]:
    return list(dict.fromkeys(leg.flow for leg in touched))


def _marks_by_flow(legs: Iterable[Leg]) -> dict[str, set[str]]:
    marks: defaultdict[str, set[str]] = defaultdict(set)
    for leg in legs:
        marks[leg.flow].add(mark_of(leg.flow, leg.main_flow))
    return marks


def _end_of(record: CallRecord) -> datetime:
    return datetime.fromisoformat(str(record.values["ended_at"]))


def _same_person(one: CallRecord, other: CallRecord) -> bool:
    """Where each person has an entry, only one's own is in place of another."""
    return one.id.partition("/")[2] in ("", other.id.partition("/")[2])


def progress(position: Position) -> Progress:
    """:raises PositionUnreadable: it is none of a table of legs"""
    read = time_position.from_text(position)
    shown = read.newest_end.isoformat(timespec="seconds") if read.newest_end else None
    return Progress(shown, len(read.waiting), 0)
