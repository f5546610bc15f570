"""How far a table with growing ids has been read: which ids to ask for, and what a page of rows changes. Pure.

Ids are given when a row is inserted and seen when it is committed, and a call's row may be inserted long before the
call ends. So the last id alone is not enough: the position also keeps the rows that it passed before they had
ended, and the ids that were missing when it passed them.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids that were not there when their neighbours were read."""

    first: int
    last: int
    missed_at: datetime


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
        return sum(gap.last - gap.first + 1 for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the poll needs to know of a row."""

    id: int
    ended: bool


def advance(position: IdPosition, page: Sequence[Seen], now: datetime) -> IdPosition:
    """The position after a page of rows beyond it, in order of id."""
    last, gaps = position.last, list(position.gaps)
    for row in page:
        # Ids start at 1; below that nothing can be missing before the first row.
        expected = last + 1 if last is not None else min(1, row.id)
        if row.id > expected:
            gaps.append(Gap(expected, row.id - 1, now))
        last = row.id
    opened = {row.id: now for row in page if not row.ended}
    return IdPosition(last, {**position.open_rows, **opened}, tuple(gaps), position.anchor)


def to_look_at_again(position: IdPosition) -> list[Range]:
    """The ids behind the position that the next poll must ask for, ascending, neighbours joined."""
    ranges = sorted([(row_id, row_id) for row_id in position.open_rows] + [(g.first, g.last) for g in position.gaps])
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def look_again(position: IdPosition, rows: Iterable[Seen], now: datetime) -> IdPosition:
    """The position after rows behind it were looked at: ended ones leave it, late ones fill their gap."""
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
    for gap in gaps:
        first = gap.first
        for row_id in found[bisect_left(found, gap.first) : bisect_right(found, gap.last)]:
            if row_id > first:
                left.append(Gap(first, row_id - 1, gap.missed_at))
            first = row_id + 1
        if first <= gap.last:
            left.append(Gap(first, gap.last, gap.missed_at))
    return tuple(left)


def has_passed(position: IdPosition, row_id: int) -> bool:
    """Whether a row with this id will not be asked for any more."""
    if position.last is None or row_id > position.last or row_id in position.open_rows:
        return False
    after = bisect_right(position.gaps, row_id, key=lambda gap: gap.first)
    return not (after and row_id <= position.gaps[after - 1].last)


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
    """Compact JSON, as 1.0.0 wrote it, which passes over an anchor: ids as differences to the one before, times as
    milliseconds since 1970."""
    ids = sorted(position.open_rows)
    steps = [b - a for a, b in pairwise([0, *ids])]
    gaps: list[int] = []
    before = 0
    for gap in position.gaps:
        gaps += [gap.first - before, gap.last - gap.first, _milliseconds(gap.missed_at)]
        before = gap.last
    opened = [_milliseconds(position.open_rows[row_id]) for row_id in ids]
    anchor = {"anchor": position.anchor} if position.anchor else {}
    state = {"position": position.last, "open": steps, "since": opened, "gaps": gaps, **anchor}
    return json.dumps(state, separators=(",", ":"))


@lru_cache(maxsize=8)
def from_text(text: str) -> IdPosition:
    """:raises PositionUnreadable: to_text did not write it"""
    try:
        return _from_state(json.loads(text))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as exc:
        raise PositionUnreadable("the stored position is damaged: start over at a point of your choice") from exc


def _from_state(state: Mapping[str, Any]) -> IdPosition:
    open_rows: dict[int, datetime] = {}
    row_id = 0
    for step, since in zip(state["open"], state["since"], strict=True):
        row_id += _whole(step)
        open_rows[row_id] = _moment(since)
    gaps: list[Gap] = []
    before = 0
    for first, length, missed_at in zip(*[iter(state["gaps"])] * 3, strict=True):
        before += _whole(first)
        gaps.append(Gap(before, before + _whole(length), _moment(missed_at)))
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
