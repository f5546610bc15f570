"""Translates what the database drivers raise, once: each known number becomes the setting to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import exc as sa

from shared.errors import SourceMisconfigured, SourceUnavailable

LOGIN = "check 3cx.cdr_database.username and password"
DATABASE = "check 3cx.cdr_database.database, and that the login may open it"
SCHEMA = "check 3cx.schema: the SELECT asks for a table or column that is not there"
RIGHTS = "the login may not read what 3cx.schema asks for; grant it SELECT"
SYNTAX = "check 3cx.schema: the database does not understand the SELECT"
CERTIFICATE = "the server's certificate cannot be verified: check 3cx.cdr_database.trust_server_certificate and encrypt"
DRIVER = "the ODBC driver for SQL Server cannot be loaded; install Microsoft's ODBC driver or FreeTDS"
FILE = "check 3cx.cdr_database.database: the file cannot be opened as an SQLite database"

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
}
SQLITE_WORDS: Mapping[str, str] = {
    "no such table": SCHEMA,
    "no such column": SCHEMA,
    "syntax error": SYNTAX,
    "unable to open": FILE,
    "not a database": FILE,
    "readonly database": RIGHTS,
}
_CERTIFICATE = re.compile(r"certificate|self[- ]signed|hostname mismatch", re.IGNORECASE)


@contextmanager
def translated() -> Iterator[None]:
    """Within: whatever SQLAlchemy or a driver raises becomes SourceUnavailable or SourceMisconfigured."""
    try:
        yield
    except sa.DBAPIError as exc:
        raise translate(exc.orig or exc) from exc
    except (sa.SQLAlchemyError, OSError) as exc:
        raise SourceUnavailable(f"the database cannot be used: {_first_line(exc)}") from exc


def translate(error: BaseException) -> SourceMisconfigured | SourceUnavailable:
    """One driver error as ours: what no table names may pass, so it is worth another try."""
    text = _first_line(error)
    hint = _hint(error, text)
    if hint is not None:
        return SourceMisconfigured(f"{hint} ({text})")
    return SourceUnavailable(f"the database cannot be reached or took too long; check 3cx.cdr_database ({text})")


def _hint(error: BaseException, text: str) -> str | None:
    if _CERTIFICATE.search(text):
        return CERTIFICATE
    code = error.args[0] if error.args else None
    driver = type(error).__module__.partition(".")[0]
    if driver == "pymysql":
        return MYSQL_NUMBERS.get(code) if isinstance(code, int) else None
    if driver == "sqlite3":
        return next((hint for words, hint in SQLITE_WORDS.items() if words in text), None)
    if "Can't open lib" in text:
        return DRIVER
    numbers = re.findall(r"\((\d+)\)", text)
    return next((SQLSERVER_NUMBERS[n] for n in numbers if n in SQLSERVER_NUMBERS), ODBC_STATES.get(str(code)))


def _first_line(error: BaseException) -> str:
    """The driver's own words on one line, short enough for a log line."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300]
