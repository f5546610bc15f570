"""Finds the rows of a call in a report that is read by when rows started.

Rows follow each other: the next one starts when the one before it ends, or rings before that, and no phone rings for
longer than some minutes. So what belongs to a call starts soon after the call began (which its id tells), or around the
end of one of its rows, however long these are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cdr.calls.beginning import beginning_in
from cdr.intake.folding.fold import FoldedCall
from cdr.intake.folding.leg import Leg
from cdr.intake.folding.xapi_rows import calls_of_report
from cdr.intake.window_order.report import ReportLog, Window

RINGS_AT_MOST = timedelta(minutes=5)
AT_ONCE = timedelta(minutes=1)
"""How soon after a row has ended the next one starts."""
UNTOLD_BEGINNING = timedelta(minutes=15)
"""How far back a call is looked for whose id does not tell when it began."""
GAP = timedelta(minutes=30)
"""Between two spans, that is rather read than left out: most calls are thus read from their start to their end."""

WHOLE = timedelta(hours=4)
"""Of what length a call may be that is read from its start to its end in any case."""

Span = tuple[datetime, datetime]

_LONG_AGO = datetime(1601, 1, 1, tzinfo=UTC)


def span_of(legs: Collection[Leg]) -> Span:
    """From when on to until when rows of this call are known; both the same where there is no time at all."""
    began = [moment for flow in _flows_of(legs) if (moment := beginning_in(flow)) is not None]
    moments = [at for leg in legs for at in (leg.started_at, leg.answered_at, leg.ended_at) if at is not None]
    last = max(moments, default=max(began, default=_LONG_AGO))
    return min([*began, *moments], default=last), last


def around(moment: datetime) -> Span:
    """Where a row starts that was established, or came instead of another, at a moment."""
    return moment - RINGS_AT_MOST, moment + AT_ONCE


def _spans_to_read(legs: Collection[Leg]) -> Iterator[Span]:
    """Where further rows of this call can start."""
    start, end = span_of(legs)
    if end - start <= WHOLE and not any(leg.source.is_outside or leg.destination.is_outside for leg in legs):
        yield start, end  # in the house, a consultation in the midst of a talk counts as one
    tells_beginning = any(beginning_in(flow) for flow in _flows_of(legs))
    yield start if tells_beginning else start - UNTOLD_BEGINNING, start + RINGS_AT_MOST
    for leg in legs:
        if leg.started_at is not None:
            yield around(leg.started_at)
        if leg.ended_at is not None:
            yield around(leg.ended_at)


@dataclass
class Gathering:
    """Rows as far as they were read; nothing is read twice. ``read`` yields the rows that started in a span, until
    ``now`` at most."""

    read: Callable[[datetime, datetime], Iterable[Leg]]
    now: datetime
    _rows: dict[str, Leg] = field(default_factory=dict)
    _by_flow: dict[str, set[str]] = field(default_factory=dict)
    _spans: list[Span] = field(default_factory=list)

    def add(self, span: Span, rows: Iterable[Leg]) -> None:
        """What was read elsewhere."""
        self._spans = _merged([*self._spans, span])
        for row in rows:
            self._rows[row.id] = row
            for flow in (row.flow, row.main_flow or row.flow):
                self._by_flow.setdefault(flow, set()).add(row.id)

    def read_more(self, spans: Iterable[Span]) -> bool:
        """:returns: whether there was anything that had not been read"""
        wanted = [(start, min(end, self.now)) for start, end in _merged(spans, GAP) if start < self.now]
        missing = [part for span in wanted for part in _without(span, self._spans)]
        for start, end in missing:
            self.add((start, end), self.read(start, end))
        return bool(missing)

    def gather(self, flows: Collection[str], wanted: Callable[[FoldedCall, Sequence[Leg]], bool] | None = None) -> None:
        """Read everything that belongs to the calls of these flows, as long as they are ``wanted``."""
        while self.read_more(
            span
            for call, legs in self.calls_of(flows)
            if wanted is None or wanted(call, legs)
            for span in _spans_to_read(legs)
        ):
            pass

    @property
    def flows(self) -> Collection[str]:
        return {row.flow for row in self._rows.values()}

    def calls_of(self, flows: Iterable[str]) -> Sequence[tuple[FoldedCall, Sequence[Leg]]]:
        """The calls that these flows belong to, with their legs, as far as they were read."""
        legs = self._legs_of(flows)
        if not legs:
            return ()
        by_id = {leg.id: leg for leg in legs}
        return [(call, [by_id[leg] for leg in call.legs]) for call in calls_of_report(legs)]

    def _legs_of(self, flows: Iterable[str]) -> Sequence[Leg]:
        asked: set[str] = set()
        found: set[str] = set()
        wanted = set(flows)
        while wanted:
            asked |= wanted
            new = {row for flow in wanted for row in self._by_flow.get(flow, ())} - found
            found |= new
            wanted = _flows_of(self._rows[row] for row in new) - asked
        return [self._rows[row] for row in sorted(found)]


def gathering_of(log: ReportLog, now: datetime, window: Window | None = None) -> Gathering:
    """With what is in a window that was read already."""

    def read(start: datetime, end: datetime) -> Iterator[Leg]:
        return (row for window in log.windows(start, end) for row in window.rows)

    gathering = Gathering(read, now)
    if window is not None:
        gathering.add((window.start, window.end), window.rows)
    return gathering


def _flows_of(legs: Iterable[Leg]) -> set[str]:
    return {flow for leg in legs for flow in (leg.flow, leg.main_flow) if flow is not None}


def _merged(spans: Iterable[Span], gap: timedelta = timedelta()) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _without(span: Span, read: Sequence[Span]) -> Iterator[Span]:
    """What is left of a span after others, which are in order, were taken out of it."""
    start, end = span
    for other_start, other_end in read:
        if other_end <= start or other_start >= end:
            continue
        if other_start > start:
            yield start, other_start
        start = max(start, other_end)
    if start < end:
        yield start, end
