"""Tables of legs in each kind of database, with the column types that whoever copied them may have chosen."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cdr.edges.sql.leg_table import read_legs, v20_source
from cdr.edges.sql.source import SqlSource
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.folding.leg import COLUMNS
from cdr.intake.time_order import table as legs_by_call
from cdr.intake.time_order.reader import LegPatience
from shared.clock import Clock, SystemClock
from tests.systems.phone_systems import SqlPhoneSystem

PROJECT = Path(__file__).resolve().parents[2]
OF_IDS = uuid.UUID("6f2d3c52-8a5f-4b8e-9d9a-2f1b6f0e7c11")


def id_of(name: str) -> str:
    """The id that stands for a name, where only uuids may stand."""
    return str(uuid.uuid5(OF_IDS, name))


def _upper(value: str) -> str:
    return value.upper()


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _in_words(flag: bool) -> str:  # noqa: FBT001
    return "true" if flag else "false"


def _blank(moment: datetime) -> str:
    return str(_naive(moment))


def _with_offset(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(" ")


@dataclass(frozen=True)
class Columns:
    """The types of ids, flags and times in a database, and how a value is written there; ``offload`` may be absent."""

    database: str
    id: tuple[str, Callable[[str], Any]]
    flag: tuple[str, Callable[[bool], Any]]
    time: tuple[str, Callable[[datetime], Any]]
    offload: str | None = "bigint"
    text: str = "varchar(255)"

    def type_of(self, column: str) -> str | None:
        return self.offload if column == "offload_id" else self._kind(column)[0]

    def stored(self, column: str, value: Any) -> Any:
        return value if value is None else self._kind(column)[1](value)

    def _kind(self, column: str) -> tuple[str, Callable[[Any], Any]]:
        if column.endswith(("cdr_id", "history_id", "participant_id")):
            return self.id
        if column.endswith("_incoming"):
            return self.flag
        return self.time if column.endswith("_at") else (self.text, str)


UUID, LOWER, UPPER = ("uuid", str), ("varchar(50)", str), ("char(36)", _upper)
TRUTH, NUMBER, WORD = ("boolean", bool), ("smallint", int), ("varchar(5)", _in_words)

COLUMNS_OF: Mapping[str, Columns] = {
    "postgresql itself": Columns("postgresql", UUID, TRUTH, ("timestamptz(6)", _with_offset), None),
    "postgresql upper": Columns("postgresql", UPPER, NUMBER, ("timestamp", _naive), "varchar(20)"),
    "postgresql texts": Columns("postgresql", LOWER, WORD, ("timestamptz", _with_offset), "numeric(20)"),
    "mariadb": Columns("mariadb", UUID, TRUTH, ("datetime(6)", _naive)),
    "mariadb upper": Columns("mariadb", UPPER, ("bit(1)", int), ("timestamp(6) NULL", _naive), None),
    "mariadb texts": Columns("mariadb", LOWER, WORD, ("varchar(40)", _blank), "varchar(20)"),
    "sqlite": Columns("sqlite", LOWER, ("integer", int), ("text", _blank)),
    "sqlite upper": Columns("sqlite", UPPER, WORD, ("text", _with_offset), "text"),
} | {
    f"sqlserver {driver} {kind}": columns
    for driver in ("freetds", "microsoft")
    for kind, columns in {
        "guids": Columns(
            f"mssql-{driver}", ("uniqueidentifier", _upper), ("bit", bool), ("datetime2", _naive), text="nvarchar"
        ),
        "offsets": Columns(
            f"mssql-{driver}", ("nvarchar", _upper), ("tinyint", int), ("datetimeoffset", _naive), None, "nvarchar"
        ),
        "texts": Columns(
            f"mssql-{driver}", ("nvarchar", str), ("nvarchar", _in_words), ("datetime2", _naive), "nvarchar", "nvarchar"
        ),
    }.items()
}


@dataclass
class LegTable:
    """An empty ``cdroutput`` in a phone system's database. Ids are whatever text; ``name`` makes of it what stands
    there."""

    system: SqlPhoneSystem
    columns: Columns
    name: Callable[[str], str] = id_of

    def __post_init__(self) -> None:
        self.names = [column for column in COLUMNS if self.columns.type_of(column)]
        types = ", ".join(f"{column} {self.columns.type_of(column)}" for column in self.names)
        self.system.sql("DROP TABLE IF EXISTS cdroutput")
        self.system.sql(f"CREATE TABLE cdroutput ({types})")

    def insert(self, rows: Iterable[Mapping[str, Any]]) -> None:
        marks = ", ".join([self.system.mark] * len(self.names))
        values = [[self._stored(column, row.get(column)) for column in self.names] for row in rows]
        self.system.insert_values(f"INSERT INTO cdroutput ({', '.join(self.names)}) VALUES ({marks})", values)

    @contextmanager
    def connect(self) -> Iterator[legs_by_call.LegTable]:
        with self.source(SystemClock(), LegPatience(), FoldOptions()).connect() as reader:
            yield reader.table

    def _stored(self, column: str, value: Any) -> Any:
        is_id = self.columns.type_of(column) == self.columns.id[0] and column.endswith("_id") and column != "offload_id"
        return self.columns.stored(column, self.name(value) if is_id and value is not None else value)

    def source(
        self, clock: Clock, patience: LegPatience, options: FoldOptions, page_size: int = 2_000, sql: str | None = None
    ) -> SqlSource[Any]:
        select = sql or read_legs("v20-replica" if self.columns.offload else "v20", PROJECT)
        return v20_source(self.system.settings(), select, clock, patience, options=options, page_size=page_size)
