"""The servers behind the contract tests do what callers rely on, and each error looks the way a driver shows it."""

import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tests.systems import mariadb, mssql
from tests.systems.mariadb import MariaDb
from tests.systems.mssql import MsSql
from tests.systems.odbc import FREETDS, MICROSOFT
from tests.systems.tsql import to_sqlite

SOON_S = 5.0
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456)  # noqa: DTZ001 - the databases hold naive moments


# MariaDB


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaDb]:
    if missing := mariadb.is_installed():
        pytest.skip(missing)
    with mariadb.start() as server:
        server.sql("CREATE TABLE CallLog (Id INT PRIMARY KEY, CallId VARCHAR(64)) ENGINE=InnoDB")
        server.sql("CREATE TABLE mysql.not_for_readers (Id INT)")
        yield server


def as_reader(server: MariaDb, **changes: Any) -> pymysql.Connection:
    login = {"user": mariadb.READER, "password": mariadb.PASSWORD, "database": mariadb.DATABASE}
    return pymysql.connect(**{"host": server.host, "port": server.port, "connect_timeout": 5} | login | changes)


def read_maria(server: MariaDb, sql: str, **changes: Any) -> tuple:
    with closing(as_reader(server, **changes)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_mariadb_shows_the_reader_what_the_administrator_wrote(maria: MariaDb) -> None:
    maria.sql("INSERT INTO CallLog VALUES (%s, %s)", 1, "Zoë 漢字 😀")
    assert read_maria(maria, "SELECT CallId FROM CallLog WHERE Id = 1") == (("Zoë 漢字 😀",),)


def test_mariadb_shows_a_later_id_before_an_earlier_one_that_commits_after_it(maria: MariaDb) -> None:
    with closing(maria.connect()) as slow, closing(maria.connect()) as quick:
        slow.cursor().execute("INSERT INTO CallLog VALUES (10, 'slow')")
        quick.cursor().execute("INSERT INTO CallLog VALUES (11, 'quick')")
        quick.commit()
        assert read_maria(maria, "SELECT Id FROM CallLog WHERE Id >= 10") == ((11,),)
        slow.commit()
        assert read_maria(maria, "SELECT Id FROM CallLog WHERE Id >= 10") == ((10,), (11,))


@pytest.mark.parametrize("end", [MariaDb.kill, MariaDb.stop])
def test_mariadb_keeps_rows_and_port_over_a_restart(maria: MariaDb, end: Callable[[MariaDb], None]) -> None:
    maria.sql("REPLACE INTO CallLog VALUES (20, 'kept')")
    port = maria.port
    end(maria)
    with pytest.raises(pymysql.OperationalError):
        read_maria(maria, "SELECT 1")
    maria.restart()
    assert maria.port == port
    assert read_maria(maria, "SELECT CallId FROM CallLog WHERE Id = 20") == (("kept",),)


def test_mariadb_proves_who_it_is_to_a_client_that_trusts_its_certificate(maria: MariaDb) -> None:
    trust = {"ssl_ca": str(maria.certificate), "ssl_verify_cert": True, "ssl_verify_identity": True}
    assert read_maria(maria, "SHOW STATUS LIKE 'Ssl_cipher'", **trust)[0][1]
    assert not read_maria(maria, "SHOW STATUS LIKE 'Ssl_cipher'", ssl_disabled=True)[0][1]


def kill_own_connection(server: MariaDb) -> None:
    with closing(as_reader(server)) as connection, connection.cursor() as cursor:
        threading.Timer(0.2, lambda: server.sql(f"KILL CONNECTION {connection.thread_id()}")).start()
        cursor.execute("SELECT SLEEP(30)")


def use_a_lost_connection_again(server: MariaDb) -> None:
    with closing(as_reader(server)) as connection, connection.cursor() as cursor:
        server.sql(f"KILL CONNECTION {connection.thread_id()}")
        with suppress(pymysql.OperationalError):
            cursor.execute("SELECT SLEEP(30)")
        cursor.execute("SELECT 1")


MARIADB_ERRORS: dict[str, tuple[Callable[[MariaDb], object], type[pymysql.Error], int, str]] = {
    "closed port": (
        lambda server: read_maria(server, "SELECT 1", port=1),
        pymysql.OperationalError,
        2003,
        r"Can't connect to MySQL server on '127.0.0.1' \(\[Errno \d+\] Connection refused\)",
    ),
    "untrusted certificate": (
        lambda server: read_maria(server, "SELECT 1", ssl=ssl.create_default_context()),
        pymysql.OperationalError,
        2003,
        "certificate verify failed",
    ),
    "wrong password": (
        lambda server: read_maria(server, "SELECT 1", password="wrong"),
        pymysql.OperationalError,
        1045,
        "Access denied for user 'cdr_reader'",
    ),
    "unknown database, named by a user who may not see all": (
        lambda server: read_maria(server, "SELECT 1", database="nowhere"),
        pymysql.OperationalError,
        1044,
        "Access denied for user 'cdr_reader'@'%' to database 'nowhere'",
    ),
    "unknown database": (
        lambda server: server.connect("nowhere"),
        pymysql.OperationalError,
        1049,
        "Unknown database 'nowhere'",
    ),
    "missing table": (
        lambda server: read_maria(server, "SELECT Id FROM Missing"),
        pymysql.ProgrammingError,
        1146,
        "Table 'cdr.Missing' doesn't exist",
    ),
    "missing column": (
        lambda server: read_maria(server, "SELECT Missing FROM CallLog"),
        pymysql.OperationalError,
        1054,
        "Unknown column 'Missing' in 'SELECT'",
    ),
    "select denied": (
        lambda server: read_maria(server, "SELECT * FROM mysql.not_for_readers"),
        pymysql.OperationalError,
        1142,
        "SELECT command denied to user 'cdr_reader'",
    ),
    "insert denied": (
        lambda server: read_maria(server, "INSERT INTO CallLog VALUES (99, '')"),
        pymysql.OperationalError,
        1142,
        "INSERT command denied to user 'cdr_reader'",
    ),
    "statement timeout": (
        lambda server: read_maria(server, "SELECT SLEEP(30)", init_command="SET SESSION max_statement_time=0.2"),
        pymysql.OperationalError,
        1969,
        "max_statement_time exceeded",
    ),
    "no answer within the client's own timeout": (
        lambda server: read_maria(server, "SELECT SLEEP(30)", read_timeout=0.2),
        pymysql.OperationalError,
        2013,
        "Lost connection to MySQL server during query",
    ),
    "connection killed in the middle of a query": (
        kill_own_connection,
        pymysql.OperationalError,
        2013,
        "Lost connection to MySQL server during query",
    ),
    "lost connection used again": (use_a_lost_connection_again, pymysql.InterfaceError, 0, ""),
}


@pytest.mark.parametrize("case", MARIADB_ERRORS)
def test_mariadb_errors_come_through_pymysql(maria: MariaDb, case: str) -> None:
    provoke, error_class, number, text = MARIADB_ERRORS[case]
    with pytest.raises(error_class) as raised:
        provoke(maria)
    assert raised.type is error_class
    assert raised.value.args[0] == number
    assert re.search(text, raised.value.args[1])


# SQL Server, through each ODBC driver


@pytest.fixture(scope="module")
def odbc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the ODBC settings that hold in this module."""
    folder = tmp_path_factory.mktemp("odbc")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mssql.odbc_environment(folder).items():
            patch.setenv(name, value)
        yield folder


@pytest.fixture
def server() -> Iterator[MsSql]:
    with mssql.start() as running:
        running.execute(
            "CREATE TABLE CallLog (Id BIGINT PRIMARY KEY, CallId NVARCHAR(64), StartTime DATETIME2, EndTime DATETIME,"
            " Duration INT, Answered BIT, Note NVARCHAR)"
        )
        running.executemany(
            "INSERT INTO CallLog VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(number, f"call-{number}", NOON.replace(minute=number), None, 60, True, None) for number in range(1, 10)],
        )
        yield running


@dataclass(frozen=True)
class Client:
    """Reaches a server through one ODBC driver."""

    driver: str
    server: MsSql

    def connect(self, timeout: int = 5, **changes: str) -> Any:
        import pyodbc

        settings = {
            "Driver": f"{{{self.driver}}}",
            "Server": f"{self.server.host},{self.server.port}",
            "Database": mssql.DATABASE,
            "UID": mssql.READER,
            "PWD": mssql.PASSWORD,
            "Encrypt": "yes",
            "TrustServerCertificate": "yes",
        } | changes
        text = ";".join(f"{name}={value}" for name, value in settings.items() if value)
        return pyodbc.connect(text, timeout=timeout, autocommit=True)

    def read(self, sql: str, *parameters: object, **changes: Any) -> list[tuple]:
        with closing(self.connect(**changes)) as connection:
            return [tuple(row) for row in connection.execute(sql, *parameters).fetchall()]

    def engine(self) -> sa.Engine:
        options = {"driver": self.driver, "Encrypt": "yes", "TrustServerCertificate": "yes"}
        url = sa.URL.create(
            "mssql+pyodbc",
            username=mssql.READER,
            password=mssql.PASSWORD,
            host=self.server.host,
            port=self.server.port,
            database=mssql.DATABASE,
            query=options,
        )
        return sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")


@pytest.fixture(params=mssql.DRIVER_NAMES)
def client(request: pytest.FixtureRequest, server: MsSql, odbc: Path) -> Client:
    if missing := mssql.why_unavailable(request.param):
        pytest.skip(missing)
    return Client(request.param, server)


def test_pyodbc_offers_exactly_the_drivers_that_load(odbc: Path) -> None:
    import pyodbc

    assert mssql.is_installed() is None
    assert set(pyodbc.drivers()) == set(mssql.available_drivers())


@pytest.mark.parametrize(
    ("condition", "parameter", "found"),
    [
        ("Id > ?", 7, [8, 9]),
        ("CallId = ?", "call-3", [3]),
        ("StartTime >= ?", NOON.replace(minute=8), [8, 9]),
        ("StartTime > ?", NOON.replace(minute=8, microsecond=123455), [8, 9]),
        ("StartTime > ?", NOON.replace(minute=8, microsecond=123457), [9]),
        ("(EndTime = ? OR Id = 5)", None, [5]),
        ("Duration * Id >= ?", 2**40, []),
        ("Id <= 2 AND N'it''s dbo.x (TOP 1)' <> ?", "other", [1, 2]),
    ],
)
def test_parameters_arrive_with_their_type(client: Client, condition: str, parameter: object, found: list[int]) -> None:
    rows = client.read(f"SELECT Id FROM dbo.CallLog WHERE {condition} ORDER BY Id", parameter)
    assert [row[0] for row in rows] == found


def test_a_statement_is_prepared_once_and_executed_again(client: Client) -> None:
    with closing(client.connect()) as connection, closing(connection.cursor()) as cursor:
        pages = [
            cursor.execute("SELECT TOP 2 Id FROM CallLog WHERE Id > ? ORDER BY Id", last).fetchall() for last in (0, 4)
        ]
    assert [[row[0] for row in page] for page in pages] == [[1, 2], [5, 6]]


def test_columns_have_their_declared_types_even_on_an_empty_page(client: Client) -> None:
    with closing(client.connect()) as connection:
        columns = connection.execute("SELECT * FROM (SELECT * FROM CallLog) AS cdr WHERE Id > ?", 1000).description
    assert [(name, kind, digits) for name, kind, _, _, _, digits, _ in columns] == [
        ("Id", int, 0),
        ("CallId", str, 0),
        ("StartTime", datetime, 7),
        ("EndTime", datetime, 3),
        ("Duration", int, 0),
        ("Answered", bool, 0),
        ("Note", str, 0),
    ]


STRANGE_ROWS = {
    "nothing but NULL": (None, None, None, None, None, None),
    "10,000 characters": ("c", NOON, None, 1, True, "x" * 10_000),
    "longer than its column": ("y" * 5_000, NOON, None, 1, True, ""),
    "non-ASCII, and outside of the first plane": ("Ünï-漢字", NOON, None, 1, False, "😀" * 3_000),
    "last moment of a day, which datetime rounds up": ("c", NOON, datetime(2026, 1, 1, 23, 59, 59, 999999), 1, 1, ""),  # noqa: DTZ001
}


@pytest.mark.parametrize("case", STRANGE_ROWS)
def test_strange_rows_come_through_whole(client: Client, case: str) -> None:
    row = STRANGE_ROWS[case]
    client.server.execute("INSERT INTO CallLog VALUES (50, ?, ?, ?, ?, ?, ?)", row)
    columns = "CallId, StartTime, EndTime, Duration, Answered, Note"
    (read,) = client.read(f"SELECT {columns} FROM CallLog WHERE Id = ?", 50)
    rounded = datetime(2026, 1, 2) if row[2] else None  # noqa: DTZ001 - as above
    assert read == (*row[:2], rounded, *row[3:])


def test_a_cell_that_does_not_fit_its_type_makes_its_whole_column_text(client: Client) -> None:
    client.server.execute("UPDATE CallLog SET StartTime = 'yesterday', Duration = 'long', Answered = 7 WHERE Id = 2")
    read = client.read("SELECT StartTime, Duration, Answered, Id FROM CallLog WHERE Id < ? ORDER BY Id", 3)
    assert read == [("2026-11-20 12:01:00.123456", "60", "1", 1), ("yesterday", "long", "7", 2)]


def test_a_large_page_takes_many_packets(client: Client) -> None:
    client.server.executemany(
        "INSERT INTO CallLog (Id, Note) VALUES (?, ?)", [(n, "n" * 100) for n in range(100, 1100)]
    )
    rows = client.read("SELECT TOP (1000) Id, Note FROM CallLog WHERE Id >= ? ORDER BY Id", 100)
    assert [number for number, _ in rows] == list(range(100, 1100))


def test_a_waiting_query_holds_up_no_other_connection(client: Client) -> None:
    client.server.delay_next(SOON_S)
    with ThreadPoolExecutor() as background, closing(client.connect()) as waiting, closing(client.connect()) as other:
        slow = background.submit(waiting.execute, "SELECT 1")
        wait_until(lambda: not client.server._orders)
        started = time.monotonic()
        assert other.execute("SELECT max(Id) FROM CallLog").fetchval() == 9
        assert time.monotonic() - started < SOON_S / 2
        assert not slow.done()
        client.server.drop_connections()
        assert slow.exception(SOON_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_query_that_ran_into_its_timeout_leaves_the_connection_usable(client: Client) -> None:
    import pyodbc

    client.server.delay_next(SOON_S)
    with closing(client.connect()) as connection:
        connection.timeout = 1
        started = time.monotonic()
        with pytest.raises(pyodbc.OperationalError):
            connection.execute("SELECT Id FROM CallLog WHERE Id > ?", 1)
        assert time.monotonic() - started < SOON_S / 2
        assert connection.execute("SELECT max(Id) FROM CallLog").fetchval() == 9


def test_a_dropped_client_can_connect_again(client: Client) -> None:
    import pyodbc

    with closing(client.connect()) as connection:
        client.server.drop_connections()
        with pytest.raises(pyodbc.Error):
            connection.execute("SELECT 1").fetchall()
    assert client.read("SELECT 1") == [(1,)]


# Errors, as pyodbc raises them: what provokes each, and its class, SQLSTATE and SQL Server's own number per driver.
# FreeTDS has 42000 for nearly all of them, so that only the number in the text tells them apart.

DEADLOCK = "Transaction (Process ID 62) was deadlocked on lock resources with another process and has been chosen as"
BUSY = "The service is currently busy. Retry the request after 10 seconds."


def fail(client: Client, number: int, message: str) -> None:
    client.server.fail_next(number, message)
    client.read("SELECT Id FROM CallLog WHERE Id > ?", 1)


def time_out(client: Client) -> None:
    client.server.delay_next(SOON_S)
    with closing(client.connect()) as connection:
        connection.timeout = 1
        connection.execute("SELECT 1")


def drop(client: Client, *, after_s: float | None) -> None:
    with closing(client.connect()) as connection:
        if after_s is None:
            client.server.drop_connections()
        else:
            client.server.delay_next(SOON_S)
            threading.Timer(after_s, client.server.drop_connections).start()
        connection.execute("SELECT 1").fetchall()


def use_a_dropped_connection_again(client: Client) -> None:
    import pyodbc

    with closing(client.connect()) as connection:
        client.server.drop_connections()
        with suppress(pyodbc.Error):
            connection.execute("SELECT 1").fetchall()
        connection.execute("SELECT 1").fetchall()


Shown = tuple[str, str, int]
SQL_SERVER_ERRORS: dict[str, tuple[Callable[[Client], object], dict[str, Shown]]] = {
    "closed port": (
        lambda client: client.read("SELECT 1", Server="127.0.0.1,1", timeout=1),
        {FREETDS: ("OperationalError", "08S01", 20009), MICROSOFT: ("OperationalError", "HYT00", 0)},
    ),
    "unknown host": (
        lambda client: client.read("SELECT 1", Server="no-such-host.invalid,1433", timeout=1),
        {FREETDS: ("OperationalError", "08S01", 20009), MICROSOFT: ("OperationalError", "HYT00", 0)},
    ),
    "untrusted certificate": (
        lambda client: client.read("SELECT 1", TrustServerCertificate="no"),
        {MICROSOFT: ("OperationalError", "08001", -1)},
    ),
    "wrong password": (
        lambda client: client.read("SELECT 1", PWD="wrong"),
        {FREETDS: ("ProgrammingError", "42000", 18456), MICROSOFT: ("InterfaceError", "28000", 18456)},
    ),
    "unknown user": (
        lambda client: client.read("SELECT 1", UID="nobody"),
        {FREETDS: ("ProgrammingError", "42000", 18456), MICROSOFT: ("InterfaceError", "28000", 18456)},
    ),
    "unknown database": (
        lambda client: client.read("SELECT 1", Database="nowhere"),
        {FREETDS: ("ProgrammingError", "42000", 18456), MICROSOFT: ("ProgrammingError", "42000", 4060)},
    ),
    "missing driver": (
        lambda client: client.read("SELECT 1", Driver="{No such driver}"),
        {FREETDS: ("Error", "01000", 0), MICROSOFT: ("Error", "01000", 0)},
    ),
    "missing table": (
        lambda client: client.read("SELECT Id FROM dbo.Missing WHERE Id > ?", 1),
        {FREETDS: ("ProgrammingError", "42S02", 208), MICROSOFT: ("ProgrammingError", "42S02", 208)},
    ),
    "missing column": (
        lambda client: client.read("SELECT Missing FROM CallLog"),
        {FREETDS: ("ProgrammingError", "42S22", 207), MICROSOFT: ("ProgrammingError", "42S22", 207)},
    ),
    "permission denied": (
        lambda client: fail(client, 229, "The SELECT permission was denied on the object 'CallLog', database 'cdr'."),
        {FREETDS: ("ProgrammingError", "42000", 229), MICROSOFT: ("ProgrammingError", "42000", 229)},
    ),
    "insert denied": (
        lambda client: client.read("INSERT INTO CallLog (Id) VALUES (?)", 99),
        {FREETDS: ("ProgrammingError", "42000", 229), MICROSOFT: ("ProgrammingError", "42000", 229)},
    ),
    "deadlock victim": (
        lambda client: fail(client, mssql.DEADLOCK_VICTIM, DEADLOCK),
        {FREETDS: ("ProgrammingError", "42000", 1205), MICROSOFT: ("Error", "40001", 1205)},
    ),
    "busy, in Azure": (
        lambda client: fail(client, mssql.SERVICE_IS_BUSY, BUSY),
        {FREETDS: ("ProgrammingError", "42000", 40501), MICROSOFT: ("Error", "HY000", 40501)},
    ),
    "not available, in Azure": (
        lambda client: fail(client, mssql.DATABASE_NOT_AVAILABLE, "Database 'cdr' is not currently available."),
        {FREETDS: ("ProgrammingError", "42000", 40613), MICROSOFT: ("ProgrammingError", "42000", 40613)},
    ),
    "statement timeout": (
        time_out,
        {FREETDS: ("OperationalError", "HYT00", 0), MICROSOFT: ("OperationalError", "HYT00", 0)},
    ),
    "connection dropped between queries": (
        lambda client: drop(client, after_s=None),
        {FREETDS: ("Error", "HY000", 0), MICROSOFT: ("OperationalError", "08S01", 10054)},
    ),
    "connection dropped in the middle of a query": (
        lambda client: drop(client, after_s=0.2),
        {FREETDS: ("Error", "01000", 20017), MICROSOFT: ("OperationalError", "08S01", 10054)},
    ),
    "dropped connection used again": (
        use_a_dropped_connection_again,
        {FREETDS: ("OperationalError", "08S01", 0), MICROSOFT: ("OperationalError", "08S01", 0)},
    ),
}


@pytest.mark.parametrize("case", SQL_SERVER_ERRORS)
def test_sql_server_errors_come_through_pyodbc(client: Client, case: str) -> None:
    import pyodbc

    provoke, expected = SQL_SERVER_ERRORS[case]
    if client.driver not in expected:
        provoke(client)  # this driver sees nothing wrong
        return
    with pytest.raises(pyodbc.Error) as raised:
        provoke(client)
    sqlstate, text = raised.value.args
    native_number = int(re.search(r"\((-?\d+)\) \(SQL\w+\)", text)[1])
    assert (raised.type.__name__, sqlstate, native_number) == expected[client.driver]


# FreeTDS knows neither `Encrypt` nor `TrustServerCertificate`, and Microsoft's driver knows no `Encryption`.


@pytest.mark.parametrize(
    ("options", "encrypted"),
    [
        ({"Encrypt": "yes"}, {FREETDS: False, MICROSOFT: True}),
        ({"Encrypt": "no"}, {FREETDS: False, MICROSOFT: False}),
        ({"Encrypt": "", "Encryption": "require"}, {FREETDS: True, MICROSOFT: True}),
    ],
    ids=["Encrypt=yes", "Encrypt=no", "Encryption=require"],
)
def test_the_server_tells_whether_a_session_is_encrypted(
    client: Client, options: dict[str, str], encrypted: dict[str, bool]
) -> None:
    assert client.read("SELECT 1", **options) == [(1,)]
    assert client.server.latest_login_is_encrypted is encrypted[client.driver]


@pytest.mark.parametrize("trusts_the_server", [True, False])
def test_freetds_verifies_a_certificate_only_for_a_server_of_its_own_settings(
    odbc: Path, server: MsSql, tmp_path: Path, *, trusts_the_server: bool
) -> None:
    import pyodbc

    if missing := mssql.why_unavailable(FREETDS):
        pytest.skip(missing)
    authority = tmp_path / "server.pem"
    authority.write_bytes(server.certificate_pem)
    (odbc / "freetds.conf").write_text(
        f"[cdr]\nhost = {server.host}\nport = {server.port}\nencryption = require\n"
        f"ca file = {authority if trusts_the_server else 'system'}\n"
    )
    client = Client(FREETDS, server)
    if trusts_the_server:
        assert client.read("SELECT 1", Server="", Servername="cdr") == [(1,)]
        assert server.latest_login_is_encrypted
    else:
        with pytest.raises(pyodbc.OperationalError, match=r"08001.*Unable to connect to data source"):
            client.read("SELECT 1", Server="", Servername="cdr")


def test_microsofts_driver_accepts_the_certificate_where_the_machine_trusts_it(
    odbc: Path, server: MsSql, tmp_path: Path
) -> None:
    """In a process of its own, because OpenSSL reads its trusted certificates once."""
    if missing := mssql.why_unavailable(MICROSOFT):
        pytest.skip(missing)
    authority = tmp_path / "server.pem"
    authority.write_bytes(server.certificate_pem)
    text = (
        f"Driver={{{MICROSOFT}}};Server=localhost,{server.port};Database=cdr;UID={mssql.READER};PWD={mssql.PASSWORD};"
        "Encrypt=yes;TrustServerCertificate=no"
    )
    script = "import pyodbc, sys; print(pyodbc.connect(sys.argv[1], timeout=10).execute('SELECT 1').fetchval())"
    ran = subprocess.run(
        [sys.executable, "-c", script, text],
        env=os.environ | {"SSL_CERT_FILE": str(authority)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.stdout.strip(), ran.stderr) == ("1", "")


# SQL Server, through SQLAlchemy


SCHEMA_SQL = """
-- the site's own columns, under the names we know them by
SELECT Id AS id, CallId AS call_id, [StartTime] AS started_at, EndTime AS ended_at, Answered AS answered
FROM dbo.CallLog WITH (NOLOCK)
"""


@pytest.fixture
def cdr() -> sa.Subquery:
    columns = [
        sa.column("id", sa.BigInteger),
        sa.column("call_id", sa.Unicode),
        sa.column("started_at", sa.DateTime),
        sa.column("ended_at", sa.DateTime),
        sa.column("answered", sa.Boolean),
    ]
    return sa.text(SCHEMA_SQL).columns(*columns).subquery("cdr")


def test_a_keyset_page_through_sqlalchemy(client: Client, cdr: sa.Subquery) -> None:
    page = sa.select(cdr).where(cdr.c.id > 3, cdr.c.started_at >= NOON).order_by(cdr.c.id).limit(2)
    with client.engine().connect() as connection:
        rows = connection.execute(page).all()
    assert rows == [
        (4, "call-4", NOON.replace(minute=4), None, True),
        (5, "call-5", NOON.replace(minute=5), None, True),
    ]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (lambda cdr: sa.select(cdr.c.id).where(cdr.c.id.in_([9, 2, 77])).order_by(cdr.c.id), [(2,), (9,)]),
        (lambda cdr: sa.select(sa.func.max(cdr.c.id)), [(9,)]),
        (lambda cdr: sa.select(sa.func.max(cdr.c.id)).where(cdr.c.id < 0), [(None,)]),
        (lambda cdr: sa.select(sa.func.min(cdr.c.id)).where(cdr.c.started_at >= NOON.replace(minute=6)), [(6,)]),
        (lambda cdr: sa.select(sa.func.max(cdr.c.started_at)), [(NOON.replace(minute=9),)]),
        (lambda cdr: sa.select(sa.func.count()).select_from(cdr).where(cdr.c.ended_at.is_(None)), [(9,)]),
        (lambda cdr: sa.select(cdr.c.id).where(cdr.c.call_id == "call-8"), [(8,)]),
        (lambda cdr: sa.select(cdr.c.id).where(cdr.c.call_id == sa.bindparam("none", None, sa.Unicode)), []),
        (lambda _: sa.select(1), [(1,)]),
    ],
    ids=["in", "max", "max of none", "min from a moment", "newest moment", "count", "text", "NULL", "select 1"],
)
def test_sqlalchemy_queries_are_answered(client: Client, cdr: sa.Subquery, query: Callable, answer: list) -> None:
    with client.engine().connect() as connection:
        assert connection.execute(query(cdr)).all() == answer


def test_connecting_uses_up_no_failure_that_was_meant_for_a_query(client: Client, cdr: sa.Subquery) -> None:
    client.server.fail_next(mssql.DEADLOCK_VICTIM, DEADLOCK)
    with client.engine().connect() as connection:
        with pytest.raises(sa.exc.DBAPIError, match=r"\(1205\)"):
            connection.execute(sa.select(cdr.c.id)).all()
        assert len(connection.execute(sa.select(cdr.c.id)).all()) == 9


# The translation from SQL Server's SELECT to SQLite's


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT TOP 5 a FROM t ORDER BY a", "SELECT  a FROM t ORDER BY a LIMIT 5"),
        ("SELECT TOP (@P1) a FROM t;", "SELECT  a FROM t LIMIT @P1"),
        ("SELECT DISTINCT TOP(5) a FROM t", "SELECT DISTINCT  a FROM t LIMIT 5"),
        ("SELECT TOP 2 a FROM (SELECT TOP 3 a FROM t) AS u", "SELECT  a FROM (SELECT  a FROM t LIMIT 3) AS u LIMIT 2"),
        ("SELECT a FROM (SELECT TOP 3 f(a) FROM t) u", "SELECT a FROM (SELECT  f(a) FROM t LIMIT 3) u"),
        ("SELECT [a b] FROM [dbo].[t], cdr.dbo.u, [cdr].[dbo].v", "SELECT [a b] FROM [t], u, v"),
        ("SELECT a FROM t WITH (NOLOCK) WHERE b = N'TOP 1 ('", "SELECT a FROM t  WHERE b = 'TOP 1 ('"),
        ("SELECT a -- it's (not) TOP 9\nFROM t /* dbo. ' */", "SELECT a \nFROM t "),
        ("SELECT stop, laptop 5 FROM t", "SELECT stop, laptop 5 FROM t"),
    ],
)
def test_t_sql_is_translated_to_sqlite(sql: str, translated: str) -> None:
    assert to_sqlite(sql) == translated
