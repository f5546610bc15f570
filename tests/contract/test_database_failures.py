"""What goes wrong with a database becomes one clear line: whose turn it is, and which setting to look at."""

from __future__ import annotations

import socket
import sqlite3
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cdr.intake.id_order.reader import RowTable
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable
from tests.support.waiting import wait_until
from tests.systems import stalling_line
from tests.systems.mssql import DATABASE_NOT_AVAILABLE, DEADLOCK_VICTIM, SERVICE_IS_BUSY
from tests.systems.phone_systems import CALLLOG, DATABASES, SERVERS, SHORT, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem

SECRET = "hunter2-is-the-password"
REAL_SERVERS = ("mariadb", "postgresql")
SQL_SERVERS = ("mssql-freetds", "mssql-microsoft")


def on(*names: str) -> pytest.MarkDecorator:
    """Which databases a test is about."""
    return pytest.mark.parametrize("system", names, indirect=True)


@pytest.fixture
def system(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> Any:
    return make_phone_system(request.param)


def failure_of(system: SqlPhoneSystem, schema: str = CALLLOG, **changes: Any) -> PipelineError:
    """What reading raises: one line, and the password is nowhere in it nor in what caused it."""
    with pytest.raises((SourceMisconfigured, SourceUnavailable)) as caught, system.connect(schema, **changes) as table:
        table.rows_after(None, 10)
    password = changes.get("password") or getattr(getattr(system, "program", None), "PASSWORD", SECRET)
    assert password not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return caught.value


def misconfigured(system: SqlPhoneSystem, *named: str, schema: str = CALLLOG, **changes: Any) -> None:
    """Reading calls for a person, in words that name these settings."""
    failure = failure_of(system, schema, **changes)
    assert isinstance(failure, SourceMisconfigured)
    assert [name for name in named if name not in str(failure)] == []


def unavailable(system: SqlPhoneSystem, schema: str = CALLLOG, **changes: Any) -> str:
    """The message of a failure that may be over at the next poll."""
    failure = failure_of(system, schema, **changes)
    assert isinstance(failure, SourceUnavailable)
    assert "3cx.cdr_database" in str(failure)
    return str(failure)


def works(table: RowTable) -> bool:
    return table.newest_id() is None


# The schema file asks for what is not there


@on(*DATABASES)
@pytest.mark.parametrize(
    ("there", "asked", "named"),
    [
        pytest.param("FROM CallLog", "FROM Calls", "Calls", id="table"),
        pytest.param("HangupCause ", "ReasonTerminated ", "ReasonTerminated", id="column"),
        pytest.param("AS answered", "AS was_answered", "answered", id="canonical column, while the table is empty"),
        pytest.param("AS id", "AS no_id", "", id="the reader's own id"),
        pytest.param("AS ended_at", "AS no_end", "", id="the reader's own end"),
    ],
)
def test_what_is_missing_is_the_schemas_fault(system: SqlPhoneSystem, there: str, asked: str, named: str) -> None:
    misconfigured(system, "3cx.schema", named, schema=CALLLOG.replace(there, asked))


@on("mariadb", "sqlite", "postgresql")
def test_a_select_that_the_database_does_not_understand_is_the_schemas_fault(system: SqlPhoneSystem) -> None:
    misconfigured(system, "3cx.schema", schema=CALLLOG.replace("FROM", "FORM"))


@on("postgresql")
@pytest.mark.parametrize(
    "condition", ["Answered = TRUE", "no_such_function(Id) = 1", "Id IN (SELECT Id FROM CallLog GROUP BY 2)"]
)
def test_whatever_postgresql_cannot_make_sense_of_is_the_schemas_fault(system: SqlPhoneSystem, condition: str) -> None:
    misconfigured(system, "3cx.schema", schema=f"{CALLLOG} WHERE {condition}")


# The login


@on(*SERVERS)
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"password": SECRET}, ["3cx.cdr_database.username", "password"]),
        ({"username": "nobody"}, ["3cx.cdr_database.username"]),
        ({"database": "phones"}, ["3cx.cdr_database.database"]),
        ({"trust_server_certificate": False}, ["3cx.cdr_database.trust_server_certificate"]),
    ],
    ids=["password", "user", "database", "certificate that nobody vouches for"],
)
def test_what_the_server_refuses_names_its_settings(
    system: SqlPhoneSystem, changes: dict[str, Any], named: list[str]
) -> None:
    misconfigured(system, *named, **changes)


