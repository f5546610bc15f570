"""The phone system's table, in MariaDB or SQLite, with rows of every sort, and what must become of each."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cdr.calls.call import CallRecord
from cdr.intake import id_position
from tests.systems.mariadb import PASSWORD, READER, MariaDb

START = datetime(2026, 11, 22, 10, 0)  # noqa: DTZ001 - as the table has it, without a zone
COLUMNS = (
    "Id, CallId, StartTime, EndTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered, HangupCause"
)
TABLE = """CREATE TABLE CallLog (
    Id BIGINT PRIMARY KEY, CallId VARCHAR(64), StartTime {time}, EndTime {time}, Duration INTEGER,
    CallerNumber VARCHAR(255), DestNumber VARCHAR(64), Extension VARCHAR(64), CallType INTEGER, Answered INTEGER,
    HangupCause VARCHAR(64))"""

SORTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "good": ("submitted", {}),
    "anonymous": ("submitted", {"caller": None}),
    "unanswered": ("skipped", {"answered": 0}),
    "unmapped": ("rejected", {"extension": "999"}),
    "no answer column": ("rejected", {"answered": None}),
    "long number": ("rejected", {"caller": "9" * 255}),
    "no duration": ("rejected", {"duration": None}),
    "ends before it starts": ("rejected", {"length": -90}),
}
"""Each sort of row, with how its call must end and how it differs from the plain one."""


def call_id(row_id: int) -> str:
    return f"call-{row_id}"


def pbx_call_id(row_id: int) -> str:
    return f"{call_id(row_id)}-{row_id}"


def values(row_id: int, sort: str = "good", *, ended: bool = True) -> tuple[Any, ...]:
    """A row's values, in the order of COLUMNS."""
    changed = {"caller": "+1 907 555 0142", "answered": 1, "extension": "101", "duration": 90, "length": 90}
    changed |= SORTS[sort][1]
    started = START + timedelta(seconds=row_id % 3600)
    end = started + timedelta(seconds=changed["length"]) if ended else None
    return (
        *(row_id, call_id(row_id), str(started), str(end) if end else None, changed["duration"], changed["caller"]),
        *("101", changed["extension"], 0, changed["answered"], "NormalClearing"),
    )


class PhoneSystem(Protocol):
    """A CDR table that the phone system writes."""

    engine: str

    def config(self, port: int | None) -> Mapping[str, Any]:
        """The section cdr_database, with another port where a proxy stands before the server."""

    def transaction(self) -> Any:
        """A cursor within a transaction of its own, as a context manager that commits at its end."""

    def insert(self, row_id: int, sort: str = "good", *, ended: bool = True) -> None: ...

    def end_call(self, row_id: int) -> None: ...

    def rows(self) -> dict[int, bool]:
        """Every committed row's id, and whether it has ended."""


class _Table:
    mark = "?"
    engine = ""
    sorts = SORTS
    three_cx: Mapping[str, Any] = {}
    """What this kind of phone system needs in that section of the configuration."""

    def pbx_call_id(self, row_id: int) -> str:
        return pbx_call_id(row_id)

    def pbx_call_id_of(self, record: CallRecord) -> str:
        """Of a record on the queue, whatever there is of it."""
        return f"{record.values.get('call_id')}-{record.id}"

    def number_of(self, row_id: str) -> int:
        """What the ledger calls a row, as the number that the books have it under."""
        return int(row_id)

    def waits_for(self, position: str, row_id: int) -> bool:
        return row_id in id_position.from_text(position).open_rows

    def misplaced(self, position: str, rows: Mapping[int, bool], *, missing_ids_are_kept: bool) -> Iterator[str]:
        """What is wrong with a position: it is at the newest row, and remembers just the rows that have not ended and
        the ids that are missing."""
        read, newest = id_position.from_text(position), max(rows, default=None)
        if read.last != newest:
            yield f"the position is at {read.last}, the newest row is {newest}"
        still_open = {row_id for row_id, has_ended in rows.items() if not has_ended}
        if set(read.open_rows) != still_open:
            yield f"open rows {sorted(read.open_rows)}, should be {sorted(still_open)}"
        kept = {row_id for gap in read.gaps for row_id in (gap.first, gap.last)}
        if wrong := sorted(kept & rows.keys()):
            yield f"ids counted as missing that are there: {wrong}"
        missing = (newest or 0) - sum(1 for row_id in rows if row_id >= 1)
        if missing_ids_are_kept and read.missing != missing:
            yield f"{read.missing} missing ids are remembered, should be {missing}"

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        raise NotImplementedError

    def insert(self, row_id: int, sort: str = "good", *, ended: bool = True) -> None:
        with self.transaction() as cursor:
            self.insert_with(cursor, row_id, sort, ended=ended)

    def insert_with(self, cursor: Any, row_id: int, sort: str = "good", *, ended: bool = True) -> None:
        """Insert within a transaction that goes on."""
        marks = ", ".join([self.mark] * len(COLUMNS.split(",")))
        cursor.execute(f"INSERT INTO CallLog ({COLUMNS}) VALUES ({marks})", values(row_id, sort, ended=ended))

    def end_call(self, row_id: int) -> None:
        with self.transaction() as cursor:
            end = str(START + timedelta(seconds=row_id % 3600 + 90))
            cursor.execute(f"UPDATE CallLog SET EndTime = {self.mark} WHERE Id = {self.mark}", (end, row_id))

    def rows(self) -> dict[int, bool]:
        with self.transaction() as cursor:
            cursor.execute("SELECT Id, EndTime IS NOT NULL FROM CallLog")
            return {row[0]: bool(row[1]) for row in cursor.fetchall()}


class SqlitePhoneSystem(_Table):
    engine = "sqlite"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        with self.transaction() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute(TABLE.format(time="TEXT"))

    def config(self, port: int | None) -> Mapping[str, Any]:
        return {"engine": "sqlite", "database": str(self._file), "statement_timeout_seconds": 2}

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._lock, closing(sqlite3.connect(self._file, timeout=10)) as connection:
            yield connection.cursor()
            connection.commit()


class MariaDbPhoneSystem(_Table):
    engine = "mysql"
    mark = "%s"

    def __init__(self, server: MariaDb, name: str) -> None:
        self._server = server
        self._name = name
        server.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4", database=None)
        server.sql(f"GRANT SELECT ON {name}.* TO {READER}", database=None)
        server.sql(TABLE.format(time="DATETIME"), database=name)

    def config(self, port: int | None) -> Mapping[str, Any]:
        return {
            "engine": "mysql",
            "host": "127.0.0.1",
            "port": port or self._server.port,
            "database": self._name,
            "username": READER,
            "password": PASSWORD,
            "encrypt": "false",
            "statement_timeout_seconds": 1,
        }

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Rolled back where the block ends with an error."""
        with closing(self.connect()) as connection:
            yield connection.cursor()
            connection.commit()

    def connect(self) -> Any:
        """A connection for transactions that the caller ends."""
        return self._server.connect(self._name)
