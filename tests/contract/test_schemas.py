"""What a schema file of one's own may hold, and what a page costs.

That a file is one SELECT is shown in tests/unit/sql/test_selects.py, that nothing is ever written in
tests/security/test_database.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cdr.calls.message import Message
from cdr.intake.id_order.reader import RowTable
from cdr.intake.id_order.span import ALL
from shared.errors import SourceMisconfigured
from tests.support.statements import statements
from tests.systems.phone_systems import CALLLOG, DATABASES, PostgreSqlPhoneSystem, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem

ID = "Id           AS id"
"""As it stands in the schema file."""


def on(*names: str) -> pytest.MarkDecorator:
    """Which databases a test is about."""
    return pytest.mark.parametrize("system", names, indirect=True)


@pytest.fixture
def system(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> Any:
    return make_phone_system(request.param)


def values_of(system: SqlPhoneSystem, schema: str) -> list[Mapping[str, Any]]:
    """The rows' values as they arrive at a worker."""
    with system.connect(schema) as table:
        rows = table.rows_after(0, 10)
    return [Message.from_text(Message(tuple(row.records)).to_text()).records[0].values for row in rows]


# Its text


@on(*DATABASES)
def test_colons_and_percent_signs_in_a_schema_are_text_and_no_parameters(system: SqlPhoneSystem) -> None:
    system.insert({"id": 1, "call_id": "a:b 100%"}, {"id": 2, "call_id": "other"})
    odd = "12:30:00 :id %s %(id)s 100%% ::x"
    schema = CALLLOG.replace("HangupCause ", f"'{odd}' ") + " WHERE CallId LIKE '%a:b 1__|%' ESCAPE '|'"
    assert [(row["id"], row["hangup_cause"]) for row in values_of(system, schema)] == [(1, odd)]


@on(*DATABASES)
def test_names_may_be_written_in_any_case_and_more_columns_than_the_canonical_ones_do_no_harm(
    system: SqlPhoneSystem,
) -> None:
    system.insert({"id": 1, "call_id": "abc"})
    upper = CALLLOG.replace("AS id", "AS ID").replace("AS call_id", "AS Call_Id")
    (row,) = values_of(system, upper.replace("AS hangup_cause", "AS hangup_cause, Id AS recording"))
    assert (row["id"], row["call_id"], "recording" in row) == (1, "abc", False)


@on(*DATABASES)
def test_a_schema_may_join_and_filter(system: SqlPhoneSystem) -> None:
    system.insert({"id": 1, "answered": 1}, {"id": 2, "answered": 0}, {"id": 3, "answered": 1})
    of_one = re.sub(r"(\w+ +AS )", r"c.\1", CALLLOG)
    schema = f"{of_one} c JOIN CallLog other ON other.Id = c.Id WHERE other.Answered = 1"
    assert [row["id"] for row in values_of(system, schema)] == [1, 3]


# Ids


@on("mariadb")
def test_an_id_that_the_database_keeps_as_a_decimal_comes_as_a_whole_number(system: SqlPhoneSystem) -> None:
    system.insert({"id": 2}, {"id": 10})
    schema = CALLLOG.replace(ID, "CAST(Id AS DECIMAL(20, 0)) AS id")
    assert [(type(row["id"]), row["id"]) for row in values_of(system, schema)] == [(int, 2), (int, 10)]


@on("sqlite", "mariadb", "mssql-freetds", "mssql-microsoft")
def test_an_id_of_text_is_refused_because_ten_would_come_before_nine(system: SqlPhoneSystem) -> None:
    system.insert({"id": 9, "call_id": "9"}, {"id": 10, "call_id": "10"})
    schema = CALLLOG.replace(ID, "CallId AS id").replace("CallId       AS call_id", "Id AS call_id")
    with system.connect(schema) as table:
        for read in (lambda: table.rows_after(None, 10), table.newest_id):
            with pytest.raises(SourceMisconfigured, match=r"3cx\.schema.* id .*whole number"):
                read()


@on("sqlite")
@pytest.mark.parametrize("value", ["1.5", "'abc'"])
def test_an_id_that_is_no_whole_number_is_refused(system: SqlPhoneSystem, value: str) -> None:
    system.insert({"id": 1})
    with (
        system.connect(CALLLOG.replace(ID, f"{value} AS id")) as table,
        pytest.raises(SourceMisconfigured, match=r"3cx\.schema.* id .*whole number"),
    ):
        table.rows_after(None, 10)