@on(*REAL_SERVERS)
def test_a_table_that_the_login_may_not_read_asks_for_a_grant(system: Any) -> None:
    denied = {"mysql": "mysql.db", "postgresql": "pg_authid"}[system.engine]
    misconfigured(system, "3cx.schema", "SELECT", schema=CALLLOG.replace("FROM CallLog", f"FROM CallLog, {denied}"))


@on(*SQL_SERVERS)
def test_a_select_that_sql_server_denies_asks_for_a_grant(system: Any) -> None:
    system.server.fail_next(229, "The SELECT permission was denied on the object 'CallLog', database 'cdr'.")
    misconfigured(system, "3cx.schema", "SELECT")


@on("sqlite")
def test_a_file_that_is_missing_or_no_database_names_its_setting_and_is_not_created(system: Any) -> None:
    elsewhere = system.file.with_name("elsewhere.db")
    misconfigured(system, "3cx.cdr_database.database", database=str(elsewhere))
    assert not elsewhere.exists()
    elsewhere.write_text("not a database at all " * 100)
    misconfigured(system, "3cx.cdr_database.database", database=str(elsewhere))
    misconfigured(system, "3cx.cdr_database.database", database=str(elsewhere.parent))


# The line


@on(*SERVERS)
def test_a_server_that_is_not_there_is_unavailable(system: SqlPhoneSystem, closed_port: int) -> None:
    unavailable(system, port=closed_port, timeouts=SHORT)
    unavailable(system, host="no-such-host.invalid", timeouts=SHORT)


@on(*SERVERS)
def test_a_server_that_never_answers_is_unavailable_before_long(system: SqlPhoneSystem) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        unavailable(system, port=silent.getsockname()[1], statement_timeout_seconds=1, timeouts=SHORT)


@on(*REAL_SERVERS)
def test_a_line_that_falls_silent_in_the_middle_is_unavailable_before_long_and_closes(system: Any) -> None:
    with stalling_line.start(system.server.host, system.server.port) as line:
        changes = {"port": line.port, "statement_timeout_seconds": 1, "timeouts": SHORT}
        with system.connect(**changes) as table:
            assert works(table)
            line.stall()
            with pytest.raises(SourceUnavailable, match=r"3cx\.cdr_database"):
                table.newest_id()
        line.flow()
        with system.connect(**changes) as table:
            assert works(table)


@on(*REAL_SERVERS)
def test_a_server_that_works_again_is_read_by_the_same_source(system: Any) -> None:
    source = system.source_of(CALLLOG, timeouts=SHORT)
    with source.connect() as reader:
        system.server.stop()
        with pytest.raises(SourceUnavailable):
            reader.check()
    try:
        with pytest.raises(SourceUnavailable), source.connect():
            pass
    finally:
        system.server.restart()
    with source.connect() as reader:
        reader.check()


@on(*SQL_SERVERS)
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (DEADLOCK_VICTIM, "Transaction (Process ID 52) was deadlocked and has been chosen as the deadlock victim."),
        (SERVICE_IS_BUSY, "The service is currently busy. Retry the request after 10 seconds."),
        (DATABASE_NOT_AVAILABLE, "Database 'cdr' on server 'pbx' is not currently available."),
        (1222, "Lock request time out period exceeded."),
    ],
)
def test_what_sql_server_cannot_do_now_is_over_with_the_next_statement(system: Any, number: int, message: str) -> None:
    system.server.fail_next(number, message)
    assert message.split(maxsplit=1)[0] in unavailable(system)
    with system.connect() as table:
        assert works(table)


