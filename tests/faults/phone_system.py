"""The phone system's table, in MariaDB or SQLite, with rows of every sort, and what must become of each."""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cdr.calls.call import CallRecord
from cdr.intake.id_order import position as id_position
from tests.systems.mariadb import PASSWORD, READER, MariaDb

START = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=1)
"""As the table has it, without a zone. Lately, since what is older than the ledger's memory cannot be compared."""

NUMBERS = 1_000_000
"""A table has so many ids. The number of a call goes on where they start again."""

NOT_YET = ("0000-00-00 00:00:00", "9999-12-31 23:59:59", "1900-01-01 00:00:00")
"""What stands for the end of a call that goes on, beside NULL."""

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


def row_id_of(number: int) -> int:
    return number % NUMBERS


def call_id(number: int) -> str:
    return f"call-{number}"


def pbx_call_id(number: int) -> str:
    return f"{call_id(number)}-{row_id_of(number)}"


def started_at(number: int) -> datetime:
    """Later, where ids have started again."""
    return START + timedelta(hours=number // NUMBERS, seconds=number % NUMBERS % 3600)


def values(number: int, sort: str = "good", *, end: str | None = None) -> tuple[Any, ...]:
    """A call's row, in the order of COLUMNS; with another ``end`` than its own where one is given."""
    changed = {"caller": "+1 907 555 0142", "answered": 1, "extension": "101", "duration": 90, "length": 90}
    changed |= SORTS[sort][1]
    started = started_at(number)
    own_end = str(started + timedelta(seconds=changed["length"]))
    return (
        *(row_id_of(number), call_id(number), str(started), end or own_end, changed["duration"], changed["caller"]),
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


class _Table(ABC):
    mark = "?"
    engine = ""
    sorts = SORTS
    three_cx: Mapping[str, Any] = {}
    """What this kind of phone system needs in that section of the configuration."""
    broken = ""
    """An expression that fails for a row, and so whatever asks for it."""

    def __init__(self) -> None:
        self.table = "CallLog"
        self.not_yet: str | None = None
        self.generation = 0
        self._gone: dict[int, bool] = {}

    def pbx_call_id(self, number: int) -> str:
        return pbx_call_id(number)

    def pbx_call_id_of(self, record: CallRecord) -> str:
        """Of a record on the queue, whatever there is of it."""
        return f"{record.values.get('call_id')}-{record.id}"

    def number_of(self, record: Mapping[str, Any]) -> int:
        """The call that a record of the ledger is of, as the number that the books have it under."""
        return int(record["RowKey"].split("-")[1])

    def waits_for(self, position: str, number: int) -> bool:
        return row_id_of(number) in id_position.from_text(position).open_rows

    def misplaced(self, position: str, rows: Mapping[int, bool], *, missing_ids_are_kept: bool) -> Iterator[str]:
        """What is wrong with a position: it is at the newest row, and remembers just the rows that have not ended and
        the ids that are missing."""
        rows = {row_id_of(number): ended for number, ended in rows.items() if number // NUMBERS == self.generation}
        read, newest = id_position.from_text(position), max(rows, default=None)
        if read.last != newest and rows:
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

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]: ...

    def insert(self, row_id: int, sort: str = "good", *, ended: bool = True) -> None:
        with self.transaction() as cursor:
            self.insert_with(cursor, row_id, sort, ended=ended)

    def insert_with(self, cursor: Any, number: int, sort: str = "good", *, ended: bool = True) -> None:
        """Insert within a transaction that goes on."""
        marks = ", ".join([self.mark] * len(COLUMNS.split(",")))
        row = values(number, sort, end=None if ended else self.not_yet)
        if not ended and self.not_yet is None:
            row = (*row[:3], None, *row[4:])
        cursor.execute(f"INSERT INTO {self.table} ({COLUMNS}) VALUES ({marks})", row)

    def end_call(self, number: int) -> None:
        self.change(number, EndTime=str(started_at(number) + timedelta(seconds=90)))

    def change(self, number: int, **columns: Any) -> None:
        """Write to a row that is there."""
        with self.transaction() as cursor:
            for name, value in columns.items():
                wanted = f"UPDATE {self.table} SET {name} = {self.mark} WHERE Id = {self.mark}"
                cursor.execute(wanted, (value, row_id_of(number)))

    def break_values(self) -> None:
        """From now on, whoever reads the column Duration of a row with the cause 'broken' has an error instead."""
        self.table = "Written"
        columns = COLUMNS.replace(
            "Duration", f"CASE HangupCause WHEN 'broken' THEN {self.broken} ELSE Duration END Duration"
        )
        with self.transaction() as cursor:
            cursor.execute("ALTER TABLE CallLog RENAME TO Written")
            cursor.execute(f"CREATE VIEW CallLog AS SELECT {columns} FROM Written")

    def empty(self, *, start_again: bool) -> None:
        """Remove every row; what comes then may have ids from 1 again."""
        self._gone |= self.rows()
        with self.transaction() as cursor:
            cursor.execute(f"DELETE FROM {self.table}")
        self.generation += start_again

    def first_number(self) -> int:
        """Of the calls since ids started again."""
        return self.generation * NUMBERS + 1

    def rows(self) -> dict[int, bool]:
        with self.transaction() as cursor:
            cursor.execute(f"SELECT CallId, EndTime FROM {self.table}")
            found = {int(call.removeprefix("call-")): end for call, end in cursor.fetchall()}
        return self._gone | {number: end is not None and str(end) not in NOT_YET for number, end in found.items()}


class SqlitePhoneSystem(_Table):
    engine = "sqlite"
    broken = "json_extract('{', '$')"

    def __init__(self, file: Path) -> None:
        super().__init__()
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
    broken = "Duration * 9223372036854775807"

    def __init__(self, server: MariaDb, name: str) -> None:
        super().__init__()
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
