"""A fake of a phone system's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain

from cdr.intake.window_order.report import Window
from cdr.intake.window_order.under_way import UnderWay
from shared.clock import Clock
from tests.fakes.fake import Fake
from tests.support.report_writings import Reported, ReportedCall, Telling


class InMemoryReport(Fake):
    """A ReportLog. Every window and every look is an operation, so each can fail."""

    def __init__(self, clock: Clock, calls: Sequence[ReportedCall] = ()) -> None:
        super().__init__()
        self.calls = [*calls]
        self.rows: list[Reported] = []
        """Further ones, of calls that are not under way."""
        self.active: list[UnderWay] = []
        """Further ones, which have no rows."""
        self.widest = timedelta(hours=4)
        self.telling: Telling = "current talk"
        self.one_id = True
        self.may_see = True
        self.read: list[tuple[datetime, datetime]] = []
        self._clock = clock

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        at = start
        while at < end:
            with self.operation("window"):
                until = min(end, at + self.widest)
                self.read.append((at, until))
                now = self._clock.now()
                there = [
                    each.leg
                    for each in chain(self.rows, *(call.rows for call in self.calls))
                    if each.at <= now and each.leg.started_at is not None and at <= each.leg.started_at < until
                ]
            yield Window(at, until, there)
            at = until

    def calls_under_way(self) -> Sequence[UnderWay] | None:
        with self.operation("look"):
            if not self.may_see:
                return None
            now = self._clock.now()
            found = (call.under_way(now, self.telling, one_id=self.one_id) for call in self.calls)
            return [*self.active, *(each for each in found if each is not None)]

    def newest_start(self) -> datetime | None:
        with self.operation("newest start"):
            now = self._clock.now()
            rows = chain(self.rows, *(call.rows for call in self.calls))
            starts = (each.leg.started_at for each in rows if each.at <= now)
            return max((start for start in starts if start is not None), default=None)
