"""Which ids are looked at for the calls of a time: few of a large table, and none too few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.id_order.reader import IdOrderReader
from cdr.intake.id_order.span import ALL, span_of
from cdr.intake.id_order.table import IdSpan, Row, RowPatience
from tests.fakes.clock import HandMovedClock
from tests.fakes.row_table import InMemoryCallLog, InMemoryRows, InMemoryRowTable
from tests.support.factories import make_raw_row
from tests.support.workshop import NOON

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def ended_at(row: Row) -> datetime | None:
    value = row.records[0].values["ended_at"]
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC) if value else None


def table_of(*ends: datetime | None, step: int = 1_000) -> InMemoryRowTable:
    """A row each, with ids so far from each other that there are many."""
    rows: list[dict[str, Any]] = []
    for n, end in enumerate(ends):
        naive = end.replace(tzinfo=None) if end else None
        rows.append(make_raw_row(id=n * step, started_at=None, ended_at=naive))
    return InMemoryRowTable(rows, timezone="UTC")


def span_in(table: InMemoryRowTable, start: datetime, end: datetime) -> tuple[IdSpan, int]:
    """With how many looks it was found."""
    with table.connect() as rows:
        span = span_of(rows, start, end, ended_at)
    return span, table.operations.count("rows_after")


def test_of_a_year_only_the_days_around_a_day_are_looked_at_and_found_with_few_looks() -> None:
    table = table_of(*(FIRST + n * HOUR for n in range(365 * 24)))
    span, looks = span_in(table, FIRST + 100 * DAY, FIRST + 101 * DAY)
    assert 97 * 24 <= span.after // 1_000 <= 98 * 24
    assert 103 * 24 - 1 <= span.last // 1_000 <= 104 * 24
    assert looks < 40


class NotedRows(InMemoryRows):
    """Notes within which ids it was asked for the calls of a time."""

    def __init__(self, source: InMemoryRowTable) -> None:
        super().__init__(source)
        self.spans: list[IdSpan] = []

    def rows_ended_between(self, start: datetime, end: datetime, within: IdSpan, limit: int) -> list[Row]:
        self.spans.append(within)
        return super().rows_ended_between(start, end, within, limit)


def test_a_reader_asks_for_the_calls_of_a_day_within_the_ids_around_it_alone() -> None:
    table = table_of(*(FIRST + n * HOUR for n in range(100 * 24)))
    for still_on in filter(lambda n: n % 7, range(100 * 24)):
        began = table.rows[still_on * 1_000]["ended_at"]
        table.put(make_raw_row(id=still_on * 1_000, started_at=began, ended_at="9999-12-31 00:00:00"))
    rows = NotedRows(table)
    table.connections.append(rows)
    reader = IdOrderReader(rows, HandMovedClock(NOON), RowPatience())
    pages = list(reader.ended_between(FIRST + 50 * DAY, FIRST + 51 * DAY))
    assert sum(map(len, pages)) == 3
    assert (rows.spans[0].after or 0) // 1_000 >= 47 * 24
    assert all((span.last or 10**9) // 1_000 <= 54 * 24 for span in rows.spans)


@pytest.mark.parametrize(
    "ends",
    [
        [],
        [FIRST],
        [FIRST + n * HOUR for n in range(10)],
        [FIRST + n * DAY for n in range(50, 0, -1)],
        [FIRST + (n * 7 % 50) * DAY for n in range(50)],
        [FIRST, *[None] * 100],
    ],
    ids=["an empty table", "one row", "few ids", "times that fall", "times in no order", "no times"],
)
def test_where_times_do_not_show_it_or_ids_are_few_all_are_looked_at(ends: list[datetime | None]) -> None:
    assert span_in(table_of(*ends), FIRST + 20 * DAY, FIRST + 21 * DAY)[0] == ALL


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-20, 20)), min_size=12, max_size=60),
    st.integers(-5, 100),
    st.integers(1, 31),
)
def test_no_call_of_the_time_is_left_out_however_far_a_day_its_row_lies_from_its_place(
    rows: list[tuple[int, int]], first: int, days: int
) -> None:
    ends, now = [], FIRST
    for pause, late in rows:
        now += pause * HOUR
        ends.append(now + late * HOUR)
    start = FIRST + first * DAY
    end = start + days * DAY
    log = InMemoryCallLog(table_of(*ends), HandMovedClock(NOON))
    with log.connect() as reader:
        found = [record.id for page in reader.ended_between(start, end) for record in page]
    assert found == [str(n * 1_000) for n, moment in enumerate(ends) if start <= moment < end]
