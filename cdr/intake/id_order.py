"""The arithmetic of the checkpoint: which ids to ask for, and what a page of rows does to it. Pure.

Ids are given when a row is inserted and seen when it is committed, and a call's row may be inserted long before the
call ends. So the position alone is not enough: the checkpoint also keeps the rows that it passed before they had
ended, and the ids that were missing when it passed them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

Range = tuple[int, int]
"""First and last id, both included."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Ids that were not there when their neighbours were read."""

    first: int
    last: int
    missed_at: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far the table has been read. ``position`` None means: from its very beginning."""

    position: int | None = None
    open_rows: Mapping[int, datetime] = field(default_factory=dict)
    """Rows without an end, each with the moment it was first seen."""
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the poll needs to know of a row."""

    id: int
    ended: bool


def advance(checkpoint: Checkpoint, page: Sequence[Seen], now: datetime) -> Checkpoint:
    """The checkpoint after a page of rows beyond its position, in order of id."""
    position, gaps = checkpoint.position, list(checkpoint.gaps)
    for row in page:
        # Ids start at 1; below that nothing can be missing before the first row.
        expected = position + 1 if position is not None else min(1, row.id)
        if row.id > expected:
            gaps.append(Gap(expected, row.id - 1, now))
        position = row.id
    opened = {row.id: now for row in page if not row.ended}
    return Checkpoint(position, {**checkpoint.open_rows, **opened}, tuple(gaps))


def to_look_at_again(checkpoint: Checkpoint) -> list[Range]:
    """The ids behind the position that the next poll must ask for, ascending, neighbours joined."""
    ranges = sorted(
        [(row_id, row_id) for row_id in checkpoint.open_rows] + [(g.first, g.last) for g in checkpoint.gaps]
    )
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def look_again(checkpoint: Checkpoint, rows: Iterable[Seen], now: datetime) -> Checkpoint:
    """The checkpoint after rows behind its position were looked at: ended ones leave it, late ones fill their gap."""
    rows = list(rows)
    open_rows = dict(checkpoint.open_rows)
    for row in rows:
        if row.ended:
            open_rows.pop(row.id, None)
        else:
            open_rows.setdefault(row.id, now)
    return replace(checkpoint, open_rows=open_rows, gaps=_without(checkpoint.gaps, sorted({row.id for row in rows})))


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


def overdue(checkpoint: Checkpoint, now: datetime, wait: timedelta) -> frozenset[int]:
    """The open rows that were first seen so long ago that they will not end any more."""
    return frozenset(row_id for row_id, since in checkpoint.open_rows.items() if now - since >= wait)


def forget(checkpoint: Checkpoint, now: datetime, gap_wait: timedelta, open_row_wait: timedelta) -> Checkpoint:
    """Without what is not worth another look: ids missing for so long that no transaction can still be about to fill
    them, and overdue open rows. Only right after a look at everything behind the position."""
    gone = overdue(checkpoint, now, open_row_wait)
    return replace(
        checkpoint,
        open_rows={row_id: since for row_id, since in checkpoint.open_rows.items() if row_id not in gone},
        gaps=tuple(gap for gap in checkpoint.gaps if now - gap.missed_at < gap_wait),
    )
