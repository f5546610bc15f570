"""One row costs one row: whatever a value is, its neighbours are read, and the row itself is open or a record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import CallRecord
from cdr.calls.rules import CallRules, end_time, to_call
from cdr.intake.id_order.span import ALL, IdSpan
from shared.errors import InvalidRow, SourceMisconfigured, SourceUnavailable
from tests.support.factories import make_raw_row
from tests.systems import stalling_line
from tests.systems.phone_systems import CALLLOG, DATABASES, SHORT, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem

NINE = datetime(2026, 11, 20, 9, 0, 0)  # noqa: DTZ001 - a phone system writes naive moments
HOUR = timedelta(hours=1)
SQL_SERVERS = ("mssql-freetds", "mssql-microsoft")


def on(*names: str) -> pytest.MarkDecorator:
    """Which databases a test is about."""
    return pytest.mark.parametrize("system", names, indirect=True)


@pytest.fixture
def system(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> Any:
    return make_phone_system(request.param)


def insert(system: SqlPhoneSystem, **odd: Any) -> None:
    """Rows 1 to 3, of which the second is odd."""
    for row_id in (1, 2, 3):
        row = make_raw_row(id=row_id, started_at=NINE, ended_at=NINE + timedelta(minutes=row_id), answered=1)
        system.insert(
            {name: value for name, value in row.items() if name != "call_group_id"} | (odd if row_id == 2 else {})
        )


def read(system: SqlPhoneSystem, schema: str = CALLLOG, **changes: Any) -> list[tuple[int, bool, CallRecord]]:
    with system.connect(schema, **changes) as table:
        return [(row.id, row.ended, *row.records) for row in table.rows_after(None, 10)]


def second(system: SqlPhoneSystem, schema: str = CALLLOG, **changes: Any) -> tuple[bool, CallRecord]:
    """The odd row, once the others have been found to be as they should."""
    rows = read(system, schema, **changes)
    assert [row[0] for row in rows] == [1, 2, 3]
    for _, ended, record in (rows[0], rows[2]):
        assert ended
        assert record.values.get("problem") is None
        end_time(record, "UTC")
    return rows[1][1:]


# Placeholders of "not ended yet"

INFINITE = ["infinity", "-infinity", "0044-03-15 10:00 BC", "20000-01-01 10:00"]
PLACEHOLDERS = [
    *(("postgresql", kind, value) for kind in ("TIMESTAMP", "TIMESTAMPTZ") for value in INFINITE),
    *(("mariadb", kind, "0000-00-00 00:00:00") for kind in ("DATETIME", "TIMESTAMP NULL", "TEXT")),
    *((name, None, moment) for name in DATABASES for moment in ("1900-01-01 00:00:00", "9999-12-31 23:59:59")),
    *(("sqlite", None, text) for text in ("", " ", "0000-00-00 00:00:00", "infinity", "NULL", 0)),
    *((name, "NVARCHAR", "") for name in SQL_SERVERS),
]


@pytest.mark.parametrize(("system", "kind", "value"), PLACEHOLDERS, indirect=["system"])
def test_a_row_whose_end_is_a_placeholder_has_not_ended(system: Any, kind: str | None, value: Any) -> None:
    insert(system)
    if kind is not None and system.engine == "postgresql":
        system.sql(f"ALTER TABLE CallLog ALTER EndTime TYPE {kind} USING EndTime::{kind}")
    elif kind is not None and system.engine == "mysql":
        system.sql(f"ALTER TABLE CallLog MODIFY EndTime {kind}")
    given = f"'{value}'" if isinstance(value, str) else value
    set_mode = "SET STATEMENT sql_mode = '' FOR " if getattr(system, "engine", "") == "mysql" else ""
    system.sql(f"{set_mode}UPDATE CallLog SET EndTime = {given} WHERE Id = 2")
    ended, record = second(system)
    assert not ended
    with pytest.raises(InvalidRow, match=r"^ended_at: "):
        end_time(record, "UTC")


# What a driver or a server cannot convert

FAILING = {
    "postgresql": ("CAST(HangupCause AS INT)", "abc"),
    "mariadb": ("CAST(0 AS UNSIGNED) - CAST(HangupCause AS UNSIGNED)", "7"),
    "sqlite": ("json_extract(HangupCause, '$.a')", "{"),
}


@on(*FAILING)
@pytest.mark.parametrize("rows", [3, 300])
def test_a_value_that_the_server_cannot_make_costs_its_row_alone(system: Any, rows: int, request: Any) -> None:
    expression, poison = FAILING[request.node.callspec.params["system"]]
    good = {"sqlite": "{}"}.get(request.node.callspec.params["system"], "0")
    system.insert(*({"id": n, "call_id": "c", "ended_at": NINE, "hangup_cause": good} for n in range(1, rows + 1)))
    system.sql(f"UPDATE CallLog SET HangupCause = '{poison}' WHERE Id = 2")
    with system.connect(CALLLOG.replace("Duration ", f"{expression} ")) as table:
        found = table.rows_after(None, 500)
        again = table.rows_in([(2, 2)], None, 10)
        between = table.rows_ended_between(NINE.replace(tzinfo=UTC), NINE.replace(tzinfo=UTC) + HOUR, IdSpan(1), 10)
    assert [row.id for row in found] == list(range(1, rows + 1))
    problems = [row.id for row in found if row.records[0].values.get("problem")]
    assert (problems, again[0].records, between[0].records) == ([2], found[1].records, found[1].records)
    with pytest.raises(InvalidRow, match=r"^call: duration_s cannot be read from the database: "):
        to_call(found[1].records[0], CallRules())
    assert (found[1].ended, found[1].records[0].values["call_id"]) == (True, "c")


@on("postgresql")
def test_a_column_that_no_rule_looks_at_is_no_problem(system: Any) -> None:
    insert(system, call_id="x", dest_number="odd")
    _, record = second(system, CALLLOG.replace("HangupCause ", "CASE DestNumber WHEN 'odd' THEN 1 / (Id - 2) END "))
    assert (record.values["hangup_cause"], record.values.get("problem")) == (None, None)


@on("postgresql")
def test_a_row_under_way_that_cannot_be_read_waits_for_its_end(system: Any) -> None:
    insert(system, ended_at=None)
    ended, record = second(system, CALLLOG.replace("Duration ", "1 / (Id - 2) "))
    assert (ended, "duration_s" in record.values["problem"]) == (False, True)


@on("postgresql")
def test_what_decides_which_rows_there_are_must_work_for_all_of_them(system: Any) -> None:
    insert(system)
    with pytest.raises(SourceMisconfigured, match=r"^check 3cx\.schema: its SELECT makes a value of a type "):
        read(system, f"{CALLLOG} WHERE 1 / (Id - 2) > -5")


@on(*SQL_SERVERS)
def test_a_page_that_sql_server_fails_to_convert_is_read_by_its_ids(system: Any) -> None:
    insert(system)
    system.server.fail_next(245, "Conversion failed when converting the nvarchar value 'x' to data type int.")
    second(system)


@on("postgresql")
def test_a_number_that_is_none_costs_its_row_alone(system: Any) -> None:
    insert(system)
    system.sql("ALTER TABLE CallLog ALTER Duration TYPE NUMERIC")
    system.sql("UPDATE CallLog SET Duration = 'NaN' WHERE Id = 2")
    _, record = second(system)
    assert record.values["duration_s"] == "NaN"


@on(*SQL_SERVERS)
@pytest.mark.parametrize("column", ["HangupCause", "CallerNumber"])
def test_half_a_character_is_replaced(system: Any, column: str) -> None:
    insert(system)
    system.sql(f"UPDATE CallLog SET {column} = CAST(X'6E616D6520EDA0BD' AS TEXT) WHERE Id = 2")
    _, record = second(system)
    assert "name \ufffd" in record.values.values()


# Ids


@on(*DATABASES)
def test_ids_that_come_twice_are_the_schemas_mistake_within_a_page_and_at_its_edge(system: Any) -> None:
    insert(system)
    schema = f"{CALLLOG} JOIN (SELECT 1 AS n UNION ALL SELECT 2) twice ON 1 = 1 OR n = 1"
    with system.connect(schema) as table:
        for limit in (1, 10):
            with pytest.raises(SourceMisconfigured, match=r"^3cx\.schema: the column id must be another in each row, "):
                table.rows_after(None, limit)


@pytest.mark.parametrize(
    ("system", "id_as"),
    [
        ("postgresql", "CAST(Id AS NUMERIC) / 2"),
        ("postgresql", "CAST('7f2c9d30-51aa-4e0b-9d0c-3c1f5b1e8a64' AS UUID)"),
        ("mariadb", "Id / 2"),
        ("sqlite", "Id / 2.0"),
        ("sqlite", "X'31'"),
        ("postgresql", "CAST('NaN' AS NUMERIC)"),
    ],
    indirect=["system"],
)
def test_an_id_that_is_no_whole_number_is_refused_with_the_way_out(system: Any, id_as: str) -> None:
    insert(system)
    schema = CALLLOG.replace("Id           AS id", f"{id_as} AS id")
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.schema: the column id must be a whole number.*add a numeric"):
        read(system, schema)


@pytest.mark.parametrize(("system", "kind"), [("postgresql", "ALTER Id TYPE NUMERIC(38)")], indirect=["system"])
def test_ids_beyond_what_drivers_take_for_a_whole_number_are_read_after_and_between(system: Any, kind: str) -> None:
    system.sql(f"ALTER TABLE CallLog {kind}")
    low, high = 2**64, 2**64 + 1
    system.insert(*({"id": row_id, "ended_at": NINE} for row_id in (1, low, high)))
    nine = NINE.replace(tzinfo=UTC)
    with system.connect() as table:
        assert [row.id for row in table.rows_after(low, 10)] == [high]
        assert [row.id for row in table.rows_in([(low, high + 99)], None, 10)] == [low, high]
        assert [row.id for row in table.rows_ended_between(nine, nine + HOUR, IdSpan(1, low), 10)] == [low]


# Sessions


@contextmanager
def altered(system: Any, statements: dict[str, str]) -> Iterator[None]:
    for statement in statements:
        system.sql(statement)
    try:
        yield
    finally:
        for undone in statements.values():
            system.sql(undone)


@on("postgresql")
def test_postgresqls_ways_of_writing_are_those_of_the_session(system: Any) -> None:
    insert(system)
    system.sql("ALTER TABLE CallLog ALTER EndTime TYPE TIMESTAMPTZ USING EndTime AT TIME ZONE 'UTC'")
    usual = second(system)
    odd = ("datestyle TO 'German, DMY'", "intervalstyle TO 'sql_standard'", "timezone TO 'Asia/Kolkata'")
    odd = (*odd, "client_encoding TO 'LATIN1'", "extra_float_digits TO '-15'", "default_transaction_read_only TO off")
    changes = {f"ALTER DATABASE cdr SET {each}": f"ALTER DATABASE cdr RESET {each.split()[0]}" for each in odd}
    with altered(system, changes):
        assert second(system) == usual


@on("mariadb")
@pytest.mark.parametrize("told", ["8.0.34", "8.0.34 (ProxySQL)", "11.8.2-MariaDB"])
def test_a_mariadb_works_whatever_version_is_told(system: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pymysql

    insert(system)
    monkeypatch.setattr(pymysql.Connection, "get_server_info", lambda _: told)
    second(system)


# Moments


def shift(system: Any, name: str) -> None:
    """Make the columns of times into moments: 9 o'clock is meant in UTC from now on."""
    columns = ("StartTime", "EndTime")
    if name == "mariadb":
        system.sql(f"ALTER TABLE CallLog {', '.join(f'MODIFY {column} TIMESTAMP NULL' for column in columns)}")
    elif name == "sqlite":
        system.sql(
            "UPDATE CallLog SET StartTime = '2026-11-20T10:00:00+01:00', EndTime = substr(EndTime, 1, 19) || 'Z'"
        )
    else:
        system.sql("ALTER TABLE CallLog RENAME TO Old")
        system.sql(
            system.sql("SELECT sql FROM sqlite_master WHERE name = 'Old'")[0][0]
            .replace('"Old"', "CallLog")
            .replace("DATETIME2", "DATETIMEOFFSET")
        )
        system.sql("INSERT INTO CallLog SELECT * FROM Old")
        system.sql("UPDATE CallLog SET StartTime = StartTime || ' +00:00', EndTime = EndTime || ' +00:00'")
        system.sql("DROP TABLE Old")


