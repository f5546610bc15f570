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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import FoldOptions, end_of, records_of
from cdr.intake.ports import Batch, Bearings, Lag, Position, Progress, StartFrom, Unread
from cdr.intake.queued_marks import mark_of, mark_of_given_up
from cdr.intake.window_order import position as window_position
from cdr.intake.window_order.gathering import gathering_of, span_of
from cdr.intake.window_order.position import WindowPosition
from cdr.intake.window_order.reading import Reading
from cdr.intake.window_order.report import ReportLog, ReportPatience
from shared.clock import Clock
from shared.errors import SourceMisconfigured

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
"""Older than every release that has the report."""
NEWEST_WITHIN = timedelta(days=32)


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
        reading = Reading(self.log, self.clock.now(), self.patience, self.options, self._read(position))
        yield reading.look()
        first, *older = reading.ages
        new = reading.windows_of(first)
        yield from islice(new, 1)
        yield from reading.look_again()
        yield from new
        for age in older:
            yield from reading.windows_of(age)

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        """Queued; or its row was read when it must have been there, and it is not waited for."""
        read, flow = self._read(position), record.source_id
        if mark_of(flow, None) in read.done or mark_of_given_up(flow) in read.done:
            return True
        began_at = record.values.get("started_at")
        if flow in read.waiting or began_at is None:
            return False
        started_at = datetime.fromisoformat(str(began_at))
        enough = end_of(record) - started_at + self.patience.rows_late
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

    def bearings(self, position: Position) -> Bearings:
        read, newest = self._read(position), self.log.newest_start()
        return Bearings(max(read.read.values()) if read.done.by_hour else None, newest, newest_at=newest)

    def unread(self, position: Position) -> Unread:  # noqa: ARG002 - every moment is read again until calls have ended
        return Unread()

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        """By the start of their rows, which may be as long before their end as the longest call."""
        told: set[str] = set()
        now = self.clock.now()
        for window in self.log.windows(start - self.patience.open_row_wait, min(end, now)):
            gathering = gathering_of(self.log, now, window)
            gathering.gather(gathering.flows)
            records = [
                record
                for call, _ in gathering.calls_of(gathering.flows)
                for record in records_of(call, self.options)
                if record.id not in told and start <= end_of(record) < end
            ]
            told.update(record.id for record in records)
            yield records

    def again(self, record: CallRecord) -> Sequence[CallRecord]:
        began_at, flow = record.values.get("started_at"), record.source_id
        if began_at is None:
            return ()
        gathering = gathering_of(self.log, self.clock.now())
        gathering.read_more([(datetime.fromisoformat(str(began_at)), end_of(record))])
        gathering.gather([flow])
        return [each for call, _ in gathering.calls_of([flow]) for each in records_of(call, self.options)]

    def newest(self, limit: int) -> Sequence[CallRecord]:
        """Back from now, in spans that double, for a month at most."""
        now = self.clock.now()
        under_way = self.log.calls_under_way() or ()
        found: dict[str, CallRecord] = {}
        until, span = now, timedelta(minutes=30)
        while len(found) < limit and now - until < NEWEST_WITHIN:
            gathering = gathering_of(self.log, now)
            gathering.read_more([(until - span, until)])
            gathering.gather(gathering.flows)
            for call, legs in gathering.calls_of(gathering.flows):
                if not any(each.may_be(*span_of(legs)) for each in under_way):
                    found.update((record.id, record) for record in records_of(call, self.options))
            until, span = until - span, span * 2
        return sorted(found.values(), key=end_of, reverse=True)[:limit]

    def check(self, position: Position | None = None) -> None:  # noqa: ARG002 - a second is as cheap
        now = self.clock.now()
        next(iter(self.log.windows(now - timedelta(seconds=1), now)), None)

    def _read(self, position: Position) -> WindowPosition:
        return window_position.from_text(position).of_ages(self.patience.ages)


def progress(position: Position) -> Progress:
    """:raises PositionUnreadable: it is none of a report"""
    read = window_position.from_text(position)
    shown = max(read.read.values()).isoformat(timespec="seconds")
    return Progress(shown, len(read.waiting), 0)
