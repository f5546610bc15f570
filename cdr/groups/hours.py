"""Business hours: spans of local wall-clock time, holidays, and when open and closed change next. Pure.

Only the wall clock decides, so the nights on which clocks change need no rule of their own: an hour that comes twice is
open twice, and one that is left out is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LOOK_AHEAD = timedelta(days=400)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to, and not including, ``end``; the end of an overnight span is on the next day."""

    start: time
    end: time
    overnight: bool = False


@dataclass(frozen=True)
class Hours:
    """``week`` has the spans of each weekday, Monday being 0; a span belongs to the day on which it starts."""

    zone: ZoneInfo
    week: Mapping[int, Sequence[Span]]
    is_holiday: Callable[[date], bool] = lambda _: False

    def is_open(self, now: datetime) -> bool:
        """Whether an aware moment lies within the hours."""
        local = now.astimezone(self.zone)
        today, clock = local.date(), local.time()
        return any(
            span.start <= clock and (span.overnight or clock < span.end) for span in self._spans_of(today)
        ) or any(span.overnight and clock < span.end for span in self._spans_of(today - DAY))

    def next_change(self, now: datetime) -> datetime | None:
        """When open and closed change next (aware, UTC); None if not within the next 400 days."""
        open_now = self.is_open(now)
        return next((moment for moment in self._boundaries_after(now) if self.is_open(moment) != open_now), None)

    def _spans_of(self, day: date) -> Sequence[Span]:
        return () if self.is_holiday(day) else self.week.get(day.weekday(), ())

    def _boundaries_after(self, now: datetime) -> Iterator[datetime]:
        """Every moment at which a span may begin or end, in order: its clock times, and the changes of the clock."""
        first = now.astimezone(self.zone).date() - DAY
        for offset in range(LOOK_AHEAD.days):
            day = first + offset * DAY
            moments = {self._utc(day, clock, fold) for clock in self._clock_times(day) for fold in (0, 1)}
            yield from sorted(moment for moment in moments | self._clock_changes(day) if moment > now)

    def _clock_times(self, day: date) -> set[time]:
        starts = {span.start for span in self._spans_of(day)}
        ends = {span.end for span in self._spans_of(day) if not span.overnight}
        return starts | ends | {span.end for span in self._spans_of(day - DAY) if span.overnight}

    def _clock_changes(self, day: date) -> set[datetime]:
        before, after = self._utc(day, time(), 0), self._utc(day + DAY, time(), 0)
        if self._offset(before) == self._offset(after):
            return set()
        while after - before > timedelta(minutes=1):
            middle = before + (after - before) / 2
            before, after = (before, middle) if self._offset(middle) != self._offset(before) else (middle, after)
        return {after.replace(second=0, microsecond=0)}

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self.zone).utcoffset()

    def _utc(self, day: date, clock: time, fold: int) -> datetime:
        return datetime.combine(day, clock, self.zone).replace(fold=fold).astimezone(UTC)