@pytest.mark.parametrize("system", ["mariadb", "sqlite", *SQL_SERVERS], indirect=True)
@pytest.mark.parametrize("timezone", ["UTC", "America/Anchorage", "Asia/Kolkata"])
def test_columns_of_moments_are_compared_and_read_as_such(system: Any, timezone: str, request: Any) -> None:
    name = request.node.callspec.params["system"]
    zone = {"SET GLOBAL time_zone = '+05:00'": "SET GLOBAL time_zone = 'SYSTEM'"} if name == "mariadb" else {}
    with altered(system, {"SET GLOBAL time_zone = '+00:00'": "SET GLOBAL time_zone = 'SYSTEM'"} if zone else {}):
        insert(system)
        shift(system, name)
    nine = NINE.replace(tzinfo=UTC)
    with altered(system, zone), system.connect(timezone=timezone) as table:
        assert (table.first_id_since(nine), table.first_id_since(nine + timedelta(seconds=1))) == (1, None)
        minute = timedelta(minutes=1)
        between = table.rows_ended_between(nine + minute, nine + 3 * minute, ALL, 10)
        assert [row.id for row in between] == [1, 2]
        ends = [end_time(row.records[0], timezone) for row in table.rows_after(None, 10)]
    assert ends == [nine + n * minute for n in (1, 2, 3)]


