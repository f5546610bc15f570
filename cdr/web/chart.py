"""Calls per hour as stacked bars: where each stands in a box that is 100 high and as wide as there are hours. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cdr.calls.call import State
from cdr.operations.ports import HourCount

HEIGHT = 100.0
GAP = 0.24
"""Between two bars, of the width of one with its gap."""

SHOWN = (State.SUBMITTED, State.SKIPPED, State.REJECTED)
"""From below."""


ROUND = (4, 6, 8, 10, 14, 20, 30)
"""And ten times as much, and so on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A bar's piece of one outcome; ``y`` is its upper edge, from above."""

    state: State
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """``label`` is the hour as it stands below the bar, ``hours`` the whole of it; ``counts`` are by ``SHOWN``."""

    x: float
    label: str
    hours: str
    counts: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """``top`` is the number at the upper edge, an even one; ``totals`` are by ``SHOWN``."""

    bars: tuple[Bar, ...]
    top: int
    totals: tuple[int, ...]
    bar_width: float = 1 - GAP


def chart_of(hours: Sequence[HourCount], zone: ZoneInfo) -> Chart:
    """Of these hours, the oldest first."""
    rows = [(each.submitted, each.skipped, each.rejected) for each in hours]
    top = _top(max(map(sum, rows), default=0))
    bars = [_bar(place, each.hour.astimezone(zone), rows[place], top) for place, each in enumerate(hours)]
    return Chart(tuple(bars), top, tuple(sum(row[place] for row in rows) for place in range(len(SHOWN))))


def _bar(place: int, start: datetime, counts: tuple[int, ...], top: int) -> Bar:
    pieces, below = [], 0
    for state, number in zip(SHOWN, counts, strict=True):
        below += number
        if number:
            height = round(HEIGHT * number / top, 2)
            pieces.append(Piece(state, round(HEIGHT * (top - below) / top, 2), height))
    end = start + timedelta(hours=1)
    return Bar(round(place + GAP / 2, 2), f"{start:%H}", f"{start:%H:%M} to {end:%H:%M}", counts, tuple(pieces))


def _top(largest: int) -> int:
    """The next round number of which half is a whole number as well."""
    scale = 1
    while True:
        for steps in ROUND:
            if steps * scale >= largest:
                return steps * scale
        scale *= 10
