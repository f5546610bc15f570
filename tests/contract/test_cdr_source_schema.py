"""What a schema file of one's own may hold, that nothing is ever written, and what a page costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from cdr.calls.message import decode_row, encode_row
from cdr.edges.sql.engines import make_engine
from cdr.edges.sql.row_table import read_schema
from cdr.intake.ports import CdrReader
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.systems.phone_systems import (
    CALLLOG,
    MariaDbPhoneSystem,
    PostgreSqlPhoneSystem,
    SqlitePhoneSystem,
    SqlPhoneSystem,
)

MakePhoneSystem = Callable[[str], SqlPhoneSystem]
DATABASES = ["sqlite", "mariadb", "postgresql", "mssql-freetds", "mssql-microsoft"]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> SqlPhoneSystem:
    return make_phone_system(request.param)


@pytest.fixture
def maria(make_phone_system: MakePhoneSystem) -> MariaDbPhoneSystem:
    return make_phone_system("mariadb")


@pytest.fixture
def postgres(make_phone_system: MakePhoneSystem) -> PostgreSqlPhoneSystem:
    return make_phone_system("postgresql")


@pytest.fixture
def sqlite(make_phone_system: MakePhoneSystem) -> SqlitePhoneSystem:
    return make_phone_system("sqlite")


def rows_of(system: SqlPhoneSystem, schema: str, position: int | None = None) -> list[Any]:
    with system.source_of(schema).connect() as reader:
        return reader.rows_after(position, 10)


def schema_file(root: Path, text: str) -> Path:
    file = root / "config" / "schemas" / "own.sql"
    file.parent.mkdir(parents=True)
    file.write_text(text, "utf-8")
    return file


# The file


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 AS id",
        "select 1 AS id;\n",
        "\ufeffSELECT 1 AS id",
        "-- a comment; with a semicolon\nSELECT /* another; one */ 1 AS id\n;\n-- and an end",
        "SELECT 1 AS id WHERE ';' <> 'a;b'",
    ],
)
def test_a_schema_file_may_have_comments_and_one_semicolon_at_its_end(tmp_path: Path, text: str) -> None:
    file = schema_file(tmp_path, text)
    named = read_schema("own", tmp_path)
    assert named.lower().startswith("select")
    assert named == read_schema("config/schemas/own.sql", tmp_path) == read_schema(str(file), Path("/elsewhere"))


def test_comments_are_left_out_but_not_what_looks_like_them_in_a_text(tmp_path: Path) -> None:
    schema_file(tmp_path, "SELECT '--' AS id, '/* ; */' /* gone */ AS call_id -- gone")
    schema = read_schema("own", tmp_path)
    assert "'--'" in schema
    assert "'/* ; */'" in schema
    assert "gone" not in schema


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- SELECT 1",
        "DELETE FROM CallLog",
        "SELECT 1 AS id; DELETE FROM CallLog",
        "WITH calls AS (SELECT 1 AS id) SELECT * FROM calls",
        "EXEC sp_who",
        "SELECTED",
    ],
)
def test_a_schema_file_that_is_anything_but_one_select_is_refused(tmp_path: Path, text: str) -> None:
    schema_file(tmp_path, text)
    with pytest.raises(SourceMisconfigured, match=r"3cx\.schema: own"):
        read_schema("own", tmp_path)


def test_a_schema_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    schema_file(tmp_path, "SELECT 1 AS id")
    with pytest.raises(SourceMisconfigured, match=r"3cx\.schema: onw .*own"):
        read_schema("onw", tmp_path)


def test_a_schema_file_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    schema_file(tmp_path, "").write_bytes(b"SELECT '\xff' AS id")
    with pytest.raises(SourceMisconfigured, match=r"3cx\.schema"):
        read_schema("own", tmp_path)


# Its text


def test_colons_and_percent_signs_in_a_schema_are_text_and_no_parameters(database: SqlPhoneSystem) -> None:
    database.insert({"id": 1, "call_id": "a:b 100%"}, {"id": 2, "call_id": "other"})
    schema = (
        CALLLOG.replace("HangupCause ", "'12:30:00 :id %s %(id)s 100%% ::x' ")
        + " WHERE CallId LIKE '%a:b 1__\\%' ESCAPE '\\'"
    )
    if isinstance(database, MariaDbPhoneSystem):
        schema = schema.replace("'\\'", "'\\\\'")  # MySQL reads a backslash in a text as an escape
    rows = rows_of(database, schema, 0)
    assert [(row["id"], row["hangup_cause"]) for row in rows] == [(1, "12:30:00 :id %s %(id)s 100%% ::x")]


def test_the_canonical_names_may_be_written_in_any_case_and_order(database: SqlPhoneSystem) -> None:
    database.insert({"id": 1, "call_id": "abc"})
    upper = CALLLOG.replace("AS id", "AS ID").replace("AS call_id", "AS Call_Id")
    (row,) = rows_of(database, upper, 0)
    assert (row["id"], row["call_id"]) == (1, "abc")


def test_more_columns_than_the_canonical_ones_do_no_harm(database: SqlPhoneSystem) -> None:
    database.insert({"id": 1})
    (row,) = rows_of(database, CALLLOG.replace("AS hangup_cause", "AS hangup_cause, Id AS recording"))
    assert "recording" not in decode_row(encode_row(row)).values


def test_a_schema_may_join_and_filter(database: SqlPhoneSystem) -> None:
    database.insert({"id": 1, "answered": 1}, {"id": 2, "answered": 0}, {"id": 3, "answered": 1})
    schema = CALLLOG.replace("HangupCause", "other.HangupCause").replace("FROM CallLog", "")
    named = (
        "Id ",
        "CallId",
        "StartTime",
        "EndTime",
        "Duration",
        "CallerNumber",
        "DestNumber",
        "Extension",
        "CallType",
        "Answered",
    )
    for name in named:
        schema = schema.replace(f"\n    {name}", f"\n    c.{name}")
    schema += " FROM CallLog c JOIN CallLog other ON other.Id = c.Id WHERE c.Answered = 1"
    assert [row["id"] for row in rows_of(database, schema)] == [1, 3]


# Ids


def test_an_id_that_the_database_keeps_as_a_decimal_comes_as_a_whole_number(maria: MariaDbPhoneSystem) -> None:
    maria.insert({"id": 2}, {"id": 10})
    rows = rows_of(maria, CALLLOG.replace("Id           AS id", "CAST(Id AS DECIMAL(20, 0)) AS id"), 1)
    assert [row["id"] for row in rows] == [2, 10]
    assert {type(row["id"]) for row in rows} == {int}


@pytest.mark.parametrize("name", ["sqlite", "mariadb", "mssql-freetds", "mssql-microsoft"])
def test_an_id_of_text_is_refused_because_ten_would_come_before_nine(
    name: str, make_phone_system: MakePhoneSystem
) -> None:
    system = make_phone_system(name)
    system.insert({"id": 9, "call_id": "9"}, {"id": 10, "call_id": "10"})
    schema = CALLLOG.replace("Id           AS id", "CallId AS id").replace("CallId       AS call_id", "Id AS call_id")
    with pytest.raises(SourceMisconfigured, match=r"3cx\.schema.* id .*whole number"):
        rows_of(system, schema)
    with system.source_of(schema).connect() as reader, pytest.raises(SourceMisconfigured, match=r"3cx\.schema"):
        reader.newest_id()


@pytest.mark.parametrize("value", ["1.5", "NULL", "'abc'"])
def test_an_id_that_is_no_whole_number_is_refused(sqlite: SqlitePhoneSystem, value: str) -> None:
    sqlite.insert({"id": 1})
    with pytest.raises(SourceMisconfigured, match=r"3cx\.schema.* id .*whole number"):
        rows_of(sqlite, CALLLOG.replace("Id           AS id", f"{value} AS id"))


# Values that only some engines have


def test_text_in_sqlite_that_is_no_utf_8_passes_with_replacement_characters(sqlite: SqlitePhoneSystem) -> None:
    sqlite.insert({"id": 1}, {"id": 2})
    sqlite.sql("UPDATE CallLog SET CallId = CAST(X'61FF62' AS TEXT), HangupCause = X'00FF' WHERE Id = 1")
    first, second = rows_of(sqlite, CALLLOG)
    assert first["call_id"] == "a\ufffdb"
    assert decode_row(encode_row(first)).values["hangup_cause"] == "\x00\\xff"
    assert second["id"] == 2


def test_every_type_of_mariadb_can_travel(maria: MariaDbPhoneSystem) -> None:
    odd = {
        "call_id": "UNHEX('FF00')",
        "started_at": "CAST('2026-11-20 09:00:00.123456' AS DATETIME(6))",
        "ended_at": "CAST('2026-11-20' AS DATE)",
        "duration_s": "CAST('00:05:00' AS TIME)",
        "caller_number": "1.50",
        "dest_number": "1e300",
        "extension": "b'1'",
        "call_type": "18446744073709551615",
        "answered": "TRUE",
        "hangup_cause": "JSON_OBJECT('a', 1)",
    }
    (row,) = rows_of(maria, "SELECT 1 AS id, " + ", ".join(f"{value} AS {column}" for column, value in odd.items()))
    values = decode_row(encode_row(row)).values
    assert values["started_at"] == "2026-11-20T09:00:00.123456"
    assert values["ended_at"] == "2026-11-20"
    assert values["duration_s"] == 300
    assert values["caller_number"] == "1.50"
    assert values["call_type"] == 18446744073709551615


# Nothing but SELECT


def test_a_write_in_place_of_a_select_never_runs(database: SqlPhoneSystem) -> None:
    database.insert({"id": 1})
    for statement in ("DELETE FROM CallLog", "SELECT 1 AS id) cdr; DELETE FROM CallLog; --"):
        with pytest.raises((SourceMisconfigured, SourceUnavailable)), database.source_of(statement).connect() as reader:
            reader.rows_after(None, 10)
    assert [row["id"] for row in rows_of(database, CALLLOG)] == [1]


def test_sqlite_is_opened_so_that_it_refuses_to_write(sqlite: SqlitePhoneSystem) -> None:
    with (
        make_engine(sqlite.settings()).connect() as connection,
        pytest.raises(sa.exc.OperationalError, match="readonly"),
    ):
        connection.exec_driver_sql("CREATE TABLE t (i INT)")


ADD_ROW = """
CREATE OR REPLACE FUNCTION add_row() RETURNS INT MODIFIES SQL DATA
BEGIN INSERT INTO CallLog (Id) VALUES (99); RETURN 1; END
"""


@pytest.fixture
def login_that_may_write(maria: MariaDbPhoneSystem) -> dict[str, str]:
    maria.sql("CREATE OR REPLACE USER writer IDENTIFIED BY 'may-write'")
    maria.sql("GRANT ALL ON cdr.* TO writer")
    return {"username": "writer", "password": "may-write"}


def test_a_mysql_session_is_read_only_even_for_a_login_that_may_write(
    maria: MariaDbPhoneSystem, login_that_may_write: dict[str, str]
) -> None:
    maria.insert({"id": 1})
    with make_engine(maria.settings(**login_that_may_write)).connect() as connection:
        for statement in ("INSERT INTO CallLog (Id) VALUES (2)", "DELETE FROM CallLog", "CREATE TABLE t (i INT)"):
            with pytest.raises(sa.exc.DBAPIError, match="READ ONLY"):
                connection.exec_driver_sql(statement)
    assert maria.sql("SELECT Id FROM CallLog") == [(1,)]


def test_a_select_that_calls_a_function_that_writes_is_the_schemas_fault(
    maria: MariaDbPhoneSystem, login_that_may_write: dict[str, str]
) -> None:
    maria.insert({"id": 1})
    maria.sql(ADD_ROW)
    source = maria.source_of(CALLLOG.replace("HangupCause ", "add_row() "), **login_that_may_write)
    with source.connect() as reader, pytest.raises(SourceMisconfigured, match=r"3cx\.schema.*write"):
        reader.rows_after(None, 10)
    assert maria.sql("SELECT Id FROM CallLog") == [(1,)]


def test_a_postgresql_session_is_read_only_even_for_a_login_that_may_write(postgres: PostgreSqlPhoneSystem) -> None:
    postgres.insert({"id": 1})
    login = {"username": "writer", "password": "may-write"}
    with login_of_a_writer(postgres, **login):
        with make_engine(postgres.settings(**login)).connect() as connection:
            for statement in ("INSERT INTO CallLog (Id) VALUES (2)", "DELETE FROM CallLog", "CREATE TABLE t (i INT)"):
                with pytest.raises(sa.exc.DBAPIError, match="read-only transaction"):
                    connection.exec_driver_sql(statement)
        source = postgres.source_of(CALLLOG.replace("HangupCause ", "add_row() "), **login)
        with source.connect() as reader, pytest.raises(SourceMisconfigured, match=r"3cx\.schema.*write"):
            reader.rows_after(None, 10)
    assert postgres.sql("SELECT Id FROM CallLog") == [(1,)]


@contextmanager
def login_of_a_writer(postgres: PostgreSqlPhoneSystem, username: str, password: str) -> Iterator[None]:
    """A login that may do everything, and a function that writes."""
    postgres.sql(f"CREATE USER {username} PASSWORD '{password}'")
    postgres.sql(f"GRANT ALL ON SCHEMA public TO {username}")
    postgres.sql(f"GRANT ALL ON CallLog TO {username}")
    adds = "INSERT INTO CallLog (Id) VALUES (99); SELECT 1"
    postgres.sql(f"CREATE OR REPLACE FUNCTION add_row() RETURNS INT LANGUAGE SQL VOLATILE AS '{adds}'")
    try:
        yield
    finally:
        postgres.sql("DROP FUNCTION add_row")
        postgres.sql(f"DROP OWNED BY {username}")
        postgres.sql(f"DROP USER {username}")


def test_sql_servers_refusal_to_write_is_told(make_phone_system: MakePhoneSystem) -> None:
    system = make_phone_system("mssql-freetds")
    with make_engine(system.settings()).connect() as connection, pytest.raises(sa.exc.DBAPIError, match="229"):
        connection.exec_driver_sql("DELETE FROM CallLog")


# What a page costs


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements with their parameters that SQLAlchemy sends meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


READINGS: dict[str, Callable[[CdrReader], Any]] = {
    "a page": lambda reader: reader.rows_after(4_990, 500),
    "the first page": lambda reader: reader.rows_after(None, 500),
    "ids again": lambda reader: reader.rows_in([(5, 5), (9, 12), *((i, i) for i in range(100, 900, 7))], 6, 500),
    "the newest id": lambda reader: reader.newest_id(),
}


def sent_by(reading: str, system: SqlPhoneSystem) -> tuple[str, Any]:
    system.insert(*({"id": row_id, "call_id": "x" * 50} for row_id in range(1, 5_001)))
    with system.source().connect() as reader, statements() as sent:
        READINGS[reading](reader)
    (only,) = sent
    return only


@pytest.mark.parametrize("reading", ["a page", "ids again", "the newest id"])
def test_sqlite_finds_rows_by_their_key(sqlite: SqlitePhoneSystem, reading: str) -> None:
    statement, parameters = sent_by(reading, sqlite)
    plan = [row[3] for row in sqlite.sql(f"EXPLAIN QUERY PLAN {statement}", *parameters)]
    steps = [step for step in plan if "CallLog" in step]
    assert steps
    assert [step for step in steps if not step.startswith("SEARCH CallLog")] == []
    assert reading == "the newest id" or all("USING INTEGER PRIMARY KEY" in step for step in steps)
    assert "B-TREE" not in " ".join(plan).upper() or reading == "ids again"


def test_sqlite_reads_the_first_page_in_the_order_of_the_key(sqlite: SqlitePhoneSystem) -> None:
    statement, parameters = sent_by("the first page", sqlite)
    plan = [row[3] for row in sqlite.sql(f"EXPLAIN QUERY PLAN {statement}", *parameters)]
    assert plan == ["SCAN CallLog"]  # in the order of its key, and no sorting afterwards


@pytest.mark.parametrize(
    ("reading", "how", "most_rows"),
    [("a page", "range", 20), ("ids again", "range", 300), ("the first page", "index", 500)],
)
def test_mariadb_reads_no_more_than_the_page(maria: MariaDbPhoneSystem, reading: str, how: str, most_rows: int) -> None:
    statement, parameters = sent_by(reading, maria)
    maria.sql("ANALYZE TABLE CallLog")
    (plan,) = explained(maria, statement, parameters)
    assert (plan["type"], plan["key"]) == (how, "PRIMARY")
    assert int(plan["rows"]) <= most_rows
    assert "filesort" not in (plan["Extra"] or "")


def test_mariadb_knows_the_newest_id_without_reading_a_row(maria: MariaDbPhoneSystem) -> None:
    (plan,) = explained(maria, *sent_by("the newest id", maria))
    assert plan["Extra"] == "Select tables optimized away"


def explained(maria: MariaDbPhoneSystem, statement: str, parameters: Any) -> list[dict[str, Any]]:
    import pymysql.cursors

    with closing(maria.server.connect()) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(f"EXPLAIN {statement}", parameters)
        return list(cursor.fetchall())


def test_a_moment_is_sent_as_a_parameter_and_not_as_text_of_the_statement(database: SqlPhoneSystem) -> None:
    with database.source().connect() as reader, statements() as sent:
        reader.first_id_since(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
    assert "2026" not in sent[0][0]


@pytest.mark.parametrize("reading", ["a page", "the first page", "ids again", "the newest id"])
def test_postgresql_finds_rows_by_their_key(postgres: PostgreSqlPhoneSystem, reading: str) -> None:
    statement, parameters = sent_by(reading, postgres)
    postgres.sql("ANALYZE CallLog")
    plan = "\n".join(explained_by_postgresql(postgres, statement, parameters))
    assert "calllog_pkey" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan or reading == "ids again"


def explained_by_postgresql(postgres: PostgreSqlPhoneSystem, statement: str, parameters: Any) -> list[str]:
    with closing(postgres.server.connect()) as connection:
        return [line for (line,) in connection.execute(f"EXPLAIN {statement}", parameters)]


# PostgreSQL's two types of timestamp

BERLIN = "Europe/Berlin"
BEFORE_THE_CHANGE = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Berlin, for the first time


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("timezone", ["UTC", BERLIN, "America/Anchorage"])
def test_both_types_of_timestamp_are_compared_as_moments(
    postgres: PostgreSqlPhoneSystem, kind: str, timezone: str
) -> None:
    moments = [datetime(2026, 7, 1, hour, tzinfo=UTC) for hour in (9, 10, 11)]
    store(postgres, kind, timezone, moments)
    with postgres.source(timezone=timezone).connect() as reader:
        assert reader.first_id_since(moments[1]) == 2
        found = reader.rows_ended_between(moments[0], moments[2], None, 10)
    assert [row["id"] for row in found] == [1, 2]
    local = moments[0].astimezone(ZoneInfo(timezone))
    assert found[0]["ended_at"] == (local if kind == "timestamptz" else local.replace(tzinfo=None))
    assert decode_row(encode_row(found[0])).values["ended_at"].startswith(f"{local:%Y-%m-%dT%H:%M:%S}")


def test_the_hour_that_comes_twice_is_told_apart_where_the_column_can(postgres: PostgreSqlPhoneSystem) -> None:
    moments = [BEFORE_THE_CHANGE + n * timedelta(minutes=30) for n in range(4)]
    store(postgres, "timestamptz", BERLIN, moments)
    with postgres.source(timezone=BERLIN).connect() as reader:
        assert [reader.first_id_since(moment) for moment in moments] == [1, 2, 3, 4]
        assert [row["id"] for row in reader.rows_ended_between(moments[1], moments[3], None, 10)] == [2, 3]


def test_no_row_is_lost_to_the_hour_that_comes_twice_where_the_column_has_no_offset(
    postgres: PostgreSqlPhoneSystem,
) -> None:
    moments = [BEFORE_THE_CHANGE + n * timedelta(minutes=30) for n in range(4)]
    store(postgres, "timestamp", BERLIN, moments)
    with postgres.source(timezone=BERLIN).connect() as reader:
        for row_id, moment in enumerate(moments, start=1):
            first = reader.first_id_since(moment)
            assert first is not None
            assert first <= row_id


def test_a_row_with_timestamptz_is_booked_at_the_same_moment_whatever_the_zone(
    postgres: PostgreSqlPhoneSystem,
) -> None:
    store(postgres, "timestamptz", "UTC", [BEFORE_THE_CHANGE])
    for timezone in ("UTC", BERLIN):
        with postgres.source(timezone=timezone).connect() as reader:
            (row,) = reader.rows_after(None, 10)
        assert row["ended_at"].astimezone(UTC) == BEFORE_THE_CHANGE
        assert datetime.fromisoformat(decode_row(encode_row(row)).values["ended_at"]) == BEFORE_THE_CHANGE


def store(postgres: PostgreSqlPhoneSystem, kind: str, timezone: str, moments: list[datetime]) -> None:
    """Rows 1, 2 and so on that start and end at these moments, in columns of this type."""
    postgres.sql(f"ALTER TABLE CallLog ALTER StartTime TYPE {kind}, ALTER EndTime TYPE {kind}")
    local = [moment.astimezone(ZoneInfo(timezone)) for moment in moments]
    values = [moment if kind == "timestamptz" else moment.replace(tzinfo=None) for moment in local]
    postgres.insert(*({"id": n, "started_at": v, "ended_at": v} for n, v in enumerate(values, start=1)))