@on("sqlite")
def test_texts_of_sqlite_are_compared_however_they_are_written(system: Any) -> None:
    texts = ["2026-11-20 00:00:00", "2026/11/20 00:00:00", "2026-11-20T00:00:00.5", "2026-11-20T09:00:00Z"]
    texts += ["20.11.2026 00:00:00", "2026.11.20 00:00:00", "2026-11-20 0:00:00", "Nov 20 2026 12:00AM"]
    texts += ["20 Nov 2026 10:00:00 +01:00", "20261120T000000"]
    system.insert(*({"id": n, "started_at": text, "ended_at": text} for n, text in enumerate(texts, start=1)))
    nine = NINE.replace(tzinfo=UTC)
    with system.connect(timezone="America/Anchorage") as table:
        all_of_them = list(range(1, len(texts) + 1))
        assert [row.id for row in table.rows_ended_between(nine, nine + HOUR, ALL, 20)] == all_of_them
        assert table.rows_ended_between(nine - HOUR, nine, ALL, 10) == []
        assert (table.first_id_since(nine), table.first_id_since(nine + timedelta(seconds=1))) == (1, None)


@on("sqlite")
def test_bytes_that_are_no_text_stand_for_no_time_and_hold_up_no_day(system: Any) -> None:
    system.insert(*({"id": n, "ended_at": NINE, "call_id": "c"} for n in (1, 2)))
    system.sql("UPDATE CallLog SET EndTime = CAST(X'32303236FF' AS TEXT) WHERE Id = 2")
    nine = NINE.replace(tzinfo=UTC)
    with system.connect() as table:
        assert [row.id for row in table.rows_ended_between(nine, nine + HOUR, ALL, 10)] == [1]