# Values that only some engines have


@on("sqlite")
def test_text_in_sqlite_that_is_no_utf_8_passes_with_replacement_characters(system: SqlPhoneSystem) -> None:
    system.insert({"id": 1}, {"id": 2})
    system.sql("UPDATE CallLog SET CallId = CAST(X'61FF62' AS TEXT), HangupCause = X'00FF' WHERE Id = 1")
    first, second = values_of(system, CALLLOG)
    assert (first["call_id"], first["hangup_cause"], second["id"]) == ("a\ufffdb", "\x00\\xff", 2)


@on("mariadb")
def test_every_type_of_mariadb_can_travel(system: SqlPhoneSystem) -> None:
    odd = {
        "call_id": ("UNHEX('FF00')", "\\xff\x00"),
        "started_at": ("CAST('2026-11-20 09:00:00.123456' AS DATETIME(6))", "2026-11-20T09:00:00.123456"),
        "ended_at": ("CAST('2026-11-20' AS DATE)", "2026-11-20"),
        "duration_s": ("CAST('00:05:00' AS TIME)", 300),
        "caller_number": ("1.50", "1.50"),
        "dest_number": ("1e300", 1e300),
        "extension": ("b'1'", "\x01"),
        "call_type": ("18446744073709551615", 18446744073709551615),
        "answered": ("TRUE", 1),
        "hangup_cause": ("JSON_OBJECT('a', 1)", '{"a": 1}'),
    }
    (row,) = values_of(system, f"SELECT 1 AS id, {', '.join(f'{sql} AS {name}' for name, (sql, _) in odd.items())}")
    assert row == {"id": 1} | {name: value for name, (_, value) in odd.items()}


# What a page costs

READINGS: dict[str, Callable[[RowTable], Any]] = {
    "a page": lambda table: table.rows_after(4_990, 500),
    "the first page": lambda table: table.rows_after(None, 500),
    "ids again": lambda table: table.rows_in([(5, 5), (9, 12), *((i, i) for i in range(100, 900, 7))], 6, 500),
    "wide ranges again": lambda table: table.rows_in([(5, 40), (90, 120)], 6, 500),
    "what ended": lambda table: table.ended_among(range(100, 900, 7), 6, 500),
    "the newest id": lambda table: table.newest_id(),
}


def readings_on(system: SqlPhoneSystem) -> list[tuple[str, tuple[str, Any]]]:
    """The statement that each sends, and its parameters, on a table of 5,000 rows."""
    system.insert(*({"id": row_id, "call_id": "x" * 50} for row_id in range(1, 5_001)))
    return [(reading, sent_by(reading, system)) for reading in READINGS]


def sent_by(reading: str, system: SqlPhoneSystem) -> tuple[str, Any]:
    with system.connect() as table, statements() as sent:
        READINGS[reading](table)
    (only,) = sent
    return only


@on("sqlite")
def test_sqlite_finds_rows_by_their_key(system: SqlPhoneSystem) -> None:
    for reading, (statement, parameters) in readings_on(system):
        plan = [row[3] for row in system.sql(f"EXPLAIN QUERY PLAN {statement}", *parameters)]
        if reading in ("the first page", "the newest id"):
            assert plan == ["SCAN CallLog"], reading  # in the order of its key, and no sorting afterwards
            continue
        steps = [step for step in plan if "CallLog" in step]
        assert steps, reading
        assert all(step.startswith("SEARCH CallLog USING INTEGER PRIMARY KEY") for step in steps), reading
        assert "B-TREE" not in " ".join(plan).upper() or reading == "wide ranges again"


@on("mariadb")
def test_mariadb_reads_no_more_than_the_page(system: Any) -> None:
    import pymysql.cursors

    sent = readings_on(system)
    system.sql("ANALYZE TABLE CallLog")
    with closing(system.server.connect()) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        for reading, (statement, parameters) in sent:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            (plan,) = cursor.fetchall()
            how, most_rows = {
                "a page": ("range", 20),
                "the first page": ("index", 501),
                "the newest id": ("index", 1),
            }.get(reading, ("range", 300))
            assert (plan["type"], plan["key"]) == (how, "PRIMARY"), reading
            assert int(plan["rows"]) <= most_rows, reading
            assert "filesort" not in (plan["Extra"] or ""), reading


