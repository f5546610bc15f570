"""What the drivers raise, and which setting each of their numbers sends a person to.

What real servers and files can be made to say is in tests/contract/test_database_failures.py.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import traceback
from importlib.abc import MetaPathFinder
from typing import Any

import psycopg
import pymysql
import pyodbc
import pytest
from pydantic import SecretStr
from sqlalchemy import exc as sa

from cdr.edges.sql import hints
from cdr.edges.sql.connections import Connections
from cdr.edges.sql.errors import Unconvertible, translate, translated, translated_connecting
from shared.config.phone_system import CdrDatabase, Engine
from shared.errors import SourceMisconfigured, SourceUnavailable, SourceVanished

SETTINGS = ("3cx.cdr_database", "3cx.schema")

SQL_SERVER = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
FREETDS = "[FreeTDS][SQL Server]"


def _odbc(state: str, text: str) -> pyodbc.Error:
    return pyodbc.Error(state, f"[{state}] {text}")


def _mysql(number: int, text: str = "the server's words") -> pymysql.Error:
    return pymysql.OperationalError(number, text)


def _psycopg(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("the server's words")


NO_PQ = """no pq wrapper available.
Attempts made:
- couldn't import psycopg 'c' implementation: No module named 'psycopg_c'
- couldn't import psycopg 'binary' implementation: No module named 'psycopg_binary'
- couldn't import psycopg 'python' implementation: libpq library not found"""
NO_ODBC = "libodbc.so.2: cannot open shared object file: No such file or directory"

