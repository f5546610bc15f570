"""The newest calls of a table are found from its end on, and no more of it is read than that takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.folding.leg import Leg, Side
from cdr.intake.id_order.reader import IdOrderReader, RowPatience
from cdr.intake.newest import FIRST_SPAN, MOST_READ
from cdr.intake.time_order.reader import LegPatience, TimeOrderReader
from cdr.intake.time_order.table import Touched
from tests.fakes.clock import HandMovedClock
from tests.fakes.row_table import InMemoryRowTable
from tests.support.factories import make_raw_row

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


# By id


def newest_ids(table: InMemoryRowTable, limit: int, page_size: int = 5) -> list[int]:
    with table.connect() as rows:
        reader = IdOrderReader(rows, HandMovedClock(NOON), RowPatience(), page_size=page_size)
        return [int(record.id) for record in reader.newest(limit)]


@given(st.sets(st.integers(-5, 10**18) | st.integers(1, 60), max_size=50), st.integers(1, 20), st.integers(1, 9))
def test_the_highest_ids_come_first_however_wide_the_gaps(ids: set[int], limit: int, page_size: int) -> None:
    table = InMemoryRowTable(make_raw_row(id=number) for number in ids)
    assert newest_ids(table, limit, page_size) == sorted(ids, reverse=True)[:limit]


def test_rows_that_have_not_ended_are_no_calls_yet() -> None:
    table = InMemoryRowTable(make_raw_row(id=n, **({} if n % 3 else {"ended_at": None})) for n in range(1, 40))
    assert newest_ids(table, 4) == [38, 37, 35, 34]


def test_behind_a_lone_newest_row_a_full_table_is_not_read_whole() -> None:
    table = InMemoryRowTable(make_raw_row(id=n) for n in (*range(1, 20_001), 10**12))
    assert newest_ids(table, 3, page_size=50) == [10**12, 20_000, 19_999]
    assert len(table.operations) < 150


def test_a_table_in_which_hardly_anything_is_over_is_not_read_whole() -> None:
    table = InMemoryRowTable(make_raw_row(id=n, ended_at=None) for n in range(1, 4 * MOST_READ))
    assert newest_ids(table, 3, page_size=500) == []
    assert len(table.operations) < 50


# By time


class Legs:
    """A LegTable in which each call is one leg, by the moment of its end; it counts what is read."""

    def __init__(self, ends: Collection[datetime], open_ends: int = 0) -> None:
        self.legs = [_leg(f"{n:06}", end) for n, end in enumerate(sorted(ends))]
        self.ended = [Touched(leg.flow, None, leg.ended_at) for leg in self.legs if leg.ended_at]
        self.legs += [_leg(f"open{n}", None) for n in range(open_ends)]
        self.read = 0

    def newest_end(self) -> datetime | None:
        return self.ended[-1].ended_at if self.ended else None

    def ended_from(self, since: datetime | None, limit: int) -> Sequence[Touched]:
        first = 0 if since is None else bisect_left(self.ended, since, key=attrgetter("ended_at"))
        found = self.ended[first : first + limit]
        self.read += len(found)
        return found

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        return [leg for leg in self.legs if leg.flow in flows][:limit]


def _leg(name: str, ended_at: datetime | None) -> Leg:
    begun = (ended_at or NOON) - 30 * SECOND
    outside, person = Side("external_line", "10000", "p", "+19075550142", is_incoming=True), Side("extension", "101")
    return Leg(name, name, outside, person, started_at=begun, answered_at=begun, ended_at=ended_at)


def newest(table: Any, limit: int, page_size: int = 50) -> list[CallRecord]:
    patience = LegPatience()
    return list(TimeOrderReader(table, HandMovedClock(NOON), patience, FoldOptions(), page_size).newest(limit))


@given(st.sets(st.integers(0, 10**8) | st.integers(0, 60), max_size=40), st.integers(1, 20), st.integers(1, 9))
def test_the_latest_ends_come_first_however_long_ago(seconds: set[int], limit: int, page_size: int) -> None:
    ends = {NOON - n * SECOND for n in seconds}
    found = newest(Legs(ends), limit, page_size)
    assert [record.values["ended_at"] for record in found] == [
        end.isoformat() for end in sorted(ends, reverse=True)[:limit]
    ]


def test_what_has_no_end_is_left_out() -> None:
    assert newest(Legs([], open_ends=3), 5) == []
    assert len(newest(Legs([NOON], open_ends=3), 5)) == 1


@pytest.mark.parametrize("before", [FIRST_SPAN / 2, 2 * FIRST_SPAN], ids=["within", "behind"])
def test_of_a_crowd_before_the_newest_no_more_is_read_than_that_takes(before: timedelta) -> None:
    """Such as the calls of years that a new replica was given at once."""
    crowd = [NOON - before - n * SECOND / 1_000 for n in range(4 * MOST_READ)]
    table = Legs([NOON, *crowd])
    found = newest(table, 3, page_size=1_000)
    assert found[0].values["ended_at"] == NOON.isoformat()
    assert table.read < 15 * MOST_READ
