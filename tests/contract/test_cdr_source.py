"""What every CdrSource does: the twin, SQLite, MariaDB, and SQL Server through each ODBC driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import COLUMNS
from cdr.calls.message import decode_row, encode_row
from shared.errors import SourceUnavailable
from tests.systems.phone_systems import PHONE_SYSTEMS, PhoneSystem

NINE = datetime(2026, 11, 20, 9, 0, 0)  # noqa: DTZ001 - a phone system writes naive moments
FIVE_PAST = NINE + timedelta(minutes=5)


def row(row_id: int, **changes: Any) -> dict[str, Any]:
    """An ended call, but for what a test changes."""
    return {
        "id": row_id,
        "call_id": f"call-{row_id}",
        "started_at": NINE,
        "ended_at": FIVE_PAST,
        "duration_s": 300,
        "caller_number": "+49 30 901820",
        "dest_number": "101",
        "extension": "101",
        "call_type": 0,
        "answered": 1,
        "hangup_cause": "normal",
    } | changes


def ids(rows: Any) -> list[int]:
    return [found["id"] for found in rows]


@pytest.fixture(params=PHONE_SYSTEMS)
def system(request: pytest.FixtureRequest) -> PhoneSystem:
    return request.getfixturevalue("make_phone_system")(request.param)


# Paging


def test_rows_come_in_order_of_id_beyond_the_position_and_never_more_than_asked_for(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in (30, 10, 50, 20, 40)))
    with system.source().connect() as reader:
        assert ids(reader.rows_after(10, 3)) == [20, 30, 40]
        assert ids(reader.rows_after(40, 3)) == [50]
        assert ids(reader.rows_after(50, 3)) == []


def test_without_a_position_rows_come_from_the_very_beginning(system: PhoneSystem) -> None:
    system.insert(row(7), row(0), row(-3))
    with system.source().connect() as reader:
        assert ids(reader.rows_after(None, 2)) == [-3, 0]


def test_an_empty_table_has_no_rows_and_no_newest_id(system: PhoneSystem) -> None:
    with system.source().connect() as reader:
        assert reader.rows_after(None, 10) == []
        assert reader.rows_in([(1, 100)], None, 10) == []
        assert reader.newest_id() is None
        assert reader.first_id_since(datetime(2000, 1, 1, tzinfo=UTC)) is None


def test_ids_may_be_as_large_as_the_database_allows(system: PhoneSystem) -> None:
    system.insert(row(2**62), row(2**62 + 1))
    with system.source().connect() as reader:
        assert ids(reader.rows_after(2**62, 10)) == [2**62 + 1]
        assert reader.newest_id() == 2**62 + 1


def test_rows_that_are_committed_after_the_connection_was_made_are_seen(system: PhoneSystem) -> None:
    system.insert(row(1))
    with system.source().connect() as reader:
        assert ids(reader.rows_after(None, 10)) == [1]
        system.insert(row(2))
        assert ids(reader.rows_after(1, 10)) == [2]
        assert reader.newest_id() == 2


# Looking at ids again


def test_ranges_include_both_ends_and_nothing_beside_them(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(1, 11)))
    with system.source().connect() as reader:
        assert ids(reader.rows_in([(2, 2), (4, 6), (9, 12)], None, 100)) == [2, 4, 5, 6, 9, 10]


def test_after_cuts_into_a_range_and_the_limit_holds_over_all_of_them(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(1, 11)))
    with system.source().connect() as reader:
        assert ids(reader.rows_in([(1, 2), (4, 6), (9, 10)], 4, 3)) == [5, 6, 9]
        assert reader.rows_in([(1, 2), (4, 6)], 6, 3) == []


def test_more_ranges_than_one_statement_takes_are_paged_through_without_loss(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(1, 1_001)))
    ranges = [(first, first + first % 2) for first in range(3, 990, 3)]
    wanted = [row_id for first, last in ranges for row_id in range(first, last + 1)]
    assert len(ranges) > 200
    found: list[int] = []
    with system.source().connect() as reader:
        assert ids(reader.rows_in(ranges, None, 1_000)) == wanted
        while page := reader.rows_in(ranges, found[-1] if found else None, 70):
            assert len(page) <= 70
            found += ids(page)
    assert found == wanted


def test_the_limit_holds_where_most_of_many_ranges_are_empty(system: PhoneSystem) -> None:
    system.insert(*(row(row_id) for row_id in range(100, 1_300, 100)))
    ranges = [(row_id, row_id) for row_id in range(2, 1_302, 2)]
    with system.source().connect() as reader:
        assert ids(reader.rows_in(ranges, None, 7)) == [100, 200, 300, 400, 500, 600, 700]
        assert ids(reader.rows_in(ranges, 700, 100)) == [800, 900, 1_000, 1_100, 1_200]


def test_no_ranges_mean_no_rows(system: PhoneSystem) -> None:
    system.insert(row(1))
    with system.source().connect() as reader:
        assert reader.rows_in([], None, 10) == []


# Times


@pytest.mark.parametrize(
    ("timezone", "offset"), [("UTC", 0), ("Europe/Berlin", 1), ("America/Anchorage", -9), ("Asia/Kolkata", 5.5)]
)
def test_the_first_id_since_a_moment_counts_in_the_time_zone_of_the_table(
    system: PhoneSystem, timezone: str, offset: float
) -> None:
    system.insert(row(1, started_at=NINE), row(3, started_at=FIVE_PAST), row(2, started_at=FIVE_PAST))
    moment = FIVE_PAST.replace(tzinfo=UTC) - timedelta(hours=offset)
    with system.source(timezone=timezone).connect() as reader:
        assert reader.first_id_since(moment) == 2
        assert reader.first_id_since(moment - timedelta(minutes=5)) == 1
        assert reader.first_id_since(moment + timedelta(seconds=1)) is None


def test_a_row_without_a_start_does_not_count_as_started(system: PhoneSystem) -> None:
    system.insert(row(1, started_at=None), row(2))
    with system.source().connect() as reader:
        assert reader.first_id_since(NINE.replace(tzinfo=UTC)) == 2


def test_rows_that_ended_within_a_span_exclude_its_end_and_calls_under_way(system: PhoneSystem) -> None:
    ends = [NINE, FIVE_PAST, FIVE_PAST, None, NINE - timedelta(seconds=1)]
    system.insert(*(row(row_id, ended_at=end) for row_id, end in enumerate(ends, start=1)))
    start = NINE.replace(tzinfo=UTC) - timedelta(hours=1)
    with system.source(timezone="Europe/Berlin").connect() as reader:
        assert ids(reader.rows_ended_between(start, start + timedelta(minutes=5), None, 10)) == [1]
        assert ids(reader.rows_ended_between(start, start + timedelta(minutes=6), None, 2)) == [1, 2]
        assert ids(reader.rows_ended_between(start, start + timedelta(minutes=6), 2, 10)) == [3]


# Values


def test_a_row_has_the_canonical_columns_with_the_values_that_the_driver_gave(system: PhoneSystem) -> None:
    system.insert(row(1, ended_at=None))
    with system.source().connect() as reader:
        (found,) = reader.rows_after(None, 10)
    assert set(found) == set(COLUMNS) - {"call_group_id"}
    assert found == row(1, started_at=system.raw(NINE), ended_at=None)
    assert type(found["id"]) is int


def test_the_column_of_the_call_group_is_there_where_the_schema_has_it(system: PhoneSystem) -> None:
    system.insert(row(1, call_group_id="800"))
    with system.source(with_groups=True).connect() as reader:
        (found,) = reader.rows_after(None, 10)
    assert found["call_group_id"] == "800"
    assert set(found) == set(COLUMNS)


def test_a_row_of_nothing_but_nulls_passes_beside_the_others(system: PhoneSystem) -> None:
    system.insert(row(1), {"id": 2}, row(3))
    with system.source().connect() as reader:
        rows = reader.rows_after(None, 10)
    assert ids(rows) == [1, 2, 3]
    assert {value for column, value in rows[1].items() if column != "id"} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "9" * 10_000,
        "Zoë Ångström",
        "漢字",
        "😀" * 300,
        "O'Brien",
        'a"b',
        "100 % : sure",
        "line\nbreak\ttab",
        "\x01",
        "",
    ],
    ids=[
        "long",
        "latin",
        "chinese",
        "beyond the basic plane",
        "quote",
        "double quote",
        "percent",
        "lines",
        "^A",
        "empty",
    ],
)
def test_any_text_passes_unchanged_and_can_travel(system: PhoneSystem, text: str) -> None:
    system.insert(row(1, caller_number=text))
    with system.source().connect() as reader:
        (found,) = reader.rows_after(None, 10)
    assert found["caller_number"] == text
    assert decode_row(encode_row(found)).values["caller_number"] == text[:255]


# The connection


def test_a_reader_is_of_no_use_after_its_connection_was_closed(system: PhoneSystem) -> None:
    with system.source().connect() as reader:
        pass
    with pytest.raises(SourceUnavailable):
        reader.newest_id()


def test_connections_of_one_source_do_not_disturb_each_other(system: PhoneSystem) -> None:
    system.insert(row(1))
    source = system.source()
    with source.connect() as one, source.connect() as other:
        assert one.newest_id() == other.newest_id() == 1


@pytest.mark.parametrize("name", [name for name in PHONE_SYSTEMS if name != "sqlite"])
def test_a_dropped_connection_ends_its_reader_and_the_next_one_works_again(
    name: str, request: pytest.FixtureRequest
) -> None:
    system = request.getfixturevalue("make_phone_system")(name)
    system.insert(row(1))
    source = system.source()
    with source.connect() as reader:
        assert reader.newest_id() == 1
        system.drop_connections()
        with pytest.raises(SourceUnavailable):
            reader.newest_id()
    with source.connect() as reader:
        assert reader.newest_id() == 1
