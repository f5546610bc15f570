"""How many calls came in each hour of the last weeks, and whether there should have been some by now. Pure.

A silence is told from a quiet time by the same hours of the weeks before: by the clock on the wall, so that a change to
summer time moves nothing. An hour in which nobody polled, a holiday and an hour without business say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from cdr.groups.hours import Hours

HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
WEEKS = 6
FEWEST_WEEKS = 4
"""That must be known before anything is said."""
FEWEST_CALLS = 10
"""In the same hours of each week that is known: fewer may well stay away by chance."""
LONGEST_SILENCE = 7 * 24

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNKNOWN = "."


@dataclass(frozen=True, slots=True)
class CallHours:
    """``counts`` has the hours, since 1970, in which there was a poll; each with how many calls were queued."""

    counts: Mapping[int, int] = field(default_factory=dict)

    def with_calls(self, number: int, now: datetime) -> CallHours:
        hour = hour_of(now)
        oldest = hour - WEEKS * (WEEK // HOUR) - LONGEST_SILENCE
        kept = {each: count for each, count in self.counts.items() if oldest <= each <= hour}
        return CallHours({**kept, hour: kept.get(hour, 0) + number})

    def to_text(self) -> str:
        """A character an hour, from the first one on: counts as far as one says them."""
        first = min(self.counts, default=0)
        hours = range(first, max(self.counts, default=-1) + 1)
        return f"{first}:" + "".join(self._digit(hour) for hour in hours)

    def _digit(self, hour: int) -> str:
        count = self.counts.get(hour)
        return _UNKNOWN if count is None else _DIGITS[min(count, len(_DIGITS) - 1)]

    @classmethod
    def from_text(cls, text: str) -> CallHours:
        """:raises ValueError: to_text did not write it"""
        first, _, digits = text.partition(":")
        found = {int(first) + n: digit for n, digit in enumerate(digits) if digit != _UNKNOWN}
        return cls({hour: _DIGITS.index(digit) for hour, digit in found.items()})


def hour_of(moment: datetime) -> int:
    return (moment - _EPOCH) // HOUR


def calls_expected(seen: CallHours, hours: Hours, now: datetime) -> int | None:
    """How many calls there were, in each of the last weeks at least, in the hours in which there have been none lately.

    :returns: None while that is no reason to ask where the calls are
    """
    silence = _silence(seen, hours, now)
    weeks = (_in_week(seen, hours, silence, week) for week in range(1, WEEKS + 1))
    known = [count for count in weeks if count is not None]
    if not silence or len(known) < FEWEST_WEEKS or min(known) < FEWEST_CALLS:
        return None
    return min(known)


def _silence(seen: CallHours, hours: Hours, now: datetime) -> Sequence[int]:
    """The whole hours without a call before this one, in which there could have been some."""
    this = hour_of(now)
    if seen.counts.get(this):
        return ()
    before = range(this - 1, this - 1 - LONGEST_SILENCE, -1)
    quiet = takewhile(lambda hour: not seen.counts.get(hour), before)
    return [hour for hour in quiet if hour in seen.counts and _is_usual(hours, _local(hours, hour))]


def _in_week(seen: CallHours, hours: Hours, silence: Sequence[int], week: int) -> int | None:
    """How many calls there were in these hours so many weeks before; None if one of them says nothing."""
    total = 0
    for hour in silence:
        then = _local(hours, hour) - week * WEEK  # on the wall
        count = seen.counts.get(hour_of(then.astimezone(UTC)))
        if count is None or not _is_usual(hours, then):
            return None
        total += count
    return total


def _local(hours: Hours, hour: int) -> datetime:
    return (_EPOCH + hour * HOUR).astimezone(hours.zone)


def _is_usual(hours: Hours, local: datetime) -> bool:
    """Whether there is business from its beginning to its end; with no hours at all, on each day but holidays."""
    if hours.is_holiday(local.date()):
        return False
    is_set = any(hours.week.values())
    return not is_set or all(hours.is_open(local + part) for part in (timedelta(), HOUR / 2, HOUR - HOUR / 60))
