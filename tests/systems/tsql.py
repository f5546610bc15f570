"""Answers SQL Server's SELECT from an SQLite database, with the column types and error numbers of SQL Server."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from pysqlbridge.tds.result import (
    Bit,
    Column,
    ColumnType,
    DateTime,
    Float,
    Integer,
    NVarChar,
    QueryError,
    QueryResult,
    UniqueIdentifier,
)

from tests.systems.tds_types import DateTime2, DateTimeOffset, NVarCharMax

INVALID_COLUMN_NAME = 207
INVALID_OBJECT_NAME = 208

_SIZED_NVARCHAR_LIMIT = 4000
_INT_BYTES, _BIGINT_BYTES = 4, 8

_TSQL = re.compile(
    r"""
      (?P<comment>--[^\n]*|/\*.*?\*/)
    | N?(?P<text>'(?:[^']|'')*')
    | (?P<schema>(?:(?:\[\w+\]|\w+)\s*\.\s*)?(?:\[dbo\]|\bdbo)\s*\.\s*)
    | (?P<quoted>\[[^\]]*\]|"[^"]*")
    | (?P<hint>\bWITH\s*\(\s*(?:NOLOCK|READPAST)\s*\))
    | \bTOP\s*(?:\(\s*(?P<top_in_brackets>\d+|@\w+)\s*\)|\s(?P<top>\d+|@\w+))
    | (?P<open>\()
    | (?P<close>\))
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_PARAMETER = re.compile(r"('(?:[^']|'')*')|@\w+")
_STORED_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


def to_sqlite(sql: str) -> str:
    """The same SELECT for SQLite: TOP becomes the LIMIT of its own (sub)query; dbo, N'', lock hints and comments go."""
    limits_owed = [""]

    def translate(found: re.Match[str]) -> str:
        if found["text"] or found["quoted"]:
            return found["text"] or found["quoted"]
        if found["open"]:
            limits_owed.append("")
            return "("
        if found["close"]:
            return limits_owed.pop() + ")"
        if rows := found["top"] or found["top_in_brackets"]:
            limits_owed[-1] = f" LIMIT {rows}"
        return ""

    return _TSQL.sub(translate, sql.strip().rstrip(";")) + limits_owed.pop()


def to_stored(value: object) -> object:
    """A parameter as SQLite keeps it. Moments become text of one width, so that they sort and compare as moments do."""
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00.000000"
    return float(value) if isinstance(value, Decimal) else value


class Database:
    """An SQLite database in memory whose tables are declared with SQL Server's type names. Threads may share it.

    A column is sent as it was declared. Where a cell does not fit, the whole column is sent as nvarchar: a real table
    would have been declared so in the first place.
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogatepass")
        self._connection.create_function("SYSUTCDATETIME", 0, lambda: to_stored(datetime.now(UTC).replace(tzinfo=None)))
        self._one_at_a_time = threading.Lock()
        self._connection.create_function("SYSUTCDATETIME", 0, lambda: to_stored(datetime.now(UTC).replace(tzinfo=None)))

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        with self._one_at_a_time:
            return self._connection.execute(sql, [to_stored(value) for value in parameters]).fetchall()

    def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        stored = [[to_stored(value) for value in row] for row in rows]
        with self._one_at_a_time:
            self._connection.executemany(sql, stored)

    def select(self, sql: str, parameters: dict[str, object]) -> QueryResult:
        """Answer one SELECT; raises QueryError with SQL Server's number for what SQLite cannot find."""
        statement = to_sqlite(sql)
        stored = {name.removeprefix("@"): to_stored(value) for name, value in parameters.items()}
        with self._one_at_a_time:
            try:
                cursor = self._connection.execute(statement, stored)
                rows = cursor.fetchall()
                declared_types = self._declared_types(statement)
            except sqlite3.Error as error:
                raise _as_sql_server_error(error) from error
        names = [description[0] for description in cursor.description]
        cells_by_column = list(zip(*rows, strict=True)) or [()] * len(names)
        typed = [_typed(*column) for column in zip(names, declared_types, cells_by_column, strict=True)]
        return QueryResult([column for column, _ in typed], list(zip(*(cells for _, cells in typed), strict=True)))

    def _declared_types(self, statement: str) -> list[str]:
        """The declared type behind each column, empty for an expression. A view is where SQLite tells it."""
        without_parameters = _PARAMETER.sub(lambda found: found[1] or "NULL", statement)
        self._connection.execute(f"CREATE TEMP VIEW shape AS {without_parameters}")
        try:
            return [column[2] for column in self._connection.execute("PRAGMA temp.table_info(shape)")]
        finally:
            self._connection.execute("DROP VIEW temp.shape")

    def close(self) -> None:
        with self._one_at_a_time:
            self._connection.close()


