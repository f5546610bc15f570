"""What every RowTable does: the fake, SQLite, MariaDB, PostgreSQL, and SQL Server through each ODBC driver."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import MAX_TEXT, CallRecord
from cdr.calls.message import Message
from cdr.intake.id_order.reader import Row
from cdr.intake.id_order.span import ALL, IdSpan
from shared.errors import SourceUnavailable
from tests.support.factories import make_raw_row
from tests.systems.phone_systems import PHONE_SYSTEMS, PhoneSystem
from tests.systems.plugin import MakePhoneSystem

NINE = datetime(2026, 11, 20, 9, 0, 0)  # noqa: DTZ001 - a phone system writes naive moments
FIVE_PAST = NINE + timedelta(minutes=5)
HOUR = timedelta(hours=1)


def row(row_id: int, **changes: Any) -> dict[str, Any]:
    plain = make_raw_row(id=row_id, started_at=NINE, ended_at=FIVE_PAST, answered=1)
    del plain["call_group_id"]
    return plain | changes


def ids(rows: Sequence[Row]) -> list[int]:
    return [found.id for found in rows]


@pytest.fixture(params=PHONE_SYSTEMS)
def system(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> PhoneSystem:
    return make_phone_system(request.param)


# Paging


def test_rows_come_in_order_of_id_beyond_the_position_and_never_more_than_asked_for(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in (30, 10, -50, 20, 0)))
    with system.connect() as table:
        assert ids(table.rows_after(None, 2)) == [-50, 0]
        assert ids(table.rows_after(0, 2)) == [10, 20]
        assert ids(table.rows_after(20, 2)) == [30]
        assert ids(table.rows_after(30, 2)) == []


def test_an_empty_table_has_no_rows_and_no_newest_id(system: PhoneSystem) -> None:
    with system.connect() as table:
        assert table.rows_after(None, 10) == []
        assert table.rows_in([(1, 100)], None, 10) == []
        assert table.newest_id() is None
        assert table.first_id_since(datetime(2000, 1, 1, tzinfo=UTC)) is None


def test_ids_may_be_as_large_as_the_database_allows_and_rows_of_later_commits_are_seen(system: PhoneSystem) -> None:
    system.insert(row(2**62))
    with system.connect() as table:
        assert ids(table.rows_after(None, 10)) == [2**62]
        system.insert(row(2**62 + 1))
        assert ids(table.rows_after(2**62, 10)) == [2**62 + 1]
        assert table.newest_id() == 2**62 + 1


# Looking at ids again


def test_ranges_include_both_ends_and_nothing_beside_them(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(1, 11)))
    with system.connect() as table:
        assert ids(table.rows_in([(2, 2), (4, 6), (9, 12)], None, 100)) == [2, 4, 5, 6, 9, 10]
        assert ids(table.rows_in([(1, 2), (4, 6), (9, 10)], 4, 3)) == [5, 6, 9]
        assert table.rows_in([(1, 2), (4, 6)], 6, 3) == []
        assert table.rows_in([], None, 10) == []


def test_more_ranges_than_one_statement_takes_are_paged_through_without_loss(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(1, 1_001)))
    ranges = [(first, first + first % 2) for first in range(3, 990, 3)]
    wanted = [row_id for first, last in ranges for row_id in range(first, last + 1)]
    found: list[int] = []
    with system.connect() as table:
        assert ids(table.rows_in(ranges, None, 1_000)) == wanted
        while page := table.rows_in(ranges, found[-1] if found else None, 70):
            assert len(page) <= 70
            found += ids(page)
    assert found == wanted


def test_the_limit_holds_where_most_of_many_ranges_are_empty(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(100, 1_300, 100)))
    ranges = [(row_id, row_id) for row_id in range(2, 1_302, 2)]
    with system.connect() as table:
        assert ids(table.rows_in(ranges, None, 7)) == [100, 200, 300, 400, 500, 600, 700]
        assert ids(table.rows_in(ranges, 700, 100)) == [800, 900, 1_000, 1_100, 1_200]


def test_of_many_ids_the_rows_that_ended_are_found_a_page_at_a_time(system: PhoneSystem) -> None:
    system.insert(*(row(row_id, ended_at=None if row_id % 3 else FIVE_PAST) for row_id in range(1, 2_101)))
    asked = range(2, 2_400, 2)
    wanted = [row_id for row_id in asked if row_id % 3 == 0 and row_id <= 2_100]
    found: list[int] = []
    with system.connect() as table:
        while page := table.ended_among(asked, found[-1] if found else None, 100):
            found += ids(page)
        assert ids(table.ended_among([1, 2, 3, 4, 6, 9], 3, 1)) == [6]
        assert table.ended_among([], None, 10) == []
    assert found == wanted


# Times


def test_the_first_id_since_a_moment_counts_in_the_time_zone_of_the_table(system: PhoneSystem) -> None:
    starts = {1: NINE, 2: FIVE_PAST, 3: FIVE_PAST, 0: None}
    system.insert(*(row(row_id, started_at=start) for row_id, start in starts.items()))
    for timezone, offset in (("UTC", 0), ("America/Anchorage", -9), ("Asia/Kolkata", 5.5)):
        moment = FIVE_PAST.replace(tzinfo=UTC) - offset * HOUR
        with system.connect(timezone=timezone) as table:
            assert table.first_id_since(moment) == 2, timezone
            assert table.first_id_since(moment - timedelta(minutes=5)) == 1, timezone
            assert table.first_id_since(moment + timedelta(seconds=1)) is None, timezone


def test_rows_that_ended_within_a_span_exclude_its_end_and_calls_under_way(system: PhoneSystem) -> None:
    ends = [NINE, FIVE_PAST, FIVE_PAST, None, NINE - timedelta(seconds=1)]
    system.insert(*(row(row_id, ended_at=end) for row_id, end in enumerate(ends, start=1)))
    start = NINE.replace(tzinfo=UTC) - HOUR
    with system.connect(timezone="Europe/Berlin") as table:
        assert ids(table.rows_ended_between(start, start + timedelta(minutes=5), ALL, 10)) == [1]
        assert ids(table.rows_ended_between(start, start + timedelta(minutes=6), ALL, 2)) == [1, 2]
        assert ids(table.rows_ended_between(start, start + timedelta(minutes=6), IdSpan(2), 10)) == [3]


# Values


def test_a_row_is_a_call_detail_record_and_says_whether_it_has_ended(system: PhoneSystem) -> None:
    system.insert(row(1), row(2, ended_at=None), {"id": 3})
    with system.connect() as table:
        ended, under_way, empty = table.rows_after(None, 10)
    wanted = CallRecord.from_row(row(1)).values
    assert [(type(found.id), found.ended) for found in (ended, under_way, empty)] == [(int, True), *[(int, False)] * 2]
    (record,) = ended.records
    assert (record.id, record.shortened) == ("1", {})
    assert {column: _moment(value) for column, value in record.values.items()} == wanted
    assert under_way.records[0].values["ended_at"] is None
    assert {value for column, value in empty.records[0].values.items() if column != "id"} == {None}


def _moment(value: Any) -> Any:
    """SQLite keeps moments as text with a blank in it."""
    return value.replace(" ", "T") if isinstance(value, str) and value.startswith("2026-") else value


def test_the_column_of_the_call_group_is_there_where_the_schema_has_it(system: PhoneSystem) -> None:
    system.insert(row(1, call_group_id="800"))
    with system.connect(with_groups=True) as table:
        (found,) = table.rows_after(None, 10)
    assert found.records[0].values["call_group_id"] == "800"


TEXTS = {
    "long": "9" * 10_000,
    "chinese": "漢字",
    "beyond the basic plane": "Zoë 😀" * 100,
    "quotes": 'O\'Brien "b"',
    "signs": "100 % : sure",
    "lines": "line\nbreak\ttab",
    "^A": "\x01",
    "empty": "",
}


def test_any_text_passes_unchanged_and_can_travel(system: PhoneSystem) -> None:
    system.insert(*(row(row_id, caller_number=text) for row_id, text in enumerate(TEXTS.values())))
    with system.connect() as table:
        rows = table.rows_after(None, 10)
    for found, (name, text) in zip(rows, TEXTS.items(), strict=True):
        (travelled,) = Message.from_text(Message(tuple(found.records)).to_text()).records
        assert travelled.values["caller_number"] == text[:MAX_TEXT], name
        assert travelled.shortened.get("caller_number", len(text)) == len(text), name


# The connection


def test_connections_do_not_disturb_each_other_and_a_closed_one_is_of_no_use(system: PhoneSystem) -> None:
    system.insert(row(1))
    with system.connect() as one:
        with system.connect() as other:
            assert other.newest_id() == 1
        with pytest.raises(SourceUnavailable):
            other.newest_id()
    with pytest.raises(SourceUnavailable):
        one.newest_id()


@pytest.mark.parametrize("name", [name for name in PHONE_SYSTEMS if name != "sqlite"])
def test_a_dropped_connection_ends_its_table_and_the_next_one_works_again(
    name: str, make_phone_system: MakePhoneSystem
) -> None:
    system: Any = make_phone_system(name)
    with system.connect() as table:
        system.drop_connections()
        with pytest.raises(SourceUnavailable):
            table.newest_id()
    with system.connect() as table:
        assert table.newest_id() is None
