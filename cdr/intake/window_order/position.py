"""How far a report that tells rows by their start has been read. Pure.

A row is not there before it has ended, so each moment has to be read again when it is older: the position has how far
each *age* has come. What has started by ``read[age]`` was read when it was as old as that, or older.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cdr.intake.queued_marks import Marks, marks_in
from cdr.intake.window_order.under_way import Looks, Seen
from shared.errors import PositionUnreadable

MOST_MARKS = 15_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that may not be over: when it was first seen, when it is looked at again at the earliest, and the first
    and last moment of its rows so far."""

    since: datetime
    again_at: datetime
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Again:
    """A moment around which rows are expected, and from when on they should be there."""

    around: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class WindowPosition:
    """Times are aware and in UTC. A call is of no interest if it was over by ``ended_after``, or began before
    ``started_from``: where the first poll was to start. ``blind`` is since when the phone system has not said what is
    under way.
    """

    read: Mapping[timedelta, datetime]
    ended_after: datetime | None = None
    started_from: datetime | None = None
    looks: Looks = field(default_factory=Looks)
    blind: datetime | None = None
    again: tuple[Again, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    done: Marks = field(default_factory=Marks)

    def of_ages(self, ages: Collection[timedelta]) -> WindowPosition:
        """With other ages than it was stored with: a new one has come as far as the next that is older."""
        known = sorted(self.read)
        read = {age: self.read[next((old for old in known if old >= age), known[-1])] for age in ages}
        return self if read == self.read else replace(self, read=read)


def read_between(position: WindowPosition, start: datetime, end: datetime, now: datetime) -> WindowPosition:
    """The position after everything was read that started from ``start`` to before ``end``."""
    read = {age: max(until, min(end, now - age)) if start <= until else until for age, until in position.read.items()}
    oldest = min(read.values())
    return replace(position, read=read, done=position.done.since(oldest))


def queued(
    position: WindowPosition, marks: Collection[str], ended_at: datetime, flows: Collection[str]
) -> WindowPosition:
    """The position after a call was queued, or found to be of no interest. Where there are too many marks, the oldest
    are forgotten: then a call is queued once more, which the ledger absorbs."""
    waiting = _without(position.waiting, flows)
    done, _ = position.done.with_more(marks, ended_at).at_most(MOST_MARKS)
    return replace(position, waiting=waiting, done=done)


def waits(
    position: WindowPosition, flows: Collection[str], span: tuple[datetime, datetime], now: datetime
) -> WindowPosition:
    """The position after a call was seen that may not be over: it keeps the moment of the first time."""
    earlier = [position.waiting[flow] for flow in flows if flow in position.waiting]
    since = min((each.since for each in earlier), default=now)
    started_at = min((each.started_at for each in earlier), default=span[0])
    again_at = max((each.again_at for each in earlier), default=now)
    known = Waiting(since, again_at, min(started_at, span[0]), span[1])
    return replace(position, waiting={**_without(position.waiting, flows), next(iter(flows)): known})


def looked_at(position: WindowPosition, flows: Iterable[str], now: datetime) -> WindowPosition:
    """The position after a look at calls that were waited for: who has waited for long is looked at more seldom."""
    again = {
        flow: replace(each, again_at=now + min((now - each.since) / 4, timedelta(minutes=30)))
        for flow in flows
        if (each := position.waiting.get(flow)) is not None
    }
    return replace(position, waiting={**position.waiting, **again})


def vanished(position: WindowPosition, flows: Collection[str]) -> WindowPosition:
    """The position without calls that were waited for and are not in the report any more."""
    return replace(position, waiting=_without(position.waiting, flows))


def _without(waiting: Mapping[str, Waiting], flows: Collection[str]) -> Mapping[str, Waiting]:
    return {flow: each for flow, each in waiting.items() if flow not in flows}


def to_text(position: WindowPosition) -> str:
    """Compact JSON, with times in milliseconds since 1970."""
    looks = position.looks
    state = {
        "read": {str(age // timedelta(seconds=1)): _number(until) for age, until in position.read.items()},
        "ended_after": _number(position.ended_after),
        "started_from": _number(position.started_from),
        "looks": [_number(time) for time in looks.times],
        "seen": [[each.id, *map(_number, _moments_of(each))] for each in looks.seen],
        "blind": _number(position.blind),
        "again": [[_number(each.around), _number(each.due)] for each in position.again],
        "waiting": {
            flow: [_number(moment) for moment in (each.since, each.again_at, each.started_at, each.ended_at)]
            for flow, each in position.waiting.items()
        },
        "done": position.done.to_json(),
    }
    return json.dumps(state, separators=(",", ":"))


def _moments_of(seen: Seen) -> tuple[datetime | None, ...]:
    return seen.after, seen.earliest, seen.moment, seen.at


@lru_cache(maxsize=1)
def from_text(text: str) -> WindowPosition:
    """:raises PositionUnreadable: to_text did not write it"""
    try:
        state = json.loads(text)
        looks = Looks(tuple(map(_certain, state["looks"])), tuple(_seen_in(*each) for each in state["seen"]))
        read = {timedelta(seconds=int(age)): _certain(until) for age, until in state["read"].items()}
        return WindowPosition(
            read={max(read): read[max(read)], **read},  # there is one
            ended_after=_moment(state["ended_after"]),
            started_from=_moment(state["started_from"]),
            looks=looks,
            blind=_moment(state["blind"]),
            again=tuple(Again(_certain(around), _certain(due)) for around, due in state["again"]),
            waiting={str(flow): Waiting(*map(_certain, moments)) for flow, moments in state["waiting"].items()},
            done=marks_in(state["done"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as exc:
        raise PositionUnreadable from exc


def _seen_in(call: Any, after: Any, earliest: Any, moment: Any, at: Any) -> Seen:
    return Seen(str(call), _moment(after), _moment(earliest), _moment(moment), _certain(at))


def _number(moment: datetime | None) -> int | None:
    """Rounded down, so that nothing is passed over."""
    return (moment - _EPOCH) // _MILLISECOND if moment is not None else None


def _moment(milliseconds: Any) -> datetime | None:
    return _certain(milliseconds) if milliseconds is not None else None


def _certain(milliseconds: Any) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
