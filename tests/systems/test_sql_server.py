"""The stand-in for SQL Server does what the contract suites rely on, and each error looks the way a driver shows it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.support.requirements import need
from tests.support.waiting import wait_until
from tests.systems import mssql
from tests.systems.mssql import MsSql
from tests.systems.odbc import FREETDS
from tests.systems.tsql import to_sqlite

LONG_S = 60.0
NOON = datetime(2026, 11, 20, 12, 0, 0, 123456)  # noqa: DTZ001 - the database holds naive moments


@pytest.fixture(scope="module", autouse=True)
def odbc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mssql.odbc_environment(tmp_path_factory.mktemp("odbc")).items():
            patch.setenv(name, value)
        yield


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

    def connect(self, **changes: str) -> Any:
        import pyodbc

        settings = {
            "Driver": f"{{{self.driver}}}",
            "Server": f"{self.server.host},{self.server.port}",
            "Database": mssql.DATABASE,
            "UID": mssql.READER,
            "PWD": mssql.PASSWORD,
            "TrustServerCertificate": "yes",
        } | changes
        text = ";".join(f"{name}={value}" for name, value in settings.items())
        return pyodbc.connect(text, timeout=5, autocommit=True)

    def read(self, sql: str, *parameters: object, **changes: str) -> list[tuple[Any, ...]]:
        with closing(self.connect(**changes)) as connection:
            return [tuple(row) for row in connection.execute(sql, *parameters).fetchall()]


@pytest.fixture(params=mssql.DRIVER_NAMES)
def client(request: pytest.FixtureRequest, server: MsSql) -> Client:
    need(mssql.why_unavailable(request.param))
    return Client(request.param, server)


@pytest.mark.parametrize(
    ("condition", "parameter", "found"),
    [
        ("CallId = ?", "call-3", [3]),
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
    page = "SELECT TOP 2 Id FROM CallLog WHERE Id > ? ORDER BY Id"
    with closing(client.connect()) as connection, closing(connection.cursor()) as cursor:
        pages = [cursor.execute(page, last).fetchall() for last in (0, 4)]
    assert [[row[0] for row in page] for page in pages] == [[1, 2], [5, 6]]


def test_columns_have_their_declared_types_even_on_an_empty_page(client: Client) -> None:
    with closing(client.connect()) as connection:
        columns = connection.execute("SELECT * FROM (SELECT * FROM CallLog) AS cdr WHERE Id > ?", 1000).description
    types = {name: kind for name, kind, *_ in columns}
    whole = dict.fromkeys(("Id", "Duration"), int) | dict.fromkeys(("CallId", "Note"), str)
    assert types == whole | {"StartTime": datetime, "EndTime": datetime, "Answered": bool}
    assert {name: digits for name, *_, digits, _ in columns if digits} == {"StartTime": 7, "EndTime": 3}


def test_a_cell_that_does_not_fit_its_type_makes_its_whole_column_text_and_datetime_rounds(client: Client) -> None:
    client.server.execute("UPDATE CallLog SET StartTime = 'yesterday', Duration = 'long', Answered = 7 WHERE Id = 2")
    client.server.execute("UPDATE CallLog SET EndTime = '2026-01-01 23:59:59.999999'")
    read = client.read("SELECT StartTime, Duration, Answered, EndTime FROM CallLog WHERE Id < ? ORDER BY Id", 3)
    midnight = datetime(2026, 1, 2)  # noqa: DTZ001 - as above
    assert read == [("2026-11-20 12:01:00.123456", "60", "1", midnight), ("yesterday", "long", "7", midnight)]


def test_a_waiting_query_holds_up_no_other_connection_and_ends_with_its_own(client: Client) -> None:
    client.server.delay_next(LONG_S)
    with ThreadPoolExecutor() as background, closing(client.connect()) as waiting:
        slow = background.submit(waiting.execute, "SELECT 1")
        wait_until(lambda: client.server.is_through)
        assert client.read("SELECT max(Id) FROM CallLog") == [(9,)]
        assert not slow.done()
        client.server.drop_connections()
        assert slow.exception(LONG_S / 2)


# Errors, as pyodbc raises them: class and SQLSTATE by Microsoft's driver. FreeTDS has 42000 for nearly all of them, so
# that only SQL Server's own number in the text tells them apart.
OF_MICROSOFT = {
    208: ("ProgrammingError", "42S02"),
    207: ("ProgrammingError", "42S22"),
    mssql.PERMISSION_DENIED: ("ProgrammingError", "42000"),
    mssql.DEADLOCK_VICTIM: ("Error", "40001"),
    mssql.SERVICE_IS_BUSY: ("Error", "HY000"),
    mssql.DATABASE_NOT_AVAILABLE: ("ProgrammingError", "42000"),
    18456: ("InterfaceError", "28000"),
    4060: ("ProgrammingError", "42000"),
}
OF_FREETDS = dict.fromkeys(OF_MICROSOFT, ("ProgrammingError", "42000")) | {n: OF_MICROSOFT[n] for n in (208, 207)}


def shows(client: Client, number: int, sql: str = "SELECT Id FROM CallLog", **changes: str) -> bool:
    import pyodbc

    with pytest.raises(pyodbc.Error) as raised:
        client.read(sql, **changes)
    state, text = raised.value.args
    of_driver = OF_FREETDS if client.driver == FREETDS else OF_MICROSOFT
    return (raised.type.__name__, state) == of_driver[number] and f"({number})" in text


def test_what_is_wrong_with_a_query_or_a_login_has_its_number(client: Client) -> None:
    assert shows(client, 208, "SELECT Id FROM dbo.Missing")
    assert shows(client, 207, "SELECT Missing FROM CallLog")
    assert shows(client, mssql.PERMISSION_DENIED, "INSERT INTO CallLog (Id) VALUES (9)")
    assert shows(client, 18456, PWD="wrong")
    assert shows(client, 18456, UID="nobody")
    # Of the two that an unknown database gets, each driver shows another.
    assert shows(client, 18456 if client.driver == FREETDS else 4060, Database="nowhere")


def test_an_error_that_a_test_asks_for_is_the_next_querys_and_no_connections(client: Client) -> None:
    for number in (mssql.DEADLOCK_VICTIM, mssql.SERVICE_IS_BUSY, mssql.DATABASE_NOT_AVAILABLE):
        client.server.fail_next(number, "The server's words.")
        assert shows(client, number)
        assert client.read("SELECT max(Id) FROM CallLog") == [(9,)]


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT TOP 5 a FROM t ORDER BY a", "SELECT  a FROM t ORDER BY a LIMIT 5"),
        ("SELECT TOP (@P1) a FROM t;", "SELECT  a FROM t LIMIT @P1"),
        ("SELECT DISTINCT TOP(5) stop, laptop 5 FROM t", "SELECT DISTINCT  stop, laptop 5 FROM t LIMIT 5"),
        ("SELECT TOP 2 a FROM (SELECT TOP 3 a FROM t) AS u", "SELECT  a FROM (SELECT  a FROM t LIMIT 3) AS u LIMIT 2"),
        ("SELECT a FROM (SELECT TOP 3 f(a) FROM t) u", "SELECT a FROM (SELECT  f(a) FROM t LIMIT 3) u"),
        ("SELECT [a b] FROM [dbo].[t], cdr.dbo.u, [cdr].[dbo].v", "SELECT [a b] FROM [t], u, v"),
        ("SELECT a FROM t WITH (NOLOCK) WHERE b = N'TOP 1 ('", "SELECT a FROM t  WHERE b = 'TOP 1 ('"),
        ("SELECT a -- it's (not) TOP 9\nFROM t /* dbo. ' */", "SELECT a \nFROM t "),
    ],
)
def test_t_sql_is_translated_to_sqlite(sql: str, translated: str) -> None:
    assert to_sqlite(sql) == translated
