"""Translates what the database drivers raise, once: each known number becomes the setting to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import exc as sa

from shared import log
from shared.errors import SourceMisconfigured, SourceUnavailable

# What to look at: {database} and {select} are the settings that name the database and its SELECT.
LOGIN = "check {database}.username and password, and that the login may open {database}.database"
DATABASE = "check {database}.database, and that the login may open it"
SCHEMA = "check {select}: the SELECT asks for a table or column that is not there"
RIGHTS = "the login may not read what {select} asks for; grant it SELECT"
WRITES = "check {select}: its SELECT would write, and nothing is ever written here"
SYNTAX = "check {select}: the database does not understand the SELECT"
CERTIFICATE = "the server's certificate cannot be verified: check {database}.trust_server_certificate and encrypt"
ENCRYPTION = "the server offers no encryption: check {database}.encrypt"
DRIVER = "the ODBC driver for SQL Server cannot be loaded; install Microsoft's ODBC driver or FreeTDS"
FILE = "check {database}.database: the file cannot be opened as an SQLite database"

# SQL Server: its own numbers stand in brackets in the text; ODBC's states come first.
SQLSERVER_NUMBERS: Mapping[str, str] = {
    "18456": LOGIN,
    "4060": DATABASE,
    "916": DATABASE,
    "208": SCHEMA,
    "207": SCHEMA,
    "229": RIGHTS,
    "230": RIGHTS,
    "102": SYNTAX,
    "156": SYNTAX,
    "1033": SYNTAX,
}
ODBC_STATES: Mapping[str, str] = {
    "28000": LOGIN,
    "42S02": SCHEMA,
    "42S22": SCHEMA,
    "IM002": DRIVER,
    "IM003": DRIVER,
}
MYSQL_NUMBERS: Mapping[int, str] = {
    1045: LOGIN,
    1698: LOGIN,
    1044: DATABASE,
    1049: DATABASE,
    1146: SCHEMA,
    1054: SCHEMA,
    1142: RIGHTS,
    1143: RIGHTS,
    1064: SYNTAX,
    1792: WRITES,
}
POSTGRESQL_STATES: Mapping[str, str] = {
    "28P01": LOGIN,
    "28000": LOGIN,
    "3D000": DATABASE,
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "42501": RIGHTS,
    "42601": SYNTAX,
    "25006": WRITES,
}
POSTGRESQL_WORDS: Mapping[str, str] = {
    "password authentication failed": LOGIN,
    "no pg_hba.conf entry": LOGIN,
    "does not exist": DATABASE,
    "server does not support SSL": ENCRYPTION,
}
SQLITE_WORDS: Mapping[str, str] = {
    "no such table": SCHEMA,
    "no such column": SCHEMA,
    "syntax error": SYNTAX,
    "unable to open": FILE,
    "not a database": FILE,
    "readonly database": WRITES,
}
_CERTIFICATE = re.compile(r"certificate|self[- ]signed|hostname mismatch", re.IGNORECASE)


@contextmanager
def translated(database: str = "3cx.cdr_database", select: str = "3cx.schema") -> Iterator[None]:
    """Within: whatever SQLAlchemy or a driver raises becomes SourceUnavailable or SourceMisconfigured."""
    try:
        yield
    except sa.DBAPIError as exc:
        raise translate(exc.orig or exc, database, select) from exc
    except (sa.SQLAlchemyError, OSError) as exc:
        raise SourceUnavailable(f"the database cannot be used: {_first_line(exc)}") from exc


def translate(
    error: BaseException, database: str = "3cx.cdr_database", select: str = "3cx.schema"
) -> SourceMisconfigured | SourceUnavailable:
    """One driver error as ours: what no table names may pass, so it is worth another try."""
    text = _first_line(error)
    hint = _hint(error, text)
    text = log.mask_numbers(text)  # a value that cannot be converted stands in the driver's words
    if hint is not None:
        return SourceMisconfigured(f"{hint.format(database=database, select=select)} ({text})")
    return SourceUnavailable(f"the database cannot be reached or took too long; check {database} ({text})")


def _hint(error: BaseException, text: str) -> str | None:
    if _CERTIFICATE.search(text):
        return CERTIFICATE
    code = error.args[0] if error.args else None
    driver = type(error).__module__.partition(".")[0]
    if driver == "pymysql":
        return MYSQL_NUMBERS.get(code) if isinstance(code, int) else None
    if driver == "psycopg":
        return _postgresql_hint(error, text)
    if driver == "sqlite3":
        return next((hint for words, hint in SQLITE_WORDS.items() if words in text), None)
    if "Can't open lib" in text:
        return DRIVER
    numbers = re.findall(r"\((\d+)\)", text)
    return next((SQLSERVER_NUMBERS[n] for n in numbers if n in SQLSERVER_NUMBERS), ODBC_STATES.get(str(code)))


def _postgresql_hint(error: BaseException, text: str) -> str | None:
    """A refused connection has no state, only the server's words."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        return next((hint for said, hint in POSTGRESQL_WORDS.items() if said in text), None)
    return POSTGRESQL_STATES.get(state) or (SYNTAX if state.startswith("42") else None)


def _first_line(error: BaseException) -> str:
    """The driver's own words on one line, short enough for a log line."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300]
