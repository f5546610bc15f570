"""How far a table of legs has been read in order of their ends. Pure.

Legs come late, in any order and twice, and a call's legs are spread over the time that it took. So the position keeps
from when on ends are looked at (the newest one less an overlap), the calls that are not whole yet, and, so that those
of the overlap are not queued at each poll again, the marks of what was queued.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cdr.intake.queued_marks import Marks, marks_in
from shared.errors import PositionUnreadable

MOST_MARKS = 25_000
"""Beyond, the hours of the oldest are not looked at any more: that is better than to queue their calls at each poll."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimePosition:
    """``read_from`` None: from the very beginning. Times are aware and in UTC.

    A call is of no interest if it was over by ``ended_after``, or began before ``started_from``: where the first poll
    was to start. ``waiting`` has the flows of each call that is not whole, with the moment it was first seen. ``done``
    has the marks of what was queued.
    """

    read_from: datetime | None = None
    newest_end: datetime | None = None
    ended_after: datetime | None = None
    started_from: datetime | None = None
    waiting: Mapping[str, datetime] = field(default_factory=dict)
    done: Marks = field(default_factory=Marks)


def read_up_to(position: TimePosition, newest: datetime, now: datetime, overlap: timedelta) -> TimePosition:
    """The position after ends up to ``newest`` were looked at.

    ``now`` is the phone system's own time: an end beyond it comes of a clock that was wrong, and must not keep the
    calls from being seen that end until then.
    """
    seen = max(min(newest, now), position.newest_end or _EPOCH)
    read_from = max(seen - overlap, position.read_from or _EPOCH)
    return replace(position, newest_end=seen, read_from=read_from, done=position.done.since(read_from))


def put_back(position: TimePosition, now: datetime, overlap: timedelta) -> TimePosition:
    """The position after the phone system's clock was set back to ``now``: its legs end earlier again."""
    earlier = now - overlap
    return replace(position, newest_end=now, read_from=min(earlier, position.read_from or earlier))


def queued(position: TimePosition, marks: Collection[str], ended_at: datetime, flows: Collection[str]) -> TimePosition:
    """The position after a call was queued, or found to be of no interest."""
    waiting = _without(position.waiting, flows)
    return _with_room(replace(position, waiting=waiting, done=position.done.with_more(marks, ended_at)))


def _with_room(position: TimePosition) -> TimePosition:
    """Without the oldest hours where there are too many marks; what ended in these, and was read, is read no more."""
    done, until = position.done.at_most(MOST_MARKS)
    if until is None:
        return position
    read_from = max(position.read_from or _EPOCH, min(until, position.newest_end or _EPOCH))
    return replace(position, done=done, read_from=read_from)


def waits(position: TimePosition, flows: Collection[str], now: datetime) -> TimePosition:
    """The position after a call was seen that is not whole: it keeps the moment of the first time.

    Each of its flows is kept: should they turn out to be calls of their own after all, none is forgotten.
    """
    since = min([position.waiting[flow] for flow in flows if flow in position.waiting], default=now)
    return replace(position, waiting={**_without(position.waiting, flows), **dict.fromkeys(flows, since)})


def vanished(position: TimePosition, flows: Iterable[str]) -> TimePosition:
    """The position without calls that were waited for and are not in the table any more."""
    return replace(position, waiting=_without(position.waiting, set(flows)))


def _without(waiting: Mapping[str, datetime], flows: Collection[str]) -> Mapping[str, datetime]:
    return {flow: since for flow, since in waiting.items() if flow not in flows}


def to_text(position: TimePosition) -> str:
    """Compact JSON, with times in microseconds since 1970."""
    state = {
        "read_from": _microseconds(position.read_from),
        "newest_end": _microseconds(position.newest_end),
        "ended_after": _microseconds(position.ended_after),
        "started_from": _microseconds(position.started_from),
        "waiting": {flow: _microseconds(since) for flow, since in position.waiting.items()},
        "done": position.done.to_json(),
    }
    return json.dumps(state, separators=(",", ":"))


@lru_cache(maxsize=8)
def from_text(text: str) -> TimePosition:
    """:raises PositionUnreadable: to_text did not write it"""
    try:
        state = json.loads(text)
        return TimePosition(
            read_from=_moment(state["read_from"]),
            newest_end=_moment(state["newest_end"]),
            ended_after=_moment(state["ended_after"]),
            started_from=_moment(state["started_from"]),
            waiting={str(flow): _EPOCH + timedelta(microseconds=since) for flow, since in state["waiting"].items()},
            done=marks_in(state["done"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as exc:
        raise PositionUnreadable from exc


def _microseconds(moment: datetime | None) -> int | None:
    return (moment - _EPOCH) // timedelta(microseconds=1) if moment is not None else None


def _moment(microseconds: Any) -> datetime | None:
    return _EPOCH + timedelta(microseconds=microseconds) if microseconds is not None else None
