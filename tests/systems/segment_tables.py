"""The ``cl_*`` tables of 3CX V16 to V20 U5 in each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cdr.edges.sql.segment_table import read_segments, v18_source
from cdr.edges.sql.source import SqlSource
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.reader import RowPatience
from shared.clock import Clock
from tests.systems.phone_systems import SqlPhoneSystem

PROJECT = Path(__file__).resolve().parents[2]
TABLES: Mapping[str, str] = {
    "cl_calls": "id INT, start_time TIME, end_time TIME",
    "cl_party_info": "id INT, dn_type INT, dn TEXT, caller_number TEXT",
    "cl_participants": "id INT, call_id INT, info_id INT",
    "cl_segments": "id INT, call_id INT, seq_order INT, src_part_id INT, dst_part_id INT, start_time TIME,"
    " end_time TIME, type INT, action_id INT",
}


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


TYPES: Mapping[str, tuple[str, str, Callable[[datetime], Any]]] = {
    "postgresql": ("timestamptz", "varchar(255)", lambda moment: moment),
    "mariadb": ("datetime(6)", "varchar(255)", _naive),
    "mssql-freetds": ("datetime2", "nvarchar", _naive),
    "mssql-microsoft": ("datetime2", "nvarchar", _naive),
    "sqlite": ("text", "text", lambda moment: str(_naive(moment))),
}
"""Those of times and texts, and how a time is written."""


@dataclass
class SegmentTables:
    system: SqlPhoneSystem
    name: str

    def __post_init__(self) -> None:
        time, text, _ = TYPES[self.name]
        for table, columns in TABLES.items():
            typed = columns.replace(" TIME", f" {time}").replace(" TEXT", f" {text}")
            self.system.sql(f"DROP TABLE IF EXISTS {table}")
            self.system.sql(f"CREATE TABLE {table} ({typed})")

    def insert(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Calls from their rows as the SELECT would yield them."""
        found: dict[str, dict[Any, Sequence[Any]]] = {table: {} for table in TABLES}
        for number, row in enumerate(rows):
            call, parts = row["call_id"], (2 * number, 2 * number + 1)
            found["cl_calls"][call] = (call, row["call_started_at"], row["call_ended_at"])
            for part, side in zip(parts, ("src", "dst"), strict=True):
                info = part + 100_000  # another one, so that who mixes up the two finds strangers
                party = (row[f"{side}_{column}"] for column in ("dn_type", "dn", "caller_number"))
                found["cl_party_info"][info] = (info, *party)
                found["cl_participants"][part] = (part, call, info)
            times = (row[f"seg_{column}"] for column in ("started_at", "ended_at", "type", "action"))
            found["cl_segments"][row["seg_id"]] = (row["seg_id"], call, row["seg_order"], *parts, *times)
        for table, values in found.items():
            self._insert(table, values.values())

    def source(self, clock: Clock, options: FoldOptions, page_size: int = 500) -> SqlSource[Any]:
        settings = self.system.settings()
        return v18_source(
            settings,
            read_segments(settings.engine, PROJECT),
            clock,
            RowPatience(),
            options=options,
            page_size=page_size,
        )

    def _insert(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        stored = TYPES[self.name][2]
        values = [[stored(value) if isinstance(value, datetime) else value for value in row] for row in rows]
        names = [column.split()[0] for column in TABLES[table].split(", ")]
        marks = ", ".join([self.system.mark] * len(names))
        self.system.insert_values(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
