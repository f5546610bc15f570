"""What the drivers raise, and which setting each of their numbers sends a person to.

What real servers and files can be made to say is in tests/contract/test_database_failures.py.
"""

from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import pyodbc
import pytest
from sqlalchemy import exc as sa

from cdr.edges.sql import errors
from cdr.edges.sql.errors import translate, translated
from shared.errors import SourceMisconfigured, SourceUnavailable

SQL_SERVER = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
FREETDS = "[FreeTDS][SQL Server]"


def _odbc(state: str, text: str) -> pyodbc.Error:
    return pyodbc.Error(state, f"[{state}] {text}")


def _mysql(number: int, text: str = "the server's words") -> pymysql.Error:
    return pymysql.OperationalError(number, text)


def _psycopg(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("the server's words")


REFUSALS: dict[str, tuple[Exception, str]] = {
    "sqlserver login": (_odbc("28000", f"{SQL_SERVER}Login failed for user 'x'. (18456)"), errors.LOGIN),
    "sqlserver login, by its state": (_odbc("28000", f"{FREETDS}Login failed"), errors.LOGIN),
    "sqlserver database": (_odbc("42000", f"{SQL_SERVER}Cannot open database. (4060)"), errors.DATABASE),
    "sqlserver, the first number counts": (
        _odbc("28000", f"{SQL_SERVER}Cannot open database. (4060) (SQLDriverConnect); Login failed. (18456)"),
        errors.DATABASE,
    ),
    "sqlserver, no user of the database": (_odbc("42000", f"{SQL_SERVER}No access (916)"), errors.DATABASE),
    "sqlserver table": (_odbc("42S02", f"{SQL_SERVER}Invalid object name 'CallLog'. (208)"), errors.SCHEMA),
    "sqlserver column": (_odbc("42S22", f"{SQL_SERVER}Invalid column name 'x'. (207)"), errors.SCHEMA),
    "sqlserver table, by its state": (_odbc("42S02", f"{FREETDS}Invalid object name"), errors.SCHEMA),
    "sqlserver rights": (_odbc("42000", f"{SQL_SERVER}SELECT permission was denied (229)"), errors.RIGHTS),
    "sqlserver syntax": (_odbc("42000", f"{SQL_SERVER}Incorrect syntax near 'x'. (102)"), errors.SYNTAX),
    "sqlserver certificate": (
        _odbc("08001", f"{SQL_SERVER}SSL Provider: certificate verify failed: self signed certificate (-1)"),
        errors.CERTIFICATE,
    ),
    "odbc library": (_odbc("01000", "Can't open lib 'libmsodbcsql-18.so' : file not found (0)"), errors.DRIVER),
    "odbc driver": (_odbc("IM002", "Data source name not found"), errors.DRIVER),
    "mysql login by socket": (_mysql(1698), errors.LOGIN),
    "mysql rights on the database": (_mysql(1044), errors.DATABASE),
    "mysql writes": (_mysql(1792), errors.WRITES),
    "postgresql writes": (_psycopg("25006"), errors.WRITES),
    "postgresql database": (_psycopg("3D000"), errors.DATABASE),
    "postgresql login": (psycopg.OperationalError('password authentication failed for user "x"'), errors.LOGIN),
    "postgresql no database": (psycopg.OperationalError('database "x" does not exist'), errors.DATABASE),
    "postgresql encryption": (psycopg.OperationalError("server does not support SSL, but it was"), errors.ENCRYPTION),
    "sqlite file": (sqlite3.OperationalError("unable to open database file"), errors.FILE),
    "sqlite no database": (sqlite3.DatabaseError("file is not a database"), errors.FILE),
    "sqlite writes": (sqlite3.OperationalError("attempt to write a readonly database"), errors.WRITES),
}


@pytest.mark.parametrize(("error", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_the_setting_to_look_at(error: Exception, hint: str) -> None:
    refusal = translate(error)
    assert type(refusal) is SourceMisconfigured
    assert str(refusal).startswith(hint.format(database="3cx.cdr_database", select="3cx.schema"))


def test_every_hint_has_an_error_that_leads_to_it() -> None:
    hints = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)}
    assert {hint for _, hint in REFUSALS.values()} == hints


PASSING: dict[str, Exception] = {
    "sqlserver query timeout": _odbc("HYT00", f"{SQL_SERVER}Query timeout expired (0)"),
    "sqlserver lost": _odbc("08S01", f"{SQL_SERVER}Communication link failure (10054)"),
    "sqlserver unreachable": _odbc("08001", f"{FREETDS}Unable to connect to data source (0)"),
    "sqlserver without words": pyodbc.Error(),
    "mysql lock": _mysql(1205),
    "mariadb timeout": _mysql(1969),
    "mysql timeout": _mysql(3024),
    "mysql without a number": pymysql.InterfaceError("(0, '')"),
    "postgresql timeout": _psycopg("57014"),
    "postgresql deadlock": _psycopg("40P01"),
    "nobody's": TimeoutError(),
}


@pytest.mark.parametrize("error", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_worth_another_try(error: Exception) -> None:
    assert type(translate(error)) is SourceUnavailable


def test_the_words_of_the_driver_are_one_short_line_without_numbers() -> None:
    said = str(translate(psycopg.OperationalError("Lost\n\t +1 907 555 0142\r\n" + "x" * 10_000)))
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
    ],
    ids=["a driver's", "sqlalchemy's own", "the system's"],
)
def test_whatever_the_database_raises_becomes_ours_with_its_cause(raised: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, translated():
        raise raised
    assert caught.value.__cause__ is raised


def test_a_defect_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError
