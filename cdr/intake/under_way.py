"""What a phone system said, look by look, of the calls that are under way; and which calls may be among them. Pure.

It does not say which call of its records each of them is. All that is known is that a call cannot have been
established, or have changed, before it began; and that while one goes on it is there. So a call of the records may
still be under way as long as one is there that may have begun when it did, and that was not established after its last
row ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""Ours and the phone system's; its moments are not exact either."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A call that is under way, as the phone system shows it."""

    id: str
    established_at: datetime | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One of them over several looks. With another time of being established it counts as another one.

    ``after`` is the last look at which it was not there, None if there was none; ``earliest`` the earliest moment that
    is known of it; ``at`` the last look at which it was there.
    """

    id: str
    established_at: datetime | None
    after: datetime | None
    earliest: datetime | None
    at: datetime

    def may_be(self, started_at: datetime, ended_at: datetime) -> bool:
        """Whether it may be the call whose rows so far started and ended at these moments."""
        if self.earliest is not None and self.earliest < started_at - CLOCKS_DIFFER_BY:
            return False
        not_before = self.established_at or self.after
        return not_before is None or not_before <= ended_at + CLOCKS_DIFFER_BY


@dataclass(frozen=True, slots=True)
class Looks:
    """``times`` are in order. What is not needed any more is forgotten, but for the newest look before."""

    times: tuple[datetime, ...] = ()
    seen: tuple[Seen, ...] = ()

    def over_since(self, started_at: datetime, ended_at: datetime) -> datetime | None:
        """The first look from which on none was there that may be this call; None if there was none yet."""
        held = max((each.at for each in self.seen if each.may_be(started_at, ended_at)), default=None)
        return next((time for time in self.times if time >= ended_at and (held is None or time > held)), None)

    def gone(self) -> Sequence[Seen]:
        """Those that were there at the look before the last one."""
        before = self.times[-2] if len(self.times) > 1 else None
        return [each for each in self.seen if each.at == before]


def look(looks: Looks, found: Iterable[UnderWay], now: datetime, keep: timedelta) -> Looks:
    """The looks after another one, at which ``found`` were under way."""
    last = looks.times[-1] if looks.times else None
    there = {(each.id, each.established_at): each for each in looks.seen if each.at == last}
    told = [replace(each, established_at=_whole_milliseconds(each.established_at)) for each in found]
    current = {(each.id, each.established_at): _seen(each, there, last, now) for each in told}
    old = [time for time in looks.times if time <= now - keep][-1:]
    times = (*old, *(time for time in looks.times if time > now - keep), now)
    others = [each for each in looks.seen if each.at >= times[0] and not (each.at == last and _goes_on(each, current))]
    return Looks(times, (*others, *current.values()))


_There = dict[tuple[str, datetime | None], Seen]


def _goes_on(each: Seen, current: _There) -> bool:
    return (each.id, each.established_at) in current


def _seen(one: UnderWay, there: _There, last: datetime | None, now: datetime) -> Seen:
    """What it was before it was established is it too; established at another moment it may be another call."""
    moments = [moment for moment in (one.established_at, one.changed_at) if moment is not None]
    earliest = min(moments, default=None)
    before = there.get((one.id, one.established_at)) or there.get((one.id, None))
    if before is None:
        return Seen(one.id, one.established_at, last, earliest, now)
    known = [moment for moment in (before.earliest, earliest) if moment is not None]
    return replace(before, established_at=one.established_at, earliest=min(known, default=None), at=now)


def _whole_milliseconds(moment: datetime | None) -> datetime | None:
    """As it is kept, so that it is the same at the next look."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)