REFUSALS: dict[str, tuple[Exception, str]] = {
    "sqlserver login": (_odbc("28000", f"{SQL_SERVER}Login failed for user 'x'. (18456)"), hints.LOGIN),
    "sqlserver login, by its state": (_odbc("28000", f"{FREETDS}Login failed"), hints.LOGIN),
    "sqlserver database": (_odbc("42000", f"{SQL_SERVER}Cannot open database. (4060)"), hints.DATABASE),
    "sqlserver, the first number counts": (
        _odbc("28000", f"{SQL_SERVER}Cannot open database. (4060) (SQLDriverConnect); Login failed. (18456)"),
        hints.DATABASE,
    ),
    "sqlserver, no user of the database": (_odbc("42000", f"{SQL_SERVER}No access (916)"), hints.DATABASE),
    "sqlserver table": (_odbc("42S02", f"{SQL_SERVER}Invalid object name 'CallLog'. (208)"), hints.SCHEMA),
    "sqlserver column": (_odbc("42S22", f"{SQL_SERVER}Invalid column name 'x'. (207)"), hints.SCHEMA),
    "sqlserver table, by its state": (_odbc("42S02", f"{FREETDS}Invalid object name"), hints.SCHEMA),
    "sqlserver rights": (_odbc("42000", f"{SQL_SERVER}SELECT permission was denied (229)"), hints.RIGHTS),
    "sqlserver syntax": (_odbc("42000", f"{SQL_SERVER}Incorrect syntax near 'x'. (102)"), hints.SYNTAX),
    "sqlserver certificate": (
        _odbc("08001", f"{SQL_SERVER}SSL Provider: certificate verify failed: self signed certificate (-1)"),
        hints.CERTIFICATE,
    ),
    "odbc library": (_odbc("01000", "Can't open lib 'libmsodbcsql-18.so' : file not found (0)"), hints.DRIVER),
    "odbc driver": (_odbc("IM002", "Data source name not found"), hints.DRIVER),
    "mysql login by socket": (_mysql(1698), hints.LOGIN),
    "mysql rights on the database": (_mysql(1044), hints.DATABASE),
    "mysql writes": (_mysql(1792), hints.WRITES),
    "postgresql compares": (_psycopg("42883"), hints.COMPARED),
    "postgresql writes": (_psycopg("25006"), hints.WRITES),
    "postgresql database": (_psycopg("3D000"), hints.DATABASE),
    "postgresql login": (psycopg.OperationalError('password authentication failed for user "x"'), hints.LOGIN),
    "postgresql no database": (psycopg.OperationalError('database "x" does not exist'), hints.DATABASE),
    "postgresql encryption": (psycopg.OperationalError("server does not support SSL, but it was"), hints.ENCRYPTION),
    "sqlite file": (sqlite3.OperationalError("unable to open database file"), hints.FILE),
    "sqlite no database": (sqlite3.DatabaseError("file is not a database"), hints.FILE),
    "sqlserver password expired": (_odbc("42000", f"{SQL_SERVER}The password has expired. (18487)"), hints.EXPIRED),
    "sqlserver locked out": (_odbc("42000", f"{SQL_SERVER}The account is currently locked out. (18486)"), hints.BARRED),
    "sqlserver logon trigger": (_odbc("28000", f"{SQL_SERVER}Login failed due to trigger (17892)"), hints.BARRED),
    "sqlserver private": (_odbc("42000", f"{SQL_SERVER}Deny Public Network Access is on (47073)"), hints.FIREWALL),
    "sqlserver firewall": (_odbc("42000", f"{SQL_SERVER}not allowed to access the server (40615)"), hints.FIREWALL),
    "sqlserver ambiguous": (_odbc("42000", f"{SQL_SERVER}Ambiguous column name 'Id'. (209)"), hints.SYNTAX),
    "sqlserver not bound": (_odbc("42000", f"{FREETDS}identifier could not be bound. (4104)"), hints.SCHEMA),
    "sqlserver no name": (_odbc("42000", f"{FREETDS}No column name was specified (8155)"), hints.SYNTAX),
    "sqlserver function": (_odbc("42000", f"{SQL_SERVER}not a recognized function name. (195)"), hints.SYNTAX),
    "sqlserver with": (_odbc("42000", f"{SQL_SERVER}Incorrect syntax near the keyword 'with'. (319)"), hints.SYNTAX),
    "sqlserver, whatever it is": (_odbc("42000", f"{SQL_SERVER}Never heard of (99999)"), hints.SYNTAX),
    "sqlserver, a column named so": (_odbc("42S22", f"{SQL_SERVER}Invalid column 'certificate'. (207)"), hints.SCHEMA),
    "sqlserver doubled": (_odbc("42000", f"{SQL_SERVER}The column 'id' was specified (8156)"), hints.SYNTAX),
    "mysql ambiguous": (_mysql(1052), hints.SYNTAX),
    "sqlite ambiguous": (sqlite3.OperationalError("ambiguous column name: id"), hints.SYNTAX),
    "mysql view without its table": (_mysql(1356), hints.SCHEMA),
    "mysql view without its owner": (_mysql(1449), hints.RIGHTS),
    "mysql password expired": (_mysql(1862), hints.EXPIRED),
    "mysql host": (_mysql(1130), hints.BARRED),
    "mysql wants encryption": (_mysql(3159), hints.ENCRYPTION),
    "sqlite token": (sqlite3.OperationalError('unrecognized token: "#"'), hints.SYNTAX),
    "sqlite NUL": (sqlite3.ProgrammingError("the query contains a null character"), hints.SYNTAX),
    "sqlite writes": (sqlite3.OperationalError("attempt to write a readonly database"), hints.WRITES),
    "no package": (ModuleNotFoundError("No module named 'pyodbc'"), hints.PACKAGES),
    "no libpq": (ImportError(NO_PQ), hints.LIBPQ),
    "no unixODBC": (ImportError(NO_ODBC), hints.UNIXODBC),
    "another unixODBC": (ImportError("pyodbc.so: undefined symbol: SQLCancelHandle"), hints.OTHER_LIBRARY),
    "another version": (ImportError("libodbc.so.2: version `ODBC_3' not found"), hints.OTHER_LIBRARY),
    "an older system": (ImportError("libc.so.6: version `GLIBC_2.38' not found (libodbc.so.2)"), hints.OTHER_LIBRARY),
    "another machine's": (ImportError("libodbc.so.2: wrong ELF class: ELFCLASS32"), hints.OTHER_LIBRARY),
    "some library": (ImportError("DLL load failed while importing _psycopg"), hints.LIBRARY),
}


