"""What the drivers raise, and which setting each of their numbers sends a person to."""

from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import pyodbc
import pytest
from sqlalchemy import exc as sa

from cdr.edges.sql import errors as sql_errors
from cdr.edges.sql.errors import (
    CERTIFICATE,
    DATABASE,
    DRIVER,
    ENCRYPTION,
    FILE,
    LOGIN,
    RIGHTS,
    SCHEMA,
    SYNTAX,
    WRITES,
    translate,
    translated,
)
from shared.errors import SourceMisconfigured, SourceUnavailable

SQL_SERVER = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
FREETDS = "[FreeTDS][SQL Server]"


def _odbc(state: str, text: str) -> pyodbc.Error:
    return pyodbc.Error(state, f"[{state}] {text}")


def _psycopg(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("the server's words")


REFUSALS = [
    pytest.param(_odbc("28000", f"{SQL_SERVER}Login failed for user 'x'. (18456)"), LOGIN, id="sqlserver-login"),
    pytest.param(_odbc("28000", f"{FREETDS}Login failed"), LOGIN, id="sqlserver-login-by-its-state"),
    pytest.param(_odbc("42000", f"{SQL_SERVER}Cannot open database. (4060)"), DATABASE, id="sqlserver-database"),
    pytest.param(
        _odbc("28000", f"{SQL_SERVER}Cannot open database. (4060) (SQLDriverConnect); Login failed. (18456)"),
        DATABASE,
        id="sqlserver-the-first-number-counts",
    ),
    pytest.param(_odbc("42000", f"{SQL_SERVER}No access to the database (916)"), DATABASE, id="sqlserver-no-user"),
    pytest.param(_odbc("42S02", f"{SQL_SERVER}Invalid object name 'CallLog'. (208)"), SCHEMA, id="sqlserver-table"),
    pytest.param(_odbc("42S22", f"{SQL_SERVER}Invalid column name 'x'. (207)"), SCHEMA, id="sqlserver-column"),
    pytest.param(_odbc("42S02", f"{FREETDS}Invalid object name"), SCHEMA, id="sqlserver-table-by-its-state"),
    pytest.param(_odbc("42000", f"{SQL_SERVER}SELECT permission was denied (229)"), RIGHTS, id="sqlserver-rights"),
    pytest.param(_odbc("42000", f"{SQL_SERVER}Incorrect syntax near 'x'. (102)"), SYNTAX, id="sqlserver-syntax"),
    pytest.param(
        _odbc("08001", f"{SQL_SERVER}SSL Provider: certificate verify failed: self signed certificate (-1)"),
        CERTIFICATE,
        id="sqlserver-certificate",
    ),
    pytest.param(_odbc("01000", "Can't open lib 'libmsodbcsql-18.so' : file not found (0)"), DRIVER, id="odbc-library"),
    pytest.param(_odbc("IM002", "Data source name not found"), DRIVER, id="odbc-driver"),
    pytest.param(pymysql.OperationalError(1045, "Access denied for user"), LOGIN, id="mysql-login"),
    pytest.param(pymysql.OperationalError(1698, "Access denied for user"), LOGIN, id="mysql-socket-login"),
    pytest.param(pymysql.OperationalError(1044, "Access denied to database"), DATABASE, id="mysql-database-rights"),
    pytest.param(pymysql.OperationalError(1049, "Unknown database 'x'"), DATABASE, id="mysql-database"),
    pytest.param(pymysql.ProgrammingError(1146, "Table doesn't exist"), SCHEMA, id="mysql-table"),
    pytest.param(pymysql.OperationalError(1054, "Unknown column"), SCHEMA, id="mysql-column"),
    pytest.param(pymysql.OperationalError(1142, "SELECT command denied"), RIGHTS, id="mysql-rights"),
    pytest.param(pymysql.ProgrammingError(1064, "You have an error"), SYNTAX, id="mysql-syntax"),
    pytest.param(pymysql.OperationalError(1792, "READ ONLY transaction"), WRITES, id="mysql-writes"),
    pytest.param(
        pymysql.OperationalError(2003, "Can't connect: certificate verify failed"),
        CERTIFICATE,
        id="mysql-certificate",
    ),
    pytest.param(_psycopg("42P01"), SCHEMA, id="postgresql-table"),
    pytest.param(_psycopg("42703"), SCHEMA, id="postgresql-column"),
    pytest.param(_psycopg("42501"), RIGHTS, id="postgresql-rights"),
    pytest.param(_psycopg("42601"), SYNTAX, id="postgresql-syntax"),
    pytest.param(_psycopg("42883"), SYNTAX, id="postgresql-function"),
    pytest.param(
        psycopg.OperationalError("server does not support SSL, but SSL was required"),
        ENCRYPTION,
        id="postgresql-encryption",
    ),
    pytest.param(_psycopg("25006"), WRITES, id="postgresql-writes"),
    pytest.param(_psycopg("3D000"), DATABASE, id="postgresql-database"),
    pytest.param(psycopg.OperationalError('password authentication failed for user "x"'), LOGIN, id="postgresql-login"),
    pytest.param(psycopg.OperationalError('database "x" does not exist'), DATABASE, id="postgresql-no-database"),
    pytest.param(sqlite3.OperationalError("no such table: CallLog"), SCHEMA, id="sqlite-table"),
    pytest.param(sqlite3.OperationalError("no such column: x"), SCHEMA, id="sqlite-column"),
    pytest.param(sqlite3.OperationalError('near "FORM": syntax error'), SYNTAX, id="sqlite-syntax"),
    pytest.param(sqlite3.OperationalError("unable to open database file"), FILE, id="sqlite-file"),
    pytest.param(sqlite3.DatabaseError("file is not a database"), FILE, id="sqlite-no-database"),
    pytest.param(sqlite3.OperationalError("attempt to write a readonly database"), WRITES, id="sqlite-writes"),
]


@pytest.mark.parametrize(("error", "hint"), REFUSALS)
def test_a_refusal_names_the_setting_to_look_at(error: Exception, hint: str) -> None:
    translated_error = translate(error)
    assert type(translated_error) is SourceMisconfigured
    assert str(translated_error).startswith(hint.format(database="3cx.cdr_database", select="3cx.schema"))


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(_odbc("40001", f"{SQL_SERVER}deadlock victim (1205)"), id="sqlserver-deadlock"),
        pytest.param(_odbc("HYT00", f"{SQL_SERVER}Query timeout expired (0)"), id="sqlserver-query-timeout"),
        pytest.param(_odbc("08S01", f"{SQL_SERVER}Communication link failure (10054)"), id="sqlserver-lost"),
        pytest.param(_odbc("08001", f"{FREETDS}Unable to connect to data source (0)"), id="sqlserver-unreachable"),
        pytest.param(pyodbc.Error(), id="sqlserver-without-words"),
        pytest.param(pymysql.OperationalError(2003, "Can't connect to MySQL server"), id="mysql-unreachable"),
        pytest.param(pymysql.OperationalError(2013, "Lost connection"), id="mysql-lost"),
        pytest.param(pymysql.OperationalError(1205, "Lock wait timeout exceeded"), id="mysql-lock"),
        pytest.param(pymysql.OperationalError(1969, "max_statement_time exceeded"), id="mariadb-timeout"),
        pytest.param(pymysql.OperationalError(3024, "maximum statement execution time exceeded"), id="mysql-timeout"),
        pytest.param(pymysql.InterfaceError("(0, '')"), id="mysql-without-a-number"),
        pytest.param(_psycopg("57014"), id="postgresql-timeout"),
        pytest.param(_psycopg("40P01"), id="postgresql-deadlock"),
        pytest.param(psycopg.OperationalError("connection refused"), id="postgresql-unreachable"),
        pytest.param(sqlite3.OperationalError("interrupted"), id="sqlite-timeout"),
        pytest.param(sqlite3.OperationalError("database is locked"), id="sqlite-locked"),
        pytest.param(TimeoutError(), id="nobody-s"),
    ],
)
def test_what_may_pass_is_worth_another_try(error: Exception) -> None:
    assert type(translate(error)) is SourceUnavailable


def test_the_words_of_the_driver_are_one_short_line() -> None:
    error = translate(pymysql.OperationalError(2013, "Lost\n\t connection\r\n" + "x" * 10_000))
    assert "\n" not in str(error)
    assert "Lost connection x" in str(error).replace("\\n\\t", "").replace("\\r\\n", " ")
    assert len(str(error)) < 400


def test_another_database_is_named_by_its_own_settings() -> None:
    error = translate(sqlite3.OperationalError("no such table: x"), "a.database", "a.select")
    assert str(error).startswith("check a.select: ")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        pytest.param(
            sa.OperationalError("SELECT 1", {}, pymysql.OperationalError(1045, "no")),
            SourceMisconfigured,
            id="a-driver's",
        ),
        pytest.param(sa.NoSuchModuleError("no such dialect"), SourceUnavailable, id="sqlalchemy's-own"),
        pytest.param(ConnectionResetError("reset"), SourceUnavailable, id="the-system's"),
    ],
)
def test_whatever_the_database_raises_becomes_ours_with_its_cause(raised: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, translated():
        raise raised
    assert caught.value.__cause__ is raised


def test_a_defect_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError


def test_every_hint_has_an_error_that_leads_to_it() -> None:
    hints = {value for name, value in vars(sql_errors).items() if name.isupper() and isinstance(value, str)}
    assert {case.values[1] for case in REFUSALS} == hints