@on("postgresql")
def test_a_column_that_comes_twice_is_the_schemas_mistake(system: Any) -> None:
    insert(system)
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.schema: the SELECT yields extension twice"):
        read(system, CALLLOG.replace("AS hangup_cause", "AS hangup_cause, DestNumber AS extension"))


NINE_AND_TEN = ("2026-11-20 09:00:00", "2026-11-20 10:00:00")
IN_ORDER = {
    "with-a-t": lambda text: text.replace(" ", "T"),
    "with-slashes": lambda text: text.replace("-", "/"),
    "in-utc": lambda text: f"{text.replace(' ', 'T')}Z",
}


@on("mariadb")
@pytest.mark.parametrize("write", IN_ORDER.values(), ids=IN_ORDER)
def test_texts_of_mysql_are_compared_as_the_times_that_they_tell_of(system: Any, write: Any) -> None:
    system.sql("ALTER TABLE CallLog MODIFY StartTime TEXT, MODIFY EndTime TEXT")
    texts = [*map(write, NINE_AND_TEN), "soon"]
    system.insert(*({"id": n, "started_at": text, "ended_at": text} for n, text in enumerate(texts, start=1)))
    zone, nine = ("UTC" if "Z" in texts[0] else "Asia/Kolkata"), NINE.replace(tzinfo=UTC)
    moment = nine if zone == "UTC" else nine - timedelta(hours=5, minutes=30)
    with system.connect(timezone="Asia/Kolkata") as table:
        assert [row.id for row in table.rows_ended_between(moment, moment + HOUR, ALL, 10)] == [1]
        assert table.first_id_since(moment + timedelta(seconds=1)) == 2


