"""Reads a report that tells rows by their start, and yields each call once nothing that goes on can still be it.

A row is there once it has ended, so it may be hours younger than its start, and no row names its successor. So

- every moment is read again at ages that grow by half, up to the longest call: whatever comes late is found at the
  latest when half as much time again has passed;
- where the phone system says that a call is no longer under way, its moment is read as soon as its rows are there;
- of a call of which there is a row, all that can belong to it is read;
- a call is over if at a look at what is under way, and at every look since, there was nothing that it may be, and
  the rows of what ended until then have had the time to come.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol

from cdr.calls.call import CallRecord
from cdr.intake import window_position
from cdr.intake.folded import FoldedCall, FoldOptions, records_of
from cdr.intake.gathering import Gathering, Span, around, beginning_in, span_of, spans_to_read
from cdr.intake.leg import Leg
from cdr.intake.ports import Batch, Lag, Position, Progress, StartFrom
from cdr.intake.report_rows import calls_of_report
from cdr.intake.time_position import mark_of, mark_of_given_up
from cdr.intake.under_way import UnderWay, look
from cdr.intake.window_position import Again, WindowPosition
from shared import log
from shared.clock import Clock
from shared.errors import SourceMisconfigured

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Older than every release that has the report."""
FIRST_WIDTH, WIDEST = timedelta(hours=1), timedelta(days=7)
FEW_ROWS = 500
MOST_WAITING = 2_000
"""Calls that the position has room for. Beyond, nothing new is read until some of them are over."""
TOGETHER = 50
"""Calls that are looked at again at once."""
PART_OF_AGE = 8
"""An age is read on when so much of it has passed."""


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
        ages = [self.rows_late + timedelta(minutes=2)]
        while ages[-1] < self.open_row_wait + self.rows_late:
            ages.append(ages[-1] * 3 / 2)
        return [timedelta(seconds=age // timedelta(seconds=1)) for age in ages]


@dataclass(frozen=True, slots=True)
class WindowOrderReader:
    """A CallReader."""

    log: ReportLog
    clock: Clock
    patience: ReportPatience
    options: FoldOptions

    def begin(self, start: StartFrom) -> Position:
        return window_position.to_text(self._first(start))

    def _first(self, start: StartFrom) -> WindowPosition:
        ages, now = self.patience.ages, self.clock.now()
        match start:
            case "beginning":
                return WindowPosition(dict.fromkeys(ages, BEGINNING))
            case "now":
                return WindowPosition({age: now - age for age in ages}, ended_after=now)
            case datetime():
                return WindowPosition(dict.fromkeys(ages, start), started_from=start)
        raise SourceMisconfigured("3cx.start_from: this source has no numbers as ids; write a date, or now")

    def batches(self, position: Position) -> Iterator[Batch]:
        """A window of what is new, then the calls whose time has come, then the rest: so that neither can keep who
        stops early from the other."""
        reading = _Reading(self, self._read(position))
        first, *older = self.patience.ages
        yield reading.look()
        new = reading.windows_of(first)
        yield from islice(new, 1)
        yield from reading.look_again()
        yield from new
        for age in older:
            yield from reading.windows_of(age)

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        """Queued; or read when the row must have been there, and not waited for."""
        read, flow = self._read(position), record.id.partition("/")[0]
        if mark_of(flow, None) in read.done:
            return True
        if flow in read.waiting:
            return False
        ended_at = datetime.fromisoformat(str(record.values["ended_at"]))
        started_at = datetime.fromisoformat(str(record.values["started_at"]))
        enough = ended_at - started_at + self.patience.rows_late
        return any(age >= enough and until > started_at for age, until in read.read.items())

    def lag(self, position: Position | None) -> Lag:
        """What has been over for longer than it takes until a call is queued."""
        newest = self.log.newest_start()
        shown = newest.isoformat(timespec="seconds") if newest else None
        if position is None:
            return Lag(shown, 0, None)
        read = self._read(position)
        first = self.patience.ages[0]
        until = read.read[first]
        is_behind = newest is not None and newest > until and self.clock.now() - until > 2 * first
        ends = [each.ended_at for each in read.waiting.values()]
        return Lag(shown, 0, min([*ends, *([until] if is_behind else [])], default=None))

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        """By the start of their rows, which may be as long before their end as the longest call."""
        told: set[str] = set()
        now = self.clock.now()
        for window in self.log.windows(start - self.patience.open_row_wait, min(end, now)):
            gathering = self.gathering(now)
            gathering.add((window.start, window.end), window.rows)
            flows = gathering.flows
            gather(gathering, flows)
            records = [
                record
                for call, _ in gathering.calls_of(flows)
                for record in records_of(call, self.options)
                if record.id not in told and start <= _end_of(record) < end
            ]
            told.update(record.id for record in records)
            yield records

    def check(self) -> None:
        now = self.clock.now()
        next(iter(self.log.windows(now - timedelta(seconds=1), now)), None)

    def gathering(self, now: datetime) -> Gathering:
        def read(start: datetime, end: datetime) -> Iterator[Leg]:
            return (row for window in self.log.windows(start, end) for row in window.rows)

        return Gathering(read, now)

    def _read(self, position: Position) -> WindowPosition:
        return window_position.from_text(position).of_ages(self.patience.ages)


def gather(gathering: Gathering, flows: Collection[str]) -> None:
    """Everything that belongs to the calls of these flows."""
    while gathering.read_more(span for _, legs in gathering.calls_of(flows) for span in spans_to_read(legs)):
        pass


@dataclass
class _Reading:
    """One reading of the report, from a position on."""

    reader: WindowOrderReader
    position: WindowPosition
    now: datetime = field(init=False)
    width: timedelta = FIRST_WIDTH

    def __post_init__(self) -> None:
        self.now = self.reader.clock.now()

    def look(self) -> Batch:
        """At what is under way. Where something no longer is, its rows should be there after a while."""
        patience = self.reader.patience
        found = self.reader.log.calls_under_way()
        if found is None:
            if not self.position.blind:
                log.event("source.blind", level=logging.WARNING, quiet_minutes=patience.quiet // timedelta(minutes=1))
            self.position = replace(self.position, blind=True)
            return self._batch((), 0)
        looks, moments = look(self.position.looks, found, self.now, patience.rows_late)
        again = [Again(moment, self.now + patience.rows_late) for moment in moments]
        self.position = replace(self.position, blind=False, looks=looks, again=(*self.position.again, *again))
        return self._batch((), 0)

    def windows_of(self, age: timedelta) -> Iterator[Batch]:
        """What is of this age now, and was not read since."""
        while (until := self.now - age) - (start := self.position.read[age]) >= age / PART_OF_AGE:
            rows = 0
            for window in self.reader.log.windows(start, min(until, start + self.width)):
                if len(self.position.waiting) >= MOST_WAITING:
                    return
                rows += len(window.rows)
                yield self._take_window(window)
            self.width = min(WIDEST, self.width * 2) if rows < FEW_ROWS else FIRST_WIDTH

    def _take_window(self, window: Window) -> Batch:
        gathering = self.reader.gathering(self.now)
        gathering.add((window.start, window.end), window.rows)
        records = self._take(gathering, gathering.flows)
        self.position = window_position.read_between(self.position, window.start, window.end, self.now)
        return self._batch(records, len(window.rows))

    def look_again(self) -> Iterator[Batch]:
        """At the calls that may be over by now, and around the moments of those that were under way."""
        due = sorted((each for each in self.position.again if each.due <= self.now), key=lambda each: each.around)
        for start in range(0, len(due), TOGETHER):
            some = due[start : start + TOGETHER]
            gathering = self.reader.gathering(self.now)
            gathering.read_more(around(each.around) for each in some)
            records = self._take(gathering, gathering.flows)
            left = tuple(each for each in self.position.again if each not in some)
            self.position = replace(self.position, again=left)
            yield self._batch(records, len(some))
        waiting = [flow for flow, each in self.position.waiting.items() if self._is_due(flow, each.again_at)]
        waiting.sort(key=lambda flow: self.position.waiting[flow].started_at)
        for start in range(0, len(waiting), TOGETHER):
            yield self._look_again_at([flow for flow in waiting[start : start + TOGETHER] if self._waits(flow)])

    def _look_again_at(self, flows: Sequence[str]) -> Batch:
        gathering = self.reader.gathering(self.now)
        known = [self.position.waiting[flow] for flow in flows]
        gathering.read_more(span for each in known for span in (around(each.started_at), around(each.ended_at)))
        records = self._take(gathering, flows)
        gone = {flow for flow in flows if flow not in gathering.flows}
        for flow in sorted(gone):
            log.event("row.vanished", level=logging.WARNING, row_id=flow)
        self.position = window_position.vanished(self.position, gone)
        self.position = window_position.looked_at(self.position, flows, self.now)
        return self._batch(records, len(flows))

    def _waits(self, flow: str) -> bool:
        return flow in self.position.waiting

    def _is_due(self, flow: str, again_at: datetime) -> bool:
        known = self.position.waiting[flow]
        is_over = self._is_over((min(known.started_at, beginning_in(flow) or known.started_at), known.ended_at))
        return again_at <= self.now and (is_over or self._has_waited([flow], known.ended_at))

    def _take(self, gathering: Gathering, flows: Collection[str]) -> list[CallRecord]:
        """The records of the calls that these flows belong to, as far as they are over; the others wait."""
        wanted = [flow for flow in flows if mark_of(flow, None) not in self.position.done]
        while gathering.read_more(
            span
            for call, legs in gathering.calls_of(wanted)
            if self._may_be_told(call, legs)
            for span in spans_to_read(legs)
        ):
            pass
        return [record for call, legs in gathering.calls_of(wanted) for record in self._take_call(call, legs)]

    def _may_be_told(self, call: FoldedCall, legs: Sequence[Leg]) -> bool:
        if all(mark in self.position.done for mark in _marks_of(legs)) or len(legs) > self.reader.patience.most_legs:
            return False
        span = self._span_of(call, legs)
        return self._is_over(span) or self._has_waited(call.flows, span[1])

    def _span_of(self, call: FoldedCall, legs: Sequence[Leg]) -> Span:
        start, end = span_of(legs)
        known = [self.position.waiting[flow] for flow in call.flows if flow in self.position.waiting]
        return min([start, *(each.started_at for each in known)]), end

    def _take_call(self, call: FoldedCall, legs: Sequence[Leg]) -> Sequence[CallRecord]:
        marks, span = _marks_of(legs), self._span_of(call, legs)
        if all(mark in self.position.done for mark in marks):
            return ()
        if len(legs) > self.reader.patience.most_legs:
            self._done(call, marks, span)
            return [_too_long(call, span, self.reader.patience.most_legs)]
        has_waited = self._has_waited(call.flows, span[1])
        if not (has_waited or self._is_over(span)):
            return self._wait(call, legs)
        if self._is_of_no_interest(span):
            self._done(call, marks, span)
            return ()
        return self._take_over(call, legs, has_waited=has_waited)

    def _take_over(self, call: FoldedCall, legs: Sequence[Leg], *, has_waited: bool) -> Sequence[CallRecord]:
        marks, span = _marks_of(legs), self._span_of(call, legs)
        given_up = mark_of_given_up(call.id)
        if not call.may_be_logged and given_up in self.position.done:
            return ()
        records = records_of(call, self.reader.options, after_wait=has_waited, give_up=has_waited)
        if not records:
            return self._wait(call, legs)
        if not call.may_be_logged:
            self._done(call, {given_up}, span)
            return records
        earlier = [flow for flow in call.flows if mark_of(flow, None) in self.position.done]
        self._done(call, marks, span)
        return self._in_place_of(earlier, call, records, legs) if earlier else records

    def _in_place_of(
        self, earlier: Sequence[str], call: FoldedCall, records: Sequence[CallRecord], legs: Sequence[Leg]
    ) -> Sequence[CallRecord]:
        """Flows that were queued as calls of their own, before it was known that they are one. Who submits these sees
        to it that not both get in."""
        log.event("call.merged_late", level=logging.WARNING, call=call.id, flows=list(call.flows))
        alone = [replace(leg, main_flow=None) for leg in legs if leg.flow in earlier and leg.flow != call.id]
        old = [
            record for part in calls_of_report(alone) for record in records_of(part, self.reader.options, give_up=True)
        ]
        return [replace(record, replaces=tuple(o for o in old if _same_person(o, record))) for record in records]

    def _wait(self, call: FoldedCall, legs: Sequence[Leg]) -> Sequence[CallRecord]:
        start, end = span_of(legs)
        known = call.started_at or start, end
        self.position = window_position.waits(self.position, call.flows, known, self.now)
        return ()

    def _is_over(self, span: Span) -> bool:
        patience = self.reader.patience
        if self.position.blind:
            return span[1] + patience.quiet <= self.now
        since = self.position.looks.over_since(*span)
        return since is not None and since + patience.rows_late <= self.now

    def _has_waited(self, flows: Collection[str], ended_at: datetime) -> bool:
        """Since it was first seen here; or since it ended, for a history that is read for the first time."""
        patience = self.reader.patience
        since = min((self.position.waiting[flow].since for flow in flows if self._waits(flow)), default=self.now)
        return self.now >= min(since, ended_at + patience.rows_late) + patience.open_row_wait

    def _is_of_no_interest(self, span: Span) -> bool:
        after, begun = self.position.ended_after, self.position.started_from
        return (after is not None and span[1] <= after) or (begun is not None and span[0] < begun)

    def _done(self, call: FoldedCall, marks: Collection[str], span: Span) -> None:
        self.position = window_position.queued(self.position, marks, span[1], call.flows)

    def _batch(self, records: Sequence[CallRecord], read: int) -> Batch:
        return Batch(records, window_position.to_text(self.position), read)


def _marks_of(legs: Collection[Leg]) -> set[str]:
    return {mark_of(leg.flow, leg.main_flow) for leg in legs}


def _too_long(call: FoldedCall, span: Span, most_legs: int) -> CallRecord:
    """Such a call is a loop of forwarding."""
    problem = f"The call has more than {most_legs} rows"
    return CallRecord.from_row({"id": call.id, "call_id": call.id, "ended_at": span[1].isoformat(), "problem": problem})


def _end_of(record: CallRecord) -> datetime:
    return datetime.fromisoformat(str(record.values["ended_at"]))


def _same_person(one: CallRecord, other: CallRecord) -> bool:
    """Where each person has an entry, only one's own is in place of another."""
    return one.id.partition("/")[2] in ("", other.id.partition("/")[2])


def progress(position: Position) -> Progress:
    """:raises PositionUnreadable: it is none of a report"""
    read = window_position.from_text(position)
    shown = max(read.read.values()).isoformat(timespec="seconds")
    return Progress(shown, len(read.waiting), 0)