def _as_sql_server_error(error: sqlite3.Error) -> QueryError:
    reason, _, name = str(error).partition(": ")
    if reason == "no such table":
        return QueryError(f"Invalid object name '{name}'.", number=INVALID_OBJECT_NAME)
    if reason == "no such column":
        return QueryError(f"Invalid column name '{name.rpartition('.')[2]}'.", number=INVALID_COLUMN_NAME)
    return QueryError(f"The test server's SQLite cannot answer this: {error}")


def _typed(name: str, declared: str, cells: Sequence[object]) -> tuple[Column, list[object]]:
    """A result column, and its cells as that column carries them."""
    base, _, size = declared.upper().rstrip(")").partition("(")
    column_type, convert = _TYPES.get(base) or _type_of_expression(cells)
    try:
        converted = [None if cell is None else convert(cell) for cell in cells]
    except ValueError:
        column_type, converted = NVarChar(), [None if cell is None else str(cell) for cell in cells]
    if isinstance(column_type, NVarChar):
        column_type = _nvarchar(int(size) if size.isdigit() else None, converted)
    return Column(name, column_type), converted


def _nvarchar(declared_size: int | None, texts: list[str | None]) -> NVarChar:
    longest = max(
        (len(text.encode("utf-16-le", "surrogatepass")) // 2 for text in texts if text is not None), default=0
    )
    size = max(declared_size or 0, longest, 1)
    return NVarCharMax() if declared_size is None or size > _SIZED_NVARCHAR_LIMIT else NVarChar(size)


def _type_of_expression(cells: Sequence[object]) -> tuple[ColumnType, Callable]:
    """Aggregates and constants carry no declared type, so their values decide; a lone NULL is an int, as in T-SQL."""
    present = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, int) for cell in present):
        fits = all(-(2**31) <= cell < 2**31 for cell in present)
        return _INT if fits else _BIGINT
    if all(isinstance(cell, int | float) for cell in present):
        return _TYPES["FLOAT"]
    if all(isinstance(cell, str) and _STORED_MOMENT.fullmatch(cell) for cell in present):
        return _TYPES["DATETIME2"]
    return _TYPES["NVARCHAR"]


def _whole_number(width: int) -> Callable[[object], int]:
    limit = 2 ** (8 * width - 1)

    def convert(cell: object) -> int:
        if not isinstance(cell, int) or not -limit <= cell < limit:
            raise ValueError(cell)
        return cell

    return convert


def _bit(cell: object) -> bool:
    if cell not in (0, 1):
        raise ValueError(cell)
    return bool(cell)


def _moment(cell: object) -> datetime:
    """SQL Server's datetime and datetime2 know no time zone: text that names one does not fit them."""
    moment = datetime.fromisoformat(str(cell))
    if moment.tzinfo is not None:
        raise ValueError(cell)
    return moment


def _moment_in_thirds(cell: object) -> datetime:
    """The old datetime type counts three-hundredths of a second, so the last moments of a day round into the next."""
    moment = _moment(cell)
    midnight = datetime.combine(moment.date(), time())
    ticks = round((moment - midnight) / timedelta(seconds=1) * 300)
    return midnight + timedelta(microseconds=round(ticks * 10_000 / 3))


_INT = (Integer(_INT_BYTES), _whole_number(_INT_BYTES))
_BIGINT = (Integer(_BIGINT_BYTES), _whole_number(_BIGINT_BYTES))

# Without INT, which SQLite also says of an expression: there the values decide, and come to the same for a real INT.
_TYPES: dict[str, tuple[ColumnType, Callable]] = {
    "BIGINT": _BIGINT,
    "BIT": (Bit(), _bit),
    "DATETIME": (DateTime(), _moment_in_thirds),
    "DATETIME2": (DateTime2(), _moment),
    "DATETIMEOFFSET": (DateTimeOffset(), lambda cell: datetime.fromisoformat(str(cell).replace(" +", "+"))),
    "FLOAT": (Float(), float),
    "NVARCHAR": (NVarChar(), str),
    "TINYINT": (Integer(1), _whole_number(1)),
    "UNIQUEIDENTIFIER": (UniqueIdentifier(), UUID),
}