IN_NO_ORDER = [
    ("mariadb", "TEXT", "30.04.2026 06:35:46"),
    ("mariadb", "TEXT", "2026-04-30T06:35:46+02:00"),
    ("mariadb", "BIGINT", 1777530946),
    ("sqlite", "", 1777530946),
    ("postgresql", "TEXT", "2026-04-30 06:35:46"),
    ("postgresql", "BIGINT", 1777530946),
    *((name, "NVARCHAR", "2026-04-30T06:35:46+02:00") for name in SQL_SERVERS),
]


@pytest.mark.parametrize(("system", "kind", "value"), IN_NO_ORDER, indirect=["system"])
def test_times_that_no_select_can_choose_by_are_refused_instead_of_left_out(system: Any, kind: str, value: Any) -> None:
    if system.engine == "sqlserver":
        system.sql("DROP TABLE CallLog")
        system.types = (system.types[0], system.types[1], kind, system.types[3])
        system.create_table()
    elif kind:
        change = {"mysql": "MODIFY EndTime {}", "postgresql": "ALTER EndTime TYPE {0} USING NULL"}[system.engine]
        system.sql(f"ALTER TABLE CallLog {change.format(kind)}")
    system.insert({"id": 1, "ended_at": value}, {"id": 2, "ended_at": value}, {"id": 3})
    nine = NINE.replace(tzinfo=UTC)
    with system.connect() as table, pytest.raises(SourceMisconfigured, match=r"3cx\.schema.*(make a time of|cast it)"):
        table.rows_ended_between(nine, nine + HOUR, ALL, 10)


# Lines that fall silent in the middle of a page


@on("mariadb", "postgresql", *SQL_SERVERS)
def test_a_line_that_falls_silent_in_mid_page_ends_the_reading_before_long(system: Any) -> None:
    system.insert(*({"id": n, "hangup_cause": "x" * 2_000} for n in range(1, 501)))
    with stalling_line.start(system.server.host, system.server.port) as line:
        began = time.monotonic()
        with system.connect(port=line.port, statement_timeout_seconds=1, timeouts=SHORT) as table:
            line.stall_after(200_000)
            with pytest.raises(SourceUnavailable, match=r"3cx\.cdr_database"):
                table.rows_after(None, 500)
        assert time.monotonic() - began < 12
        line.flow()
