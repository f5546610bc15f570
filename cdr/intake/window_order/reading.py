"""One reading of a report that tells rows by their start, from a position on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cdr.calls.beginning import beginning_in
from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import FoldedCall, FoldOptions, in_place_of, records_of
from cdr.intake.folding.leg import Leg
from cdr.intake.folding.xapi_rows import calls_of_report
from cdr.intake.ports import Batch
from cdr.intake.queued_marks import mark_of, mark_of_given_up
from cdr.intake.window_order import position as window_position
from cdr.intake.window_order.gathering import Gathering, Span, around, gathering_of, span_of
from cdr.intake.window_order.position import Again, WindowPosition
from cdr.intake.window_order.report import ReportLog, ReportPatience, Window
from cdr.intake.window_order.under_way import CLOCKS_DIFFER_BY, UnderWay, look
from shared import log

FIRST_WIDTH, WIDEST = timedelta(hours=1), timedelta(days=7)
FEW_ROWS = 500
MOST_WAITING = 1_500
"""Calls that the position has room for. Beyond, nothing new is read until some of them are over."""
TOGETHER = 50
"""Calls that are looked at again at once."""
PART_OF_AGE = 8
"""An age is read on when so much of it has passed."""


@dataclass
class Reading:
    """One reading of the report, from a position on."""

    report: ReportLog
    now: datetime
    patience: ReportPatience
    options: FoldOptions
    position: WindowPosition
    width: timedelta = FIRST_WIDTH

    def look(self) -> Batch:
        """At what is under way. Where something no longer is, its rows should be there after a while."""
        found = self.report.calls_under_way()
        if found is None or _ahead(found, self.now) > CLOCKS_DIFFER_BY:
            reason = "the API client may not see it" if found is None else "the phone system's clock differs from ours"
            if self.position.blind is None:
                log.event("source.blind", level=logging.WARNING, reason=reason)
            self.position = replace(self.position, blind=self.position.blind or self.now)
            return self._looked()
        looks, moments = look(self.position.looks, found, self.now, self.patience.rows_late)
        again = [Again(moment, self.now + self.patience.rows_late) for moment in moments]
        self.position = replace(self.position, blind=None, looks=looks, again=(*self.position.again, *again))
        return self._looked()

    def _looked(self) -> Batch:
        return replace(self._batch((), 0), is_news=False)

    @property
    def ages(self) -> Sequence[timedelta]:
        """From which on calls may be over; before, there is no use in reading."""
        return [age for age in self.patience.ages if self.position.blind is None or age > self.patience.quiet]

    def windows_of(self, age: timedelta) -> Iterator[Batch]:
        """What is of this age now, and was not read since."""
        while (until := self.now - age) - (start := self.position.read[age]) >= age / PART_OF_AGE:
            rows = 0
            for window in self.report.windows(start, min(until, start + self.width)):
                if len(self.position.waiting) >= MOST_WAITING:
                    return
                rows += len(window.rows)
                yield self._take_window(window)
            self.width = min(WIDEST, self.width * 2) if rows < FEW_ROWS else FIRST_WIDTH

    def _take_window(self, window: Window) -> Batch:
        gathering = gathering_of(self.report, self.now, window)
        records = self._take(gathering, gathering.flows)
        self.position = window_position.read_between(self.position, window.start, window.end, self.now)
        return self._batch(records, len(window.rows))

    def look_again(self) -> Iterator[Batch]:
        """At the calls that may be over by now, and around the moments of those that were under way."""
        due = sorted((each for each in self.position.again if each.due <= self.now), key=lambda each: each.around)
        for start in range(0, len(due), TOGETHER):
            some = due[start : start + TOGETHER]
            gathering = gathering_of(self.report, self.now)
            gathering.read_more(around(each.around) for each in some)
            records = self._take(gathering, gathering.flows)
            left = tuple(each for each in self.position.again if each not in some)
            self.position = replace(self.position, again=left)
            yield self._batch(records, len(some))
        waiting = [
            flow for flow, each in self.position.waiting.items() if each.again_at <= self.now and self._is_due(flow)
        ]
        waiting.sort(key=lambda flow: self.position.waiting[flow].started_at)
        for start in range(0, len(waiting), TOGETHER):
            yield self._look_again_at([flow for flow in waiting[start : start + TOGETHER] if self._waits(flow)])

    def _look_again_at(self, flows: Sequence[str]) -> Batch:
        gathering = gathering_of(self.report, self.now)
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

    def _is_due(self, flow: str) -> bool:
        known = self.position.waiting[flow]
        is_over = self._is_over((min(known.started_at, beginning_in(flow) or known.started_at), known.ended_at))
        return is_over or self._has_waited([flow], known.ended_at)

    def _take(self, gathering: Gathering, flows: Collection[str]) -> list[CallRecord]:
        """The records of the calls that these flows belong to, as far as they are over; the others wait."""
        wanted = [flow for flow in flows if mark_of(flow, None) not in self.position.done]
        known = [self.position.waiting[flow] for flow in wanted if self._waits(flow) and self._is_due(flow)]
        gathering.read_more(around(each.started_at) for each in known)
        gathering.gather(wanted, self._may_be_told)
        return [record for call, legs in gathering.calls_of(wanted) for record in self._take_call(call, legs)]

    def _may_be_told(self, call: FoldedCall, legs: Sequence[Leg]) -> bool:
        if all(mark in self.position.done for mark in _marks_of(legs)) or len(legs) > self.patience.most_legs:
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
        if len(legs) > self.patience.most_legs:
            self._done(call, marks, span)
            return [_too_long(call, span, self.patience.most_legs)]
        has_waited = self._has_waited(call.flows, span[1])
        if not (has_waited or self._is_over(span)):
            return self._wait(call, legs)
        if self._is_of_no_interest(span):
            self.position = window_position.vanished(self.position, call.flows)
            return ()
        return self._take_over(call, legs, has_waited=has_waited)

    def _take_over(self, call: FoldedCall, legs: Sequence[Leg], *, has_waited: bool) -> Sequence[CallRecord]:
        marks, span = _marks_of(legs), self._span_of(call, legs)
        given_up = mark_of_given_up(call.id)
        if not call.may_be_logged and given_up in self.position.done:
            return ()
        records = records_of(call, self.options, after_wait=has_waited, give_up=has_waited)
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
        """Flows that were queued as calls of their own, before it was known that they are one."""
        log.event("call.merged_late", level=logging.WARNING, call=call.id, flows=list(call.flows))
        alone = [replace(leg, main_flow=None) for leg in legs if leg.flow in earlier and leg.flow != call.id]
        parts = (record for part in calls_of_report(alone) for record in records_of(part, self.options, give_up=True))
        return in_place_of(parts, records)

    def _wait(self, call: FoldedCall, legs: Sequence[Leg]) -> Sequence[CallRecord]:
        start, end = span_of(legs)
        known = call.started_at or start, end
        self.position = window_position.waits(self.position, call.flows, known, self.now)
        return ()

    def _is_over(self, span: Span) -> bool:
        if self.position.blind is not None:  # since then: that once nothing was said proves nothing
            return max(span[1], self.position.blind) + self.patience.quiet <= self.now
        since = self.position.looks.over_since(*span)
        return since is not None and since + self.patience.rows_late <= self.now

    def _has_waited(self, flows: Collection[str], ended_at: datetime) -> bool:
        """Since it was first seen here; or since it ended, for a history that is read for the first time."""
        since = min((self.position.waiting[flow].since for flow in flows if self._waits(flow)), default=self.now)
        return self.now >= min(since, ended_at + self.patience.rows_late) + self.patience.open_row_wait

    def _is_of_no_interest(self, span: Span) -> bool:
        after, begun = self.position.ended_after, self.position.started_from
        return (after is not None and span[1] <= after) or (begun is not None and span[0] < begun)

    def _done(self, call: FoldedCall, marks: Collection[str], span: Span) -> None:
        self.position = window_position.queued(self.position, marks, span[1], call.flows)

    def _batch(self, records: Sequence[CallRecord], read: int) -> Batch:
        return Batch(records, window_position.to_text(self.position), read)


def _ahead(found: Sequence[UnderWay], now: datetime) -> timedelta:
    """How far the phone system's clock is from ours, as far as it tells."""
    return max((abs(each.told_at - now) for each in found if each.told_at is not None), default=timedelta())


def _marks_of(legs: Collection[Leg]) -> set[str]:
    return {mark_of(leg.flow, leg.main_flow) for leg in legs}


def _too_long(call: FoldedCall, span: Span, most_legs: int) -> CallRecord:
    """Such a call is a loop of forwarding."""
    problem = f"The call has more than {most_legs} rows"
    return CallRecord.from_row({"id": call.id, "call_id": call.id, "ended_at": span[1].isoformat(), "problem": problem})
