"""How far a table with growing ids has been read: which ids to ask for, and what a page of rows changes. Pure.

Ids are given when a row is inserted and seen when it is committed, and a call's row may be inserted long before the
call ends. So the last id alone is not enough: the position also keeps the rows that it passed before they had
ended, and the ids that were missing when it passed them.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

from cdr.calls.fingerprint import Fingerprint
from shared.errors import PositionUnreadable

Range = tuple[int, int]
"""First and last id, both included."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


LOWEST = 1 - 2**63

FEW = 500
"""So many rows more may a look come by for nothing."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids that were not there when their neighbours were read.

    Where ids grow in even steps, one gap stands for all between them: every ``step``-th id, from the one before the
    first on, was there. 0: none was.
    """

    first: int
    last: int
    missed_at: datetime
    step: int = 0

    def holds(self, row_id: int) -> bool:
        return self.first <= row_id <= self.last and not (self.step and (row_id - self.first + 1) % self.step == 0)

    @property
    def there(self) -> int:
        """How many ids within it were there."""
        return (self.last - self.first + 1) // self.step if self.step else 0

    @property
    def count(self) -> int:
        """How many were missing; of those before the very first row, as many as there may be in all likelihood."""
        return max(0, self.last) if self.first == LOWEST else self.last - self.first + 1 - self.there