@on("postgresql")
def test_postgresql_finds_rows_by_their_key(system: Any) -> None:
    sent = readings_on(system)
    system.sql("ANALYZE CallLog")
    for reading, (statement, parameters) in sent:
        with closing(system.server.connect()) as connection:
            plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}", parameters))
        assert "calllog_pkey" in plan, reading
        assert "Seq Scan" not in plan, reading
        assert "Sort" not in plan or reading == "wide ranges again"


JOINED = (
    "SELECT a.Id AS id, NULL AS call_id, a.StartTime AS started_at, a.EndTime AS ended_at FROM CallLog AS a "
    "INNER JOIN CallLog AS b ON b.Id = a.Id AND b.EndTime IS NOT NULL"
)


@on("postgresql")
def test_the_newest_id_of_a_join_is_found_from_the_end_of_the_key(system: Any) -> None:
    with system.connect(JOINED) as table, statements() as sent:
        assert table.newest_id() is None
    ((statement, parameters),) = sent
    system.insert(*({"id": row_id, "ended_at": datetime(2026, 11, 20)} for row_id in range(1, 5_001)))  # noqa: DTZ001
    system.sql("ANALYZE CallLog")
    with closing(system.server.connect()) as connection:
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}", parameters))
    assert "Index Scan Backward" in plan or "Index Only Scan Backward" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


@on(*DATABASES)
def test_a_moment_is_sent_as_a_parameter_and_not_as_text_of_the_statement(system: SqlPhoneSystem) -> None:
    with system.connect() as table, statements() as sent:
        table.first_id_since(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
    assert "2026" not in sent[0][0]


# PostgreSQL's two types of timestamp

BERLIN = "Europe/Berlin"
TWICE = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + n * timedelta(minutes=30) for n in range(4)]
"""Moments in the hour that comes twice; the first is 02:30 in Berlin, for the first time."""


@on("postgresql")
@pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("timezone", ["UTC", BERLIN, "America/Anchorage"])
def test_both_types_of_timestamp_are_compared_as_moments(
    system: PostgreSqlPhoneSystem, kind: str, timezone: str
) -> None:
    moments = [datetime(2026, 7, 1, hour, tzinfo=UTC) for hour in (9, 10, 11)]
    store(system, kind, timezone, moments)
    with system.connect(timezone=timezone) as table:
        assert table.first_id_since(moments[1]) == 2
        first, second = table.rows_ended_between(moments[0], moments[2], ALL, 10)
    assert (first.id, second.id) == (1, 2)
    local = moments[0].astimezone(ZoneInfo(timezone))
    ended = local if kind == "timestamptz" else local.replace(tzinfo=None)
    assert first.records[0].values["ended_at"] == ended.isoformat()


@on("postgresql")
def test_the_hour_that_comes_twice_is_told_apart_where_the_column_can(system: PostgreSqlPhoneSystem) -> None:
    store(system, "timestamptz", BERLIN, TWICE)
    with system.connect(timezone=BERLIN) as table:
        assert [table.first_id_since(moment) for moment in TWICE] == [1, 2, 3, 4]
        between = table.rows_ended_between(TWICE[1], TWICE[3], ALL, 10)
        rows = table.rows_after(None, 10)
    assert [row.id for row in between] == [2, 3]
    assert [datetime.fromisoformat(row.records[0].values["ended_at"]) for row in rows] == TWICE


@on("postgresql")
def test_no_row_is_lost_to_the_hour_that_comes_twice_where_the_column_has_no_offset(
    system: PostgreSqlPhoneSystem,
) -> None:
    store(system, "timestamp", BERLIN, TWICE)
    with system.connect(timezone=BERLIN) as table:
        for row_id, moment in enumerate(TWICE, start=1):
            first = table.first_id_since(moment)
            assert first is not None
            assert first <= row_id


def store(system: PostgreSqlPhoneSystem, kind: str, timezone: str, moments: list[datetime]) -> None:
    """Rows 1, 2 and so on that start and end at these moments, in columns of this type."""
    system.sql(f"ALTER TABLE CallLog ALTER StartTime TYPE {kind}, ALTER EndTime TYPE {kind}")
    local = [moment.astimezone(ZoneInfo(timezone)) for moment in moments]
    values = [moment if kind == "timestamptz" else moment.replace(tzinfo=None) for moment in local]
    system.insert(*({"id": n, "started_at": v, "ended_at": v} for n, v in enumerate(values, start=1)))
