"""Translates what the database drivers raise, once: each known number becomes the setting to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc as sa

from cdr.edges.sql import hints
from shared import log
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable, SourceVanished

_CERTIFICATE = re.compile(r"certificate|self[- ]signed|hostname mismatch", re.IGNORECASE)
_OTHER_VERSION = re.compile(
    r"undefined symbol|symbol not found|version [`'\"]?\S+ not found|wrong ELF class|invalid ELF header"
)
_CANNOT_CONVERT = (ValueError, TypeError, ArithmeticError, NotImplementedError)
"""What drivers raise over a value, UnicodeDecodeError and OverflowError among them."""


class Unconvertible(SourceMisconfigured):
    """A value of some row cannot be read, and the rows around it are held up: who reads takes them one by one.

    ``words`` are the driver's own, without numbers.
    """

    def __init__(self, message: str, words: str) -> None:
        self.words = words
        super().__init__(message)


@contextmanager
def translated(database: str, select: str) -> Iterator[None]:
    """Around a statement, and nothing else: whatever SQLAlchemy or a driver raises becomes SourceUnavailable or
    SourceMisconfigured.

    :param database, select: the settings that these errors send a person to
    """
    try:
        yield
    except PipelineError:
        raise
    except sa.DBAPIError as exc:
        raise translate(exc.orig or exc, database, select) from exc
    except Exception as exc:
        raise translate(exc, database, select) from exc


@contextmanager
def translated_connecting(database: str, select: str) -> Iterator[None]:
    """The same around connecting. What is no driver's own error may carry the password: it is named by its type."""
    try:
        with translated(database, select):
            yield
    except Unconvertible as exc:
        kind = type(exc.__cause__).__name__
        raise SourceMisconfigured(
            f"check {database}.host, username, password, database and timezone: one of them is nothing that the driver "
            f"or the server can take ({kind})"
        ) from None


def translate(error: BaseException, database: str, select: str) -> SourceMisconfigured | SourceUnavailable:
    """One driver error as ours: what no table names may pass, so it is worth another try."""
    text = _first_line(error)
    hint = _hint(error, text)
    text = log.mask_numbers(text)  # a value that cannot be converted stands in the driver's words
    if hint is None:
        return SourceUnavailable(f"the database cannot be reached or took too long; check {database} ({text})")
    said = f"{hint.format(database=database, select=select)} ({text})"
    if hint in hints.MAY_PASS:
        return SourceUnavailable(f"{database} cannot be read now: {said}")
    if hint in hints.CONVERSIONS:
        return Unconvertible(said, text)
    return SourceVanished(said) if hint == hints.SCHEMA else SourceMisconfigured(said)


def _hint(error: BaseException, text: str) -> str | None:
    driver = type(error).__module__.partition(".")[0]
    if isinstance(error, ImportError):
        return _library_hint(error, text)
    if driver == "pyodbc":
        return _odbc_hint(error, text)
    if driver == "sqlite3":
        return next((hint for words, hint in hints.SQLITE_WORDS.items() if words in text), None)
    if driver == "psycopg":
        return _postgresql_hint(error, text)
    if driver == "pymysql":
        code = error.args[0] if error.args else None
        known = hints.MYSQL_NUMBERS.get(code) if isinstance(code, int) else None
        return known or _certificate_hint(text)
    # A certificate that cannot be verified is a ValueError too.
    return _certificate_hint(text) or (hints.CONVERSION if isinstance(error, _CANNOT_CONVERT) else None)


def _certificate_hint(text: str) -> str | None:
    return hints.CERTIFICATE if _CERTIFICATE.search(text) else None


def _library_hint(error: ImportError, text: str) -> str:
    """By the words of Python and of the system's loader, which have no numbers."""
    if isinstance(error, ModuleNotFoundError):
        return hints.PACKAGES
    if "no pq wrapper" in text:
        return hints.LIBPQ
    if _OTHER_VERSION.search(text):
        return hints.OTHER_LIBRARY
    return hints.UNIXODBC if "odbc" in text.lower() else hints.LIBRARY


def _odbc_hint(error: BaseException, text: str) -> str | None:
    """By the server's own number, in brackets in the text, else by ODBC's state, which comes first.

    State 42000 is that of a statement that cannot be carried out: the SELECT's fault, but for what is known to pass.
    """
    if "Can't open lib" in text:
        return hints.DRIVER
    state = str(error.args[0]) if error.args else ""
    numbers = [int(number) for number in re.findall(r"\((\d{1,9})\)", text)]
    known = next((hints.SQLSERVER_NUMBERS[number] for number in numbers if number in hints.SQLSERVER_NUMBERS), None)
    if known is not None or hints.SQLSERVER_PASSING.intersection(numbers):
        return known
    by_class = hints.CONVERSION if state.startswith("22") else hints.SYNTAX if state == "42000" else None
    return hints.ODBC_STATES.get(state) or by_class or _certificate_hint(text)


def _postgresql_hint(error: BaseException, text: str) -> str | None:
    """A refused connection has no state, only the server's words; nor has a value that the driver cannot convert."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return hints.POSTGRESQL_STATES.get(state) or hints.POSTGRESQL_CLASSES.get(state[:2])
    known = next((hint for said, hint in hints.POSTGRESQL_WORDS.items() if said in text), None)
    return _certificate_hint(text) or known or (hints.CONVERSION if type(error).__name__ == "DataError" else None)


def _first_line(error: BaseException) -> str:
    """The driver's own words on one line, short enough for a log line."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300]