@pytest.mark.parametrize(("error", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_the_setting_to_look_at(error: Exception, hint: str) -> None:
    refusal = translate(error, *SETTINGS)
    assert type(refusal) is (SourceVanished if hint == hints.SCHEMA else SourceMisconfigured)
    assert str(refusal).startswith(hint.format(database="3cx.cdr_database", select="3cx.schema"))


def test_every_hint_has_an_error_that_leads_to_it() -> None:
    known = {value for name, value in vars(hints).items() if name.isupper() and isinstance(value, str)}
    assert {hint for _, hint in REFUSALS.values()} | {hints.LOCKED, *hints.CONVERSIONS} == known


CONVERSIONS: dict[str, Exception] = {
    "sqlserver date": _odbc("22007", f"{SQL_SERVER}Conversion failed when converting date and/or time (241)"),
    "sqlserver number": _odbc("42000", f"{FREETDS}Conversion failed when converting the nvarchar value (245)"),
    "sqlserver, by its state": _odbc("22018", f"{SQL_SERVER}Invalid character value for cast specification (0)"),
    "mysql": _mysql(1292),
    "postgresql": _psycopg("22007"),
    "psycopg's own": psycopg.DataError("timestamp too large (after year 10K): 'infinity'"),
    "sqlite": sqlite3.OperationalError("malformed JSON"),
    "sqlserver subquery": _odbc("21000", f"{SQL_SERVER}Subquery returned more than 1 value. (512)"),
    "mysql subquery": _mysql(1242),
    "postgresql subquery": _psycopg("21000"),
}


@pytest.mark.parametrize("error", CONVERSIONS.values(), ids=CONVERSIONS)
def test_a_value_that_cannot_be_converted_is_one_rows_affair(error: Exception) -> None:
    assert type(translate(error, *SETTINGS)) is Unconvertible


LOCKS = {
    "sqlserver": _odbc("42000", f"{SQL_SERVER}Lock request time out period exceeded. (1222)"),
    "mysql": _mysql(1205),
    "postgresql": _psycopg("55P03"),
    "sqlite": sqlite3.OperationalError("database is locked"),
}


@pytest.mark.parametrize("error", LOCKS.values(), ids=LOCKS)
def test_locks_are_named_and_may_pass(error: Exception) -> None:
    failure = translate(error, *SETTINGS)
    assert type(failure) is SourceUnavailable
    assert str(failure).startswith("3cx.cdr_database cannot be read now: another transaction holds locks")


PASSING: dict[str, Exception] = {
    "sqlserver busy": _odbc("42000", f"{SQL_SERVER}The service is currently busy. (40501)"),
    "sqlserver database offline": _odbc("42000", f"{SQL_SERVER}Database 'x' cannot be opened: it is offline. (942)"),
    "sqlserver without memory or disk": _odbc("42000", f"{SQL_SERVER}Database 'x' cannot be opened (945)"),
    "sqlserver shutting down": _odbc("42000", f"{SQL_SERVER}SHUTDOWN is in progress. (6005)"),
    "sqlserver log not available": _odbc("42000", f"{SQL_SERVER}The log for database 'x' is not available. (9001)"),
    "sqlserver log full": _odbc("42000", f"{SQL_SERVER}The transaction log for database 'x' is full (9002)"),
    "sqlserver disk full": _odbc("42000", f"{SQL_SERVER}Could not allocate a new page for 'TEMPDB' (1101)"),
    "sqlserver disk failing": _odbc("42000", f"{SQL_SERVER}The operating system returned an error (823)"),
    "sqlserver in other hands": _odbc("28000", f"{SQL_SERVER}Login failed. Server is in single user mode. (18461)"),
    "sqlserver paused": _odbc("42000", f"{SQL_SERVER}SQL Server service has been paused. (17142)"),
    "sqlserver being upgraded": _odbc("42000", f"{SQL_SERVER}Server is in script upgrade mode. (18401)"),
    "sqlserver stopping": _odbc("42000", f"{SQL_SERVER}SQL Server is shutting down. (18451)"),
    "sqlserver query timeout": _odbc("HYT00", f"{SQL_SERVER}Query timeout expired (0)"),
    "sqlserver lost": _odbc("08S01", f"{SQL_SERVER}Communication link failure (10054)"),
    "sqlserver unreachable": _odbc("08001", f"{FREETDS}Unable to connect to data source (0)"),
    "sqlserver without words": pyodbc.Error(),
    "mariadb timeout": _mysql(1969),
    "mysql timeout": _mysql(3024),
    "mysql without a number": pymysql.InterfaceError("(0, '')"),
    "postgresql timeout": _psycopg("57014"),
    "postgresql deadlock": _psycopg("40P01"),
    "nobody's": TimeoutError(),
}


@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_worth_another_try(error: Exception) -> None:
    assert type(translate(error, *SETTINGS)) is SourceUnavailable


def test_the_words_of_the_driver_are_one_short_line_without_numbers() -> None:
    said = str(translate(psycopg.OperationalError("Lost\n\t +1 907 555 0142\r\n" + "x" * 10_000), *SETTINGS))
    assert said.startswith("the database cannot be reached or took too long; check 3cx.cdr_database (Lost ***42 xxx")
    assert len(said) < 400


def test_another_database_is_named_by_its_own_settings() -> None:
    error = translate(sqlite3.OperationalError("no such table: x"), "a.database", "a.select")
    assert str(error).startswith("check a.select: ")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (sa.OperationalError("SELECT 1", {}, _mysql(1045)), SourceMisconfigured),
        (sa.NoSuchModuleError("no such dialect"), SourceUnavailable),
        (ConnectionResetError("reset"), SourceUnavailable),
        (b"\xff".decode, Unconvertible),
        (lambda: int("9" * 5_000), Unconvertible),
        (NotImplementedError("can't parse timestamptz with DateStyle 'German, DMY'"), Unconvertible),
        (OverflowError("date value out of range"), Unconvertible),
        (MemoryError("too much"), SourceUnavailable),
    ],
    ids=["a driver's", "sqlalchemy's own", "the system's", "a text's", "a number's", "a style's", "a date's", "others"],
)
def test_whatever_the_database_raises_becomes_ours_with_its_cause(raised: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, translated(*SETTINGS):
        _raise(raised)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None


def _raise(what: Any) -> None:
    if isinstance(what, Exception):
        raise what
    what()


def test_what_is_ours_already_passes() -> None:
    with pytest.raises(SourceMisconfigured, match=r"^a person must act$"), translated(*SETTINGS):
        raise SourceMisconfigured("a person must act")


def test_what_a_driver_raises_over_a_password_does_not_show_it() -> None:
    with pytest.raises(SourceMisconfigured) as caught, translated_connecting(*SETTINGS):
        "secret-€".encode("latin-1")
    shown = "".join(traceback.format_exception(caught.value))
    assert "3cx.cdr_database.host, username, password" in str(caught.value)
    assert "€" not in shown.split("Traceback")[-1]
    assert caught.value.__suppress_context__


class Unloadable(MetaPathFinder):
    """Fails as the system's loader does, when a driver is imported."""

    def __init__(self, driver: str, error: ImportError) -> None:
        self._driver = driver
        self._error = error

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._driver:
            raise self._error


@pytest.mark.parametrize(
    ("engine", "driver", "error", "hint"),
    [
        ("sqlserver", "pyodbc", ImportError(NO_ODBC), hints.UNIXODBC),
        ("sqlserver", "pyodbc", ModuleNotFoundError("No module named 'pyodbc'"), hints.PACKAGES),
        ("postgresql", "psycopg", ImportError(NO_PQ), hints.LIBPQ),
        ("mysql", "pymysql", ModuleNotFoundError("No module named 'pymysql'"), hints.PACKAGES),
    ],
)
def test_a_database_whose_driver_cannot_be_imported_is_misconfigured(
    engine: Engine, driver: str, error: ImportError, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ImportError gets out, which would be a failed function and nothing in /health."""
    for name in [name for name in sys.modules if name.partition(".")[0] == driver]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Unloadable(driver, error), *sys.meta_path])
    database = CdrDatabase(engine=engine, host="pbx", database="cdr", username="reader", password=SecretStr("x"))
    said = re.escape(hint.format(database="3cx.cdr_database"))
    with pytest.raises(SourceMisconfigured, match=said), Connections(database, "3cx.schema").open():
        pass
