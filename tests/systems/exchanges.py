"""Phone systems in which a history happens, for the suite that every CallReader passes.

To add a reader, write a class as ``Rows`` is and name it in EXCHANGES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cdr.calls.call import CallRecord
from cdr.edges.sql.row_table import call_log_source
from cdr.edges.sql.source import SqlSource
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.reader import RowPatience
from cdr.intake.ports import CallReader, CallSource, Position, Progress
from cdr.intake.time_order.reader import LegPatience
from shared.clock import Clock
from tests.fakes.fake import Fake
from tests.fakes.leg_table import InMemoryLegTable, InMemoryV20
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable, RawRow
from tests.support.factories import make_leg_row, make_raw_row
from tests.systems.leg_tables import COLUMNS_OF, LegTable
from tests.systems.phone_systems import CALLLOG, SqlitePhoneSystem

LONGEST_COMMIT = timedelta(minutes=15)
"""What takes longer may never be seen by a reader."""


class Exchange(Protocol):
    """Calls are known by a number. What is written of one is seen by nobody before it is committed."""

    source: CallSource
    faults: Fake
    """Each operation of the source counts as one of this fake's, so that it can be told to fail."""
    tells_once: bool
    """Whether a reader that goes on from where it was tells nothing twice."""

    def write(self, call: int, *, over: bool) -> None: ...

    def commit(self, call: int) -> None: ...

    def roll_back(self, call: int) -> None: ...

    def end(self, call: int) -> None:
        """A call that went on when it was committed is over."""

    def skip(self, ids: int) -> None:
        """Use up so many ids for nothing."""

    def call_of(self, record: CallRecord) -> int: ...


class Rows:
    """A table in which each row is a call, with ids, in even steps, that are given when it is written."""

    tells_once = True

    def __init__(self, source: CallSource, faults: Fake, put: Callable[[RawRow], None], step: int = 1) -> None:
        self.source = source
        self.faults = faults
        self._put = put
        self._rows: dict[int, RawRow] = {}
        self._next_id = 1
        self._step = step

    def write(self, call: int, *, over: bool) -> None:
        more: dict[str, Any] = {} if over else {"ended_at": None}
        self._rows[call] = make_raw_row(id=self._next_id, call_id=f"{call}", **more)
        self._next_id += self._step

    def commit(self, call: int) -> None:
        self._put(self._rows[call])

    def roll_back(self, call: int) -> None:
        del self._rows[call]

    def end(self, call: int) -> None:
        self._put(make_raw_row(id=self._rows[call]["id"], call_id=f"{call}"))

    def skip(self, ids: int) -> None:
        self._next_id += ids

    def call_of(self, record: CallRecord) -> int:
        return int(record.values["call_id"])


def rows_in_memory(clock: Clock, page_size: int, _folder: Path, step: int = 1) -> Rows:
    table = InMemoryRowTable()
    patience = RowPatience(gap_wait=LONGEST_COMMIT)
    return Rows(InMemoryCallLog(table, clock, patience, page_size), table, table.put, step)


def rows_in_sqlite(clock: Clock, page_size: int, folder: Path) -> Rows:
    system = SqlitePhoneSystem(folder / "pbx.db")
    faults = Fake()

    def put(row: RawRow) -> None:
        system.sql("DELETE FROM CallLog WHERE Id = ?", row["id"])
        system.insert(row)

    source = call_log_source(system.settings(), CALLLOG, clock, RowPatience(gap_wait=LONGEST_COMMIT), page_size)
    return Rows(_WatchedLog(source, faults), faults, put)


@dataclass(frozen=True)
class _WatchedLog:
    """A real log whose table's operations count as a fake's."""

    log: SqlSource[Any]
    faults: Fake
    instead: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.log.name

    @contextmanager
    def connect(self) -> Iterator[CallReader]:
        with self.faults.operation("connect"), self.log.connect() as reader:
            watched: Any = _WatchedTable(reader.table, self.faults, self.instead)
            yield replace(reader, table=watched)

    def progress(self, position: Position) -> Progress:
        return self.log.progress(position)


@dataclass(frozen=True)
class _WatchedTable:
    table: Any
    faults: Fake
    instead: Mapping[str, Callable[..., Any]]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def operate(*arguments: Any) -> Any:
            with self.faults.operation(name):
                return self.instead.get(name, getattr(self.table, name))(*arguments)

        return operate


class Legs:
    """A table of legs. What is over has two; of what goes on, the second one has not ended, or is not written yet."""

    tells_once = True

    def __init__(
        self, source: CallSource, faults: Fake, clock: Clock, put: Callable[[Iterable[Mapping[str, Any]]], object]
    ) -> None:
        self.source = source
        self.faults = faults
        self._clock = clock
        self._put = put
        self._rows: dict[int, list[dict[str, Any]]] = {}

    def write(self, call: int, *, over: bool) -> None:
        arrives, talks = self._rows[call] = self._legs(call)
        if not over and call % 2:
            self._rows[call] = [arrives]
        elif not over:
            talks["cdr_ended_at"] = None

    def commit(self, call: int) -> None:
        self._put(self._rows[call])

    def roll_back(self, call: int) -> None:
        del self._rows[call]

    def end(self, call: int) -> None:
        self._put([self._legs(call)[1]])

    def skip(self, ids: int) -> None:
        """Its ids have no order."""

    def call_of(self, record: CallRecord) -> int:
        return int(record.id)

    def _legs(self, call: int) -> list[dict[str, Any]]:
        now = self._clock.now()
        arrives = make_leg_row(f"{call}-1", f"{call}", now, continued_in_cdr_id=f"{call}-2")
        return [arrives, make_leg_row(f"{call}-2", f"{call}", now, cdr_answered_at=now, base_cdr_id=f"{call}-1")]


PATIENCE = LegPatience(overlap=LONGEST_COMMIT)


def legs_in_memory(clock: Clock, page_size: int, _folder: Path) -> Legs:
    table = InMemoryLegTable(clock)
    source = InMemoryV20(table, clock, PATIENCE, page_size=page_size)
    return Legs(source, table, clock, lambda rows: table.put(*rows))


def legs_in_sqlite(clock: Clock, page_size: int, folder: Path) -> Legs:
    table = LegTable(SqlitePhoneSystem(folder / "pbx.db"), COLUMNS_OF["sqlite"], name=str)
    faults = Fake()

    def put(rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            table.system.sql("DELETE FROM cdroutput WHERE cdr_id = ?", row["cdr_id"])
            table.insert([row])

    log = table.source(clock, PATIENCE, FoldOptions(), page_size)
    return Legs(_WatchedLog(log, faults, {"now": clock.now}), faults, clock, put)


MakeExchange = Callable[[Clock, int, Path], Exchange]

EXCHANGES: dict[str, tuple[MakeExchange, int]] = {
    "rows in memory": (rows_in_memory, 100),
    "rows in steps of three": (partial(rows_in_memory, step=3), 40),
    "rows in sqlite": (rows_in_sqlite, 15),
    "legs in memory": (legs_in_memory, 60),
    "legs in sqlite": (legs_in_sqlite, 5),
}
"""How to make one for a clock, pages of a size and an empty folder, and how many histories it has time for."""
