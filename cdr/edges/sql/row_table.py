"""The phone system's database, read over SQLAlchemy Core: any engine, any schema file, nothing but SELECT.

A schema file is one SELECT that yields the canonical columns (``cdr.calls.call.COLUMNS``). It becomes a derived
table, which all engines dissolve into the query around it, so that a page costs an index range and not a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Select,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS, CallRecord
from cdr.edges.sql.connections import Connections
from cdr.edges.sql.engines import USUAL, Timeouts, make_engine
from cdr.edges.sql.errors import translated
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.tables import facts_of
from cdr.intake.id_order import PAGE_SIZE, IdOrderReader, Patience, Row, progress
from cdr.intake.id_position import Range
from cdr.intake.ports import Position, Progress, SourceFacts
from shared import log
from shared.clock import Clock
from shared.config.phone_system import CdrDatabase
from shared.errors import SourceMisconfigured

RANGES_A_STATEMENT = 200


def read_schema(name: str, root: Path) -> str:
    """The SELECT of ``3cx.schema``; raises as read_select does."""
    return read_select(name, root, "config/schemas", "3cx.schema")


class SqlCallLog:
    """A CallSource on a table in which each row is a call.

    A connection lives for one poll, so a lost one is replaced at the next.
    """

    name = "calllog"

    def __init__(
        self,
        database: CdrDatabase,
        schema_sql: str,
        clock: Clock,
        patience: Patience,
        page_size: int = PAGE_SIZE,
        *,
        timeouts: Timeouts = USUAL,
    ) -> None:
        self._database = database
        self._schema_sql = schema_sql
        self._clock = clock
        self._patience = patience
        self._page_size = page_size
        self._timeouts = timeouts
        self._engine: Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[IdOrderReader]:
        with translated():
            if self._engine is None:
                self._engine = make_engine(self._database, self._timeouts)
            connection = self._engine.connect()
        table = SqlRowTable(connection, self._schema_sql, self._database)
        try:
            yield IdOrderReader(table, self._clock, self._patience, self._database.timezone, self._page_size)
        finally:
            connection.close()

    def progress(self, position: Position) -> Progress:
        return progress(position)

    def about(self) -> SourceFacts:
        return facts_of(Connections(self._database, "3cx.schema"), self._database)


class SqlRowTable:
    """A RowTable on one connection."""

    def __init__(self, connection: Connection, schema_sql: str, database: CdrDatabase) -> None:
        self._connection = connection
        self._cdr = as_text(schema_sql).columns(column("id"), column("started_at"), column("ended_at")).subquery("cdr")
        self._zone = ZoneInfo(database.timezone)
        self._engine_name = database.engine

    def rows_after(self, position: int | None, limit: int) -> list[Row]:
        beyond = [] if position is None else [self._cdr.c.id > position]
        return self._rows(*beyond, limit=limit)

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[Row]:
        rows: list[Row] = []
        left = [(first if after is None else max(first, after + 1), last) for first, last in ranges]
        left = [(first, last) for first, last in left if first <= last]
        for start in range(0, len(left), RANGES_A_STATEMENT):
            within = or_(*(self._within(span) for span in left[start : start + RANGES_A_STATEMENT]))
            rows += self._rows(within, limit=limit - len(rows))
            if len(rows) >= limit:
                break
        return rows

    def newest_id(self) -> int | None:
        return self._one_id(select(func.max(self._cdr.c.id)))

    def first_id_since(self, moment: datetime) -> int | None:
        started = self._cdr.c.started_at >= self._local(moment)
        return self._one_id(select(func.min(self._cdr.c.id)).where(started))

    def rows_ended_between(self, start: datetime, end: datetime, after: int | None, limit: int) -> list[Row]:
        ended = self._cdr.c.ended_at
        beyond = [] if after is None else [self._cdr.c.id > after]
        return self._rows(ended >= self._local(start), ended < self._local(end), *beyond, limit=limit)

    def _local(self, moment: datetime) -> Any:
        """A moment as the table's own timestamps are: without offset, in the configured zone.

        PostgreSQL compares its two types of timestamp itself, in the zone of the session, which is the configured one.
        """
        local = moment.astimezone(self._zone).replace(microsecond=0)
        if self._engine_name == "postgresql":
            return literal(local, DateTime(timezone=True))
        naive = local.replace(tzinfo=None)
        return naive.isoformat(" ") if self._engine_name == "sqlite" else naive

    def _within(self, span: Range) -> ColumnElement[bool]:
        first, last = span
        return self._cdr.c.id == first if first == last else self._cdr.c.id.between(first, last)

    def _rows(self, *conditions: ColumnElement[bool], limit: int) -> list[Row]:
        query: Select[Any] = select(literal_column("cdr.*")).select_from(self._cdr).where(*conditions)
        with translated():
            result = self._connection.execute(query.order_by(self._cdr.c.id).limit(limit))
            names = [name.lower() for name in result.keys()]  # noqa: SIM118 - a result is no dict
            rows = [dict(zip(names, row, strict=True)) for row in result]
        missing = [name for name in COLUMNS if name not in names and name not in OPTIONAL_COLUMNS]
        if missing:
            raise SourceMisconfigured(f"3cx.schema: the SELECT yields no column {', '.join(missing)}")
        return [_as_row(row | {"id": _whole_number(row["id"])}) for row in rows]

    def _one_id(self, query: Select[Any]) -> int | None:
        with translated():
            value = self._connection.execute(query).scalar()
        return None if value is None else _whole_number(value)


def _as_row(row: Mapping[str, Any]) -> Row:
    """Total, so that a strange row cannot hold up the others: whether its end makes sense is judged by the worker."""
    return Row(row["id"], row.get("ended_at") is not None, (CallRecord.from_row(row),))


def _whole_number(value: Any) -> int:
    """Text is refused even where it is made of digits: in its order 10 comes before 9, and paging would lose rows."""
    try:
        if not isinstance(value, str | float) or (isinstance(value, float) and value.is_integer()):
            return int(value)
    except (TypeError, ValueError):
        pass
    held = log.mask_numbers(str(value)[:40])  # the schema may have taken the caller's number for the id
    raise SourceMisconfigured(f"3cx.schema: the column id must be a whole number, it holds {held!r}")
