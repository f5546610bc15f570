"""What goes wrong with a database becomes one clear line: whose turn it is, and which setting to look at."""

from __future__ import annotations

import socket
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdr.edges.sql.row_table import SqlCdrSource
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable
from tests.systems import stalling_line
from tests.systems.mssql import DATABASE_NOT_AVAILABLE, DEADLOCK_VICTIM, SERVICE_IS_BUSY
from tests.systems.phone_systems import (
    CALLLOG,
    MariaDbPhoneSystem,
    MsSqlPhoneSystem,
    PostgreSqlPhoneSystem,
    SqlitePhoneSystem,
    SqlPhoneSystem,
)

MakePhoneSystem = Callable[[str], SqlPhoneSystem]
SECRET = "hunter2-is-the-password"


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "mssql-freetds", "mssql-microsoft"])
def database(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> SqlPhoneSystem:
    return make_phone_system(request.param)


@pytest.fixture(params=["mariadb", "postgresql", "mssql-freetds", "mssql-microsoft"])
def server(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> SqlPhoneSystem:
    return make_phone_system(request.param)


@pytest.fixture(params=["mssql-freetds", "mssql-microsoft"])
def sql_server(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> MsSqlPhoneSystem:
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


def failure_of(source: SqlCdrSource) -> PipelineError:
    """What reading raises: one line, and the password is nowhere in it nor in what caused it."""
    with pytest.raises((SourceMisconfigured, SourceUnavailable)) as caught, source.connect() as reader:
        reader.rows_after(None, 10)
    database = source._database
    shown = "".join(traceback.format_exception(caught.value))
    assert database.password is None or database.password.get_secret_value() not in shown
    assert "\n" not in str(caught.value)
    return caught.value


def misconfigured(source: SqlCdrSource, *settings: str) -> str:
    """The message of a failure that calls for a person, and names these settings."""
    failure = failure_of(source)
    assert isinstance(failure, SourceMisconfigured)
    assert [setting for setting in settings if setting not in str(failure)] == []
    return str(failure)


def unavailable(source: SqlCdrSource) -> str:
    """The message of a failure that may be over at the next poll."""
    failure = failure_of(source)
    assert isinstance(failure, SourceUnavailable)
    assert "3cx.cdr_database" in str(failure)
    return str(failure)


# The schema file asks for what is not there


def test_a_missing_table_is_the_schemas_fault(database: SqlPhoneSystem) -> None:
    message = misconfigured(database.source_of(CALLLOG.replace("FROM CallLog", "FROM Calls")), "3cx.schema")
    assert "Calls" in message


def test_a_missing_column_of_the_table_is_the_schemas_fault(database: SqlPhoneSystem) -> None:
    message = misconfigured(database.source_of(CALLLOG.replace("HangupCause ", "ReasonTerminated ")), "3cx.schema")
    assert "ReasonTerminated" in message


def test_a_missing_canonical_column_is_named_even_while_the_table_is_empty(database: SqlPhoneSystem) -> None:
    schema = CALLLOG.replace("AS answered", "AS was_answered")
    assert "answered" in misconfigured(database.source_of(schema), "3cx.schema")


@pytest.mark.parametrize("column", ["id", "started_at", "ended_at"])
def test_a_schema_without_a_column_that_the_reader_itself_needs_is_the_schemas_fault(
    database: SqlPhoneSystem, column: str
) -> None:
    misconfigured(database.source_of(CALLLOG.replace(f"AS {column}", f"AS no_{column}")), "3cx.schema")


def test_a_select_that_the_database_does_not_understand_is_the_schemas_fault(
    maria: MariaDbPhoneSystem, sqlite: SqlitePhoneSystem, postgres: PostgreSqlPhoneSystem
) -> None:
    for system in (maria, sqlite, postgres):
        misconfigured(system.source_of(CALLLOG.replace("FROM", "FORM")), "3cx.schema")


# The login


def test_a_wrong_password_names_the_settings_of_the_login(server: SqlPhoneSystem) -> None:
    source = server.source_of(CALLLOG, password=SECRET)
    misconfigured(source, "3cx.cdr_database.username", "password")


def test_an_unknown_user_names_the_settings_of_the_login(server: SqlPhoneSystem) -> None:
    misconfigured(server.source_of(CALLLOG, username="nobody"), "3cx.cdr_database.username")


def test_a_missing_database_names_the_setting_of_the_database(server: SqlPhoneSystem) -> None:
    misconfigured(server.source_of(CALLLOG, database="phones"), "3cx.cdr_database.database")


def test_a_table_that_the_login_may_not_read_asks_for_a_grant(maria: MariaDbPhoneSystem) -> None:
    schema = CALLLOG.replace("FROM CallLog", "FROM CallLog, mysql.db")
    assert "SELECT" in misconfigured(maria.source_of(schema), "3cx.schema")


@pytest.mark.parametrize(
    "condition", ["Answered = TRUE", "no_such_function(Id) = 1", "Id IN (SELECT Id FROM CallLog GROUP BY 2)"]
)
def test_whatever_postgresql_cannot_make_sense_of_is_the_schemas_fault(
    postgres: PostgreSqlPhoneSystem, condition: str
) -> None:
    misconfigured(postgres.source_of(f"{CALLLOG} WHERE {condition}"), "3cx.schema")


def test_a_table_that_the_postgresql_login_may_not_read_asks_for_a_grant(postgres: PostgreSqlPhoneSystem) -> None:
    schema = CALLLOG.replace("FROM CallLog", "FROM CallLog, pg_authid")
    assert "SELECT" in misconfigured(postgres.source_of(schema), "3cx.schema")


def test_a_select_that_sql_server_denies_asks_for_a_grant(sql_server: MsSqlPhoneSystem) -> None:
    sql_server.server.fail_next(229, "The SELECT permission was denied on the object 'CallLog', database 'cdr'.")
    assert "SELECT" in misconfigured(sql_server.source(), "3cx.schema")


def test_a_file_that_is_not_there_names_the_setting_of_the_file_and_is_not_created(sqlite: SqlitePhoneSystem) -> None:
    elsewhere = sqlite.file.with_name("elsewhere.db")
    misconfigured(sqlite.source_of(CALLLOG, database=str(elsewhere)), "3cx.cdr_database.database")
    assert not elsewhere.exists()


def test_a_file_that_is_no_database_names_the_setting_of_the_file(sqlite: SqlitePhoneSystem) -> None:
    sqlite.file.write_text("not a database at all " * 100)
    misconfigured(sqlite.source(), "3cx.cdr_database.database")


# The line


def test_a_server_that_is_down_is_unavailable(server: SqlPhoneSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdr.edges.sql.engines.CONNECT_TIMEOUT_S", 1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        unavailable(server.source_of(CALLLOG, port=nobody.getsockname()[1]))


def test_a_server_that_never_answers_is_unavailable_before_long(
    server: SqlPhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdr.edges.sql.engines.CONNECT_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        unavailable(server.source_of(CALLLOG, port=port, statement_timeout_seconds=1))


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
def test_a_line_that_falls_silent_in_the_middle_is_unavailable_before_long_and_closes(
    name: str, make_phone_system: MakePhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdr.edges.sql.engines.GONE_AFTER_S", 0)
    system = make_phone_system(name)
    with stalling_line.start(system.server.host, system.server.port) as line:
        source = system.source_of(CALLLOG, port=line.port, statement_timeout_seconds=1)
        with source.connect() as reader:
            assert reader.newest_id() is None
            line.stall()
            with pytest.raises(SourceUnavailable, match=r"3cx\.cdr_database"):
                reader.newest_id()
        line.flow()
        with source.connect() as reader:
            assert reader.newest_id() is None


def test_a_host_name_that_nobody_knows_is_unavailable(server: SqlPhoneSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdr.edges.sql.engines.CONNECT_TIMEOUT_S", 1)
    unavailable(server.source_of(CALLLOG, host="no-such-host.invalid"))


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
def test_a_server_that_works_again_is_read_by_the_same_source(name: str, make_phone_system: MakePhoneSystem) -> None:
    system = make_phone_system(name)
    source = system.source()
    with source.connect() as reader:
        system.server.stop()
        with pytest.raises(SourceUnavailable):
            reader.newest_id()
    try:
        unavailable(source)
    finally:
        system.server._launch()
    with source.connect() as reader:
        assert reader.newest_id() is None


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (DEADLOCK_VICTIM, "Transaction (Process ID 52) was deadlocked and has been chosen as the deadlock victim."),
        (SERVICE_IS_BUSY, "The service is currently busy. Retry the request after 10 seconds."),
        (DATABASE_NOT_AVAILABLE, "Database 'cdr' on server 'pbx' is not currently available."),
        (1222, "Lock request time out period exceeded."),
    ],
)
def test_what_sql_server_cannot_do_now_is_unavailable_and_over_with_the_next_statement(
    sql_server: MsSqlPhoneSystem, number: int, message: str
) -> None:
    source = sql_server.source()
    sql_server.server.fail_next(number, message)
    assert message.split(maxsplit=1)[0] in unavailable(source)
    with source.connect() as reader:
        assert reader.rows_after(None, 10) == []


def test_a_locked_file_is_unavailable(sqlite: SqlitePhoneSystem) -> None:
    with closing(sqlite3.connect(sqlite.file)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        unavailable(sqlite.source_of(CALLLOG, statement_timeout_seconds=1))


# Statements that take too long


def test_sql_servers_statement_timeout_ends_a_slow_statement(sql_server: MsSqlPhoneSystem) -> None:
    sql_server.server.delay_next(15)
    unavailable(sql_server.source_of(CALLLOG, statement_timeout_seconds=1))


def test_mariadbs_statement_timeout_ends_a_slow_statement_on_the_server(maria: MariaDbPhoneSystem) -> None:
    slow = "SELECT SLEEP(15) AS id, 1 AS started_at, 1 AS ended_at"
    unavailable(maria.source_of(slow, statement_timeout_seconds=1))
    still_running = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'cdr_reader' AND info LIKE %s"
    assert maria.sql(still_running, "%SLEEP(15)%") == [(0,)]


def test_postgresqls_statement_timeout_ends_a_slow_statement_on_the_server(postgres: PostgreSqlPhoneSystem) -> None:
    postgres.insert({"id": 1})
    unavailable(postgres.source_of(f"{CALLLOG}, pg_sleep(15)", statement_timeout_seconds=1))
    still_running = "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'cdr_reader' AND state = 'active'"
    assert postgres.sql(still_running) == [(0,)]


def test_sqlites_statement_timeout_ends_a_slow_statement(sqlite: SqlitePhoneSystem) -> None:
    endless = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n)"
    sqlite.insert({"id": 1})
    unavailable(sqlite.source_of(f"{CALLLOG} WHERE {endless} > 0", statement_timeout_seconds=1))


# Encryption


@pytest.fixture
def sessions_cipher() -> Iterator[str]:
    """A schema whose one row says how its own connection is encrypted."""
    cipher = "(SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER')"
    nulls = ", ".join(f"NULL AS {name}" for name in ("started_at", "ended_at", "duration_s", "caller_number"))
    more = ", ".join(f"NULL AS {name}" for name in ("dest_number", "extension", "call_type", "answered"))
    return f"SELECT 1 AS id, {cipher} AS call_id, {nulls}, {more}, NULL AS hangup_cause"


def cipher_of(source: SqlCdrSource) -> str:
    with source.connect() as reader:
        return reader.rows_after(None, 1)[0]["call_id"]


def test_mariadb_is_reached_encrypted_unless_said_otherwise(maria: MariaDbPhoneSystem, sessions_cipher: str) -> None:
    assert cipher_of(maria.source_of(sessions_cipher)) != ""
    assert cipher_of(maria.source_of(sessions_cipher, encrypt=False)) == ""


def test_postgresql_is_reached_encrypted_unless_said_otherwise(postgres: PostgreSqlPhoneSystem) -> None:
    postgres.insert({"id": 1})
    ssl = "(SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
    schema = CALLLOG.replace("CallId ", f"{ssl} ")
    assert cipher_of(postgres.source_of(schema)) == "true"
    assert cipher_of(postgres.source_of(schema, encrypt=False)) == "false"


def test_a_postgresql_that_offers_no_encryption_names_the_setting(postgres: PostgreSqlPhoneSystem) -> None:
    postgres.server.restart("ssl=off")
    try:
        misconfigured(postgres.source(), "3cx.cdr_database.", "encrypt")
        with postgres.source_of(CALLLOG, encrypt=False).connect() as reader:
            assert reader.newest_id() is None
    finally:
        postgres.server.restart()


def test_sql_server_is_reached_encrypted_unless_said_otherwise(sql_server: MsSqlPhoneSystem) -> None:
    for encrypt in (True, False):
        with sql_server.source_of(CALLLOG, encrypt=encrypt).connect():
            assert sql_server.server.latest_login_is_encrypted is encrypt


def test_a_certificate_that_nobody_vouches_for_is_refused(server: SqlPhoneSystem) -> None:
    misconfigured(
        server.source_of(CALLLOG, trust_server_certificate=False), "3cx.cdr_database.trust_server_certificate"
    )


@pytest.mark.parametrize("name", ["mariadb", "postgresql"])
def test_a_certificate_that_the_system_trusts_is_accepted(
    name: str, make_phone_system: MakePhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_phone_system(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(system.server.certificate))
    with system.source_of(CALLLOG, host="localhost", trust_server_certificate=False).connect() as reader:
        assert reader.newest_id() is None


def test_a_certificate_from_the_configured_file_is_accepted_for_its_own_names_only(
    maria: MariaDbPhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = {"trust_server_certificate": False, "ca_file": str(maria.server.certificate)}
    with maria.source_of(CALLLOG, host="localhost", **verified).connect() as reader:
        assert reader.newest_id() is None
    looked_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: looked_up("127.0.0.1", *rest, **more))
    misconfigured(maria.source_of(CALLLOG, host="pbx.test", **verified), "3cx.cdr_database.trust_server_certificate")


def test_postgresql_is_checked_against_the_configured_file_and_by_its_names(
    postgres: PostgreSqlPhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = {"trust_server_certificate": False, "ca_file": str(postgres.server.certificate)}
    with postgres.source_of(CALLLOG, host="localhost", **verified).connect() as reader:
        assert reader.newest_id() is None
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    misconfigured(postgres.source_of(CALLLOG, host="pbx.test", **verified), "3cx.cdr_database.trust_server_certificate")


def test_where_the_system_has_no_file_of_certificates_those_that_come_with_requests_count(
    postgres: PostgreSqlPhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    source = postgres.source_of(CALLLOG, host="localhost", trust_server_certificate=False)
    misconfigured(source, "3cx.cdr_database.trust_server_certificate")
    monkeypatch.setattr("requests.utils.DEFAULT_CA_BUNDLE_PATH", str(postgres.server.certificate))
    with source.connect() as reader:
        assert reader.newest_id() is None


def test_microsofts_driver_accepts_a_certificate_that_the_system_trusts(
    make_phone_system: MakePhoneSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = make_phone_system("mssql-microsoft")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(system.server.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with system.source_of(CALLLOG, host="localhost", trust_server_certificate=False).connect() as reader:
        assert reader.newest_id() is None


def test_no_odbc_driver_at_all_says_which_one_to_install(
    sql_server: MsSqlPhoneSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyodbc

    monkeypatch.setattr(pyodbc, "drivers", lambda: ["SQLite3", "PostgreSQL Unicode"])
    assert "FreeTDS" in misconfigured(sql_server.source(), "3cx.cdr_database.engine")


@pytest.mark.parametrize("password", ["a}b;UID=sa", "{", "}", "{a}}", " space ", "ü;=", "'\""])
def test_no_password_can_end_the_connection_string_or_add_to_it(
    sql_server: MsSqlPhoneSystem, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    class AnyLogin:
        def admits(self, user: str, given: str) -> bool:
            asked.append((user, given))
            return True

    monkeypatch.setattr(sql_server.server._server, "logins", AnyLogin())
    with sql_server.source_of(CALLLOG, password=password).connect():
        assert asked == [("cdr_reader", password)]