@dataclass(frozen=True, slots=True)
class IdPosition:
    """How far the table has been read. ``last`` None means: from its very beginning."""

    last: int | None = None
    open_rows: Mapping[int, datetime] = field(default_factory=dict)
    """Rows without an end, each with the moment it was first seen."""
    gaps: tuple[Gap, ...] = ()
    anchor: Fingerprint = field(default="", compare=False)
    """Of the row that was read last: what tells whether the table still is the one that was read."""

    @property
    def missing(self) -> int:
        """How many ids are looked for."""
        return sum(gap.count for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the poll needs to know of a row."""

    id: int
    ended: bool


def advance(position: IdPosition, page: Sequence[Seen], now: datetime) -> IdPosition:
    """The position after a page of rows beyond it, in order of id."""
    last, gaps = position.last, list(position.gaps)
    for row in page:
        expected = last + 1 if last is not None else LOWEST
        if row.id > expected:
            _add(gaps, Gap(expected, row.id - 1, now))
        last = row.id
    opened = {row.id: now for row in page if not row.ended}
    return IdPosition(last, {**position.open_rows, **opened}, tuple(gaps), position.anchor)


def _add(gaps: list[Gap], gap: Gap) -> None:
    """One more; as a part of the one before it, if both are as wide and a single id lies between them."""
    before, width = gaps[-1] if gaps else None, gap.last - gap.first + 1
    if before is not None and before.missed_at == gap.missed_at and before.last == gap.first - 2:
        step = before.step or before.last - before.first + 2
        if step == width + 1:
            gaps[-1] = Gap(before.first, gap.last, gap.missed_at, step)
            return
    gaps.append(gap)


def to_look_at_again(
    position: IdPosition, now: datetime, gap_wait: timedelta, given_up: Collection[int] = ()
) -> list[Range]:
    """The ids behind the position of which the next poll must know whether there is a row, ascending, neighbours
    joined: missing ones, and open rows that are given up.

    Between even steps there are as many rows that were read before. Where these are many, they are come by a single
    time, when the wait for what is between them is over.
    """
    are_few = sum(gap.there for gap in position.gaps) <= FEW
    gaps = [gap for gap in position.gaps if not gap.step or are_few or now - gap.missed_at >= gap_wait]
    ranges = sorted([(row_id, row_id) for row_id in given_up] + [(g.first, g.last) for g in gaps])
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def is_looked_for(position: IdPosition, row_id: int) -> bool:
    """Whether a row that a look came by is one of those it was for."""
    return row_id in position.open_rows or _gap_at(position, row_id) is not None


def _gap_at(position: IdPosition, row_id: int) -> Gap | None:
    after = bisect_right(position.gaps, row_id, key=lambda gap: gap.first)
    gap = position.gaps[after - 1] if after else None
    return gap if gap is not None and gap.holds(row_id) else None


def look_again(position: IdPosition, rows: Iterable[Seen], now: datetime) -> IdPosition:
    """The position after rows that were looked for: ended ones leave it, late ones fill their gap."""
    rows = list(rows)
    open_rows = dict(position.open_rows)
    for row in rows:
        if row.ended:
            open_rows.pop(row.id, None)
        else:
            open_rows.setdefault(row.id, now)
    return replace(position, open_rows=open_rows, gaps=_without(position.gaps, sorted({row.id for row in rows})))


def _without(gaps: Sequence[Gap], found: Sequence[int]) -> tuple[Gap, ...]:
    left: list[Gap] = []
    waiting = [*reversed(gaps)]
    while waiting:
        gap = waiting.pop()
        inside = [n for n in found[bisect_left(found, gap.first) : bisect_right(found, gap.last)] if gap.holds(n)]
        if gap.step and inside:
            waiting += reversed(_around(gap, inside[0]))
            continue
        first = gap.first
        for row_id in inside:
            if row_id > first:
                left.append(Gap(first, row_id - 1, gap.missed_at))
            first = row_id + 1
        if first <= gap.last:
            left.append(replace(gap, first=first))
    return tuple(left)


def _around(gap: Gap, row_id: int) -> list[Gap]:
    """A gap of even steps in three: what is missing around an id, and what is before and after that."""
    before = gap.first - 1 + (row_id - gap.first + 1) // gap.step * gap.step
    after = before + gap.step
    parts = ((gap.first, before - 1), (before + 1, min(after - 1, gap.last)), (after + 1, gap.last))
    return [_part(gap, first, last) for first, last in parts if first <= last]


def _part(gap: Gap, first: int, last: int) -> Gap:
    return Gap(first, last, gap.missed_at, gap.step if last - first + 1 >= gap.step else 0)


def come_by(position: IdPosition, row_id: int, now: datetime, gap_wait: timedelta) -> IdPosition:
    """The position after a look came by all ids up to one: between even steps it was the last one there, and may take
    so long that it has to be gone on with."""

    def left_of(gap: Gap) -> Gap | None:
        if not gap.step or now - gap.missed_at < gap_wait or row_id < gap.first:
            return gap
        first = gap.first + (row_id - gap.first + 1) // gap.step * gap.step
        return _part(gap, first, gap.last) if first <= gap.last else None

    return replace(position, gaps=tuple(left for gap in position.gaps if (left := left_of(gap)) is not None))


def has_passed(position: IdPosition, row_id: int) -> bool:
    """Whether a row with this id will not be asked for any more."""
    if position.last is None or row_id > position.last or row_id in position.open_rows:
        return False
    return _gap_at(position, row_id) is None


def settled(position: IdPosition) -> int | None:
    """The last id up to which every one that was missing has been given up; None if there is no such id."""
    if not position.gaps:
        return position.last
    first = position.gaps[0].first
    return first - 1 if first > LOWEST else None


def overdue(position: IdPosition, now: datetime, wait: timedelta) -> frozenset[int]:
    """The open rows that were first seen so long ago that they will not end any more."""
    return frozenset(row_id for row_id, since in position.open_rows.items() if now - since >= wait)


def forget(position: IdPosition, now: datetime, gap_wait: timedelta, open_row_wait: timedelta) -> IdPosition:
    """Without what is not worth another look: ids missing for so long that no transaction can still be about to fill
    them, and overdue open rows. Only right after a look at everything behind the position."""
    gone = overdue(position, now, open_row_wait)
    return replace(
        position,
        open_rows={row_id: since for row_id, since in position.open_rows.items() if row_id not in gone},
        gaps=tuple(gap for gap in position.gaps if now - gap.missed_at < gap_wait),
    )


def to_text(position: IdPosition) -> str:
    """Compact JSON, as 1.0.0 wrote it, which passes over steps and anchor: ids as differences to the one before, times
    as milliseconds since 1970."""
    ids = sorted(position.open_rows)
    steps = [b - a for a, b in pairwise([0, *ids])]
    gaps: list[int] = []
    before = 0
    for gap in position.gaps:
        gaps += [gap.first - before, gap.last - gap.first, _milliseconds(gap.missed_at)]
        before = gap.last
    opened = [_milliseconds(position.open_rows[row_id]) for row_id in ids]
    state: dict[str, Any] = {"position": position.last, "open": steps, "since": opened, "gaps": gaps}
    if any(gap.step for gap in position.gaps):
        state["steps"] = [gap.step for gap in position.gaps]
    if position.anchor:
        state["anchor"] = position.anchor
    return json.dumps(state, separators=(",", ":"))


@lru_cache(maxsize=8)
def from_text(text: str) -> IdPosition:
    """:raises PositionUnreadable: to_text did not write it"""
    try:
        return _from_state(json.loads(text))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise PositionUnreadable from exc


def _from_state(state: Mapping[str, Any]) -> IdPosition:
    open_rows: dict[int, datetime] = {}
    row_id = 0
    for step, since in zip(state["open"], state["since"], strict=True):
        row_id += _whole(step)
        open_rows[row_id] = _moment(since)
    gaps: list[Gap] = []
    before = 0
    numbers = state.get("steps") or [0] * (len(state["gaps"]) // 3)
    for (first, length, missed_at), step in zip(zip(*[iter(state["gaps"])] * 3, strict=True), numbers, strict=True):
        before += _whole(first)
        gaps.append(Gap(before, before + _whole(length), _moment(missed_at), max(0, _whole(step))))
        before = gaps[-1].last
    last = state["position"]
    return IdPosition(None if last is None else _whole(last), open_rows, tuple(gaps), str(state.get("anchor", "")))


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("no whole number")
    return value


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(milliseconds: Any) -> datetime:
    return _EPOCH + timedelta(milliseconds=_whole(milliseconds))
