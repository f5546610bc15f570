"""What a phone system said, look by look, of the calls that are under way; and which calls may be among them. Pure.

It does not say which call of its records each of them is. All that is known is that a call cannot have been
established, or have changed, before it began; and that it is there while it goes on, under one id. So a call of the
records may still be under way as long as one is there that may have begun when it did, and that was not missing after
its last row had ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CLOCKS_DIFFER_BY = timedelta(minutes=2)
"""Ours and the phone system's."""
BEFORE_IT_BEGAN = timedelta(seconds=5)
"""What of a call's moments the phone system may put before it began."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A call that is under way, as the phone system shows it."""

    id: str
    established_at: datetime | None = None
    changed_at: datetime | None = None
    told_at: datetime | None = None
    """By the phone system's own clock."""

    @property
    def moment(self) -> datetime | None:
        """Around which a row of it starts."""
        return self.established_at or self.changed_at

    def may_be(self, started_at: datetime, ended_at: datetime) -> bool:
        """Whether it may be the call whose rows so far started and ended at these moments, by a single look: which is
        good enough to show a call, not to tell it."""
        earliest, latest = started_at - BEFORE_IT_BEGAN, ended_at + CLOCKS_DIFFER_BY
        return self.moment is None or earliest <= self.moment <= latest


@dataclass(frozen=True, slots=True)
class Seen:
    """One of them over several looks.

    ``after`` is the last look at which it was not there yet, None if there was none; ``earliest`` the earliest moment
    that was told of it, ``moment`` the last one; ``at`` the last look at which it was there.
    """

    id: str
    after: datetime | None
    earliest: datetime | None
    moment: datetime | None
    at: datetime

    def may_be(self, started_at: datetime, ended_at: datetime) -> bool:
        """Whether it may be the call whose rows so far started and ended at these moments."""
        was_there_before = self.earliest is not None and self.earliest < started_at - BEFORE_IT_BEGAN
        came_later = self.after is not None and self.after > ended_at + CLOCKS_DIFFER_BY
        return not (was_there_before or came_later)


@dataclass(frozen=True, slots=True)
class Looks:
    """``times`` are in order. What is not needed any more is forgotten, but for the newest look before."""

    times: tuple[datetime, ...] = ()
    seen: tuple[Seen, ...] = ()

    def over_since(self, started_at: datetime, ended_at: datetime) -> datetime | None:
        """The first look from which on none was there that may be this call; None if there was none yet."""
        held = max((each.at for each in self.seen if each.may_be(started_at, ended_at)), default=None)
        return next((time for time in self.times if time >= ended_at and (held is None or time > held)), None)


def look(looks: Looks, found: Iterable[UnderWay], now: datetime, keep: timedelta) -> tuple[Looks, Sequence[datetime]]:
    """The looks after another one, at which ``found`` were under way; and the moments around which there should be new
    rows now, of what has ended or changed."""
    last = looks.times[-1] if looks.times else None
    there = {each.id: each for each in looks.seen if each.at == last}
    current = {each.id: _seen(each, there.get(each.id), last, now) for each in found}
    old = [time for time in looks.times if time <= now - keep][-1:]
    times = (*old, *(time for time in looks.times if time > now - keep), now)
    gone = [each for each in looks.seen if each.at >= times[0] and not (each.at == last and each.id in current)]
    changed = [each for each in there.values() if each.id not in current or current[each.id].moment != each.moment]
    moments = sorted({each.moment for each in changed if each.moment is not None})
    return Looks(times, (*gone, *current.values())), moments


def _seen(one: UnderWay, before: Seen | None, last: datetime | None, now: datetime) -> Seen:
    known = [moment for moment in (one.established_at, one.changed_at) if moment is not None]
    if before is None:
        return Seen(one.id, last, min(known, default=None), _kept(one.moment), now)
    if before.earliest is not None:
        known.append(before.earliest)
    return replace(before, earliest=min(known, default=None), moment=_kept(one.moment), at=now)


def _kept(moment: datetime | None) -> datetime | None:
    """In whole milliseconds, as it is kept, so that it is the same at the next look."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)
