"""Bars of calls per hour: where they stand, how high they are, and what is written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import State
from cdr.operations.ports import HourCount
from cdr.web.chart import Chart, Piece, chart_of

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
COUNT = st.integers(0, 10**6)


def chart(*counts: Sequence[int], zone: str = "UTC") -> Chart:
    return chart_of([HourCount(NOON + timedelta(hours=n), *each) for n, each in enumerate(counts)], ZoneInfo(zone))


def test_outcomes_stand_on_each_other_and_hours_are_told_where_the_people_are() -> None:
    found = chart((0, 0, 0), (5, 0, 1), zone="Asia/Kolkata")
    assert (found.top, found.totals) == (6, (5, 0, 1))
    empty, full = found.bars
    assert (empty.pieces, empty.hours) == ((), "17:30 to 18:30")
    assert (full.x, full.label, full.counts) == (1.12, "18", (5, 0, 1))
    assert full.pieces == (Piece(State.SUBMITTED, 16.67, 83.33), Piece(State.REJECTED, 0.0, 16.67))


@pytest.mark.parametrize(
    ("largest", "top"), [(0, 4), (4, 4), (5, 6), (9, 10), (11, 14), (21, 30), (31, 40), (106, 140), (12_345, 14_000)]
)
def test_the_upper_edge_is_the_next_round_number(largest: int, top: int) -> None:
    assert chart((largest, 0, 0)).top == top


@given(st.lists(st.tuples(COUNT, COUNT, COUNT), min_size=1, max_size=25))
def test_no_bar_is_higher_than_the_box_and_half_of_the_edge_is_a_whole_number(
    counts: list[tuple[int, int, int]],
) -> None:
    found = chart(*counts)
    assert found.top % 2 == 0
    assert all(piece.y >= -0.01 and piece.y + piece.height <= 100.01 for bar in found.bars for piece in bar.pieces)
    assert found.totals == tuple(sum(column) for column in zip(*counts, strict=True))