@on("sqlite")
def test_a_locked_file_is_unavailable(system: Any) -> None:
    with closing(sqlite3.connect(system.file)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        unavailable(system, statement_timeout_seconds=1)


# Statements that take too long

SLOW_S = 15
SLOW = {
    "sqlite": f"{CALLLOG}, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n)",
    "mariadb": f"{CALLLOG}, (SELECT SLEEP({SLOW_S})) AS slow",
    "postgresql": f"{CALLLOG}, pg_sleep({SLOW_S})",
}
STILL_RUNNING = {
    "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'cdr_reader' AND command = 'Query'",
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'cdr_reader' AND state = 'active'",
}


@on(*DATABASES)
def test_the_statement_timeout_ends_a_slow_statement_on_the_server_too(
    system: Any, request: pytest.FixtureRequest
) -> None:
    system.insert({"id": 1})
    slow = SLOW.get(request.node.callspec.params["system"])
    if slow is None:
        system.server.delay_next(SLOW_S)
    unavailable(system, slow or CALLLOG, statement_timeout_seconds=1)
    if still_running := STILL_RUNNING.get(getattr(system, "engine", "")):
        wait_until(lambda: system.sql(still_running) == [(0,)], SLOW_S / 2)


# Encryption

CIPHER = "(SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER')"
SSL = "(SELECT CASE WHEN ssl THEN 'yes' ELSE '' END FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
"""SELECTs that say how their own connection is encrypted."""


@on(*REAL_SERVERS)
def test_a_server_is_reached_encrypted_unless_said_otherwise(system: Any) -> None:
    system.insert({"id": 1})
    schema = CALLLOG.replace("CallId ", f"{ {'mysql': CIPHER, 'postgresql': SSL}[system.engine] } ")
    for encrypt in (True, False):
        with system.connect(schema, encrypt=encrypt) as table:
            assert bool(table.rows_after(None, 1)[0].records[0].values["call_id"]) is encrypt


@on(*SQL_SERVERS)
def test_sql_server_is_reached_encrypted_unless_said_otherwise(system: Any) -> None:
    for encrypt in (True, False):
        with system.connect(encrypt=encrypt):
            assert system.server.latest_login_is_encrypted is encrypt


@on("postgresql")
def test_a_postgresql_that_offers_no_encryption_names_the_setting(system: Any) -> None:
    system.server.restart("ssl=off")
    try:
        misconfigured(system, "3cx.cdr_database.", "encrypt")
        with system.connect(encrypt=False) as table:
            assert works(table)
    finally:
        system.server.restart()


@on(*REAL_SERVERS, "mssql-microsoft")
def test_a_certificate_that_the_system_trusts_is_accepted(
    system: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(system.server.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with system.connect(host="localhost", trust_server_certificate=False) as table:
        assert works(table)


@on(*REAL_SERVERS)
def test_a_certificate_from_the_configured_file_is_accepted_for_its_own_names_only(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = {"trust_server_certificate": False, "ca_file": str(system.server.certificate)}
    with system.connect(host="localhost", **verified) as table:
        assert works(table)
    looked_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: looked_up("127.0.0.1", *rest, **more))
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    misconfigured(system, "3cx.cdr_database.trust_server_certificate", host="pbx.test", **verified)


@on("mssql-freetds")
def test_no_odbc_driver_at_all_says_which_one_to_install(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyodbc

    monkeypatch.setattr(pyodbc, "drivers", lambda: ["SQLite3", "PostgreSQL Unicode"])
    misconfigured(system, "3cx.cdr_database.engine", "FreeTDS")


@on(*SQL_SERVERS)
@pytest.mark.parametrize("password", ["a}b;UID=sa", "{", "}", "{a}}", " space ", "ü;=", "'\""])
def test_no_password_can_end_the_connection_string_or_add_to_it(system: Any, password: str) -> None:
    with system.server.admitting_anybody() as asked, system.connect(password=password):
        assert asked == [("cdr_reader", password)]
