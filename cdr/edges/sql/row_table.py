"""The phone system's database, read over SQLAlchemy Core: any engine, any schema file, nothing but SELECT.

A schema file is one SELECT that yields the canonical columns (``cdr.calls.call.COLUMNS``). It becomes a derived
table, which all engines dissolve into the query around it, so that a page costs an index range and not a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, column, func, select

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS, CallRecord
from cdr.calls.times import stands_for_no_time
from cdr.edges.sql.connections import Session
from cdr.edges.sql.errors import Unconvertible
from cdr.edges.sql.ids import beyond, counted, id_value, rows_among, whole_number, without
from cdr.edges.sql.moments import TimeColumn
from cdr.edges.sql.named_rows import everything_of, names_of, rows_of
from cdr.edges.sql.row_by_row import RawRow, column_by_column, readable_parts
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.source import SqlSource
from cdr.edges.sql.timeouts import USUAL, Timeouts
from cdr.intake.id_order.position import Range
from cdr.intake.id_order.reader import PAGE_SIZE, IdOrderReader, progress
from cdr.intake.id_order.table import IdSpan, Row, RowPatience
from shared.clock import Clock
from shared.config.phone_system import CdrDatabase
from shared.config.select_files import OF_ROWS
from shared.errors import SourceMisconfigured

NEEDED = [name for name in COLUMNS if name not in OPTIONAL_COLUMNS]


def read_schema(name: str, root: Path, engine: str = "") -> str:
    """The SELECT of ``3cx.schema``; raises as read_select does."""
    return read_select(name, root, OF_ROWS, "3cx.schema", engine)


def call_log_source(
    database: CdrDatabase,
    schema_sql: str,
    clock: Clock,
    patience: RowPatience,
    page_size: int = PAGE_SIZE,
    *,
    timeouts: Timeouts = USUAL,
) -> SqlSource[IdOrderReader]:
    """Of a table in which each row is a call."""

    def reader_on(session: Session) -> IdOrderReader:
        table = SqlRowTable(session, schema_sql, database)
        return IdOrderReader(table, clock, patience, database.timezone, page_size)

    return SqlSource("calllog", database, "3cx.schema", reader_on, progress, timeouts=timeouts)


class SqlRowTable:
    """A RowTable on one connection."""

    def __init__(self, session: Session, schema_sql: str, database: CdrDatabase) -> None:
        self._session = session
        self._cdr = as_text(schema_sql).columns(column("id"), column("started_at"), column("ended_at")).subquery("cdr")
        self._started, self._ended = (
            TimeColumn(session, self._cdr.c[name], self._cdr.c.id, database) for name in ("started_at", "ended_at")
        )

    def rows_after(self, position: int | None, limit: int) -> list[Row]:
        return self._rows(beyond(self._cdr.c.id, position), limit=limit)

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[Row]:
        return rows_among(self._cdr.c.id, ranges, after, limit, lambda among, most: self._rows(among, limit=most))

    def ended_among(self, ids: Sequence[int], after: int | None, limit: int) -> list[Row]:
        def read(among: ColumnElement[bool], most: int) -> list[Row]:
            return self._rows(among, self._cdr.c.ended_at.is_not(None), limit=most)

        return rows_among(self._cdr.c.id, [(row_id, row_id) for row_id in ids], after, limit, read)

    def newest_id(self) -> int | None:
        """From the end of the key: to look for the highest one, engines read a JOIN through."""
        known = self._cdr.c.id.is_not(None)
        return self._one_id(select(self._cdr.c.id).where(known).order_by(self._cdr.c.id.desc()).limit(1))

    def first_id_since(self, moment: datetime) -> int | None:
        return self._one_id(select(func.min(self._cdr.c.id)).where(self._started.is_from(moment)))

    def rows_ended_between(self, start: datetime, end: datetime, within: IdSpan, limit: int) -> list[Row]:
        up_to = [] if within.last is None else [self._cdr.c.id <= id_value(within.last)]
        ended = (self._ended.is_from(start), self._ended.is_before(end))
        return self._rows(*ended, beyond(self._cdr.c.id, within.after), *up_to, limit=limit)

    def count_among(self, first: int, last: int) -> int:
        return int(self._session.execute(counted(self._cdr.c.id, first, last)).scalar() or 0)

    def nameless(self, most: int) -> int:
        return int(self._session.execute(without(self._cdr.c.id, most)).scalar() or 0)

    def _rows(self, *conditions: ColumnElement[bool], limit: int) -> list[Row]:
        """One row more is read, to see whether it has the id of the last."""
        try:
            rows = self._read(*conditions, limit=limit + 1)
        except Unconvertible:
            rows = self._readable(*conditions, limit=limit + 1)
        found = [_as_row(row) for row in rows]
        _refuse_twins([row.id for row in found])
        return found[:limit]

    def _readable(self, *conditions: ColumnElement[bool], limit: int) -> list[RawRow]:
        """:raises Unconvertible: what cannot be converted decides which rows there are"""
        ids = self._ids(*conditions, limit=limit)
        _refuse_twins(ids)
        names = self._names()

        def read(some: Sequence[int]) -> list[RawRow]:
            return self._read(*conditions, self._cdr.c.id.between(id_value(some[0]), id_value(some[-1])), limit=limit)

        def read_columns(row_id: int) -> RawRow:
            return column_by_column(row_id, names, partial(self._value, row_id))

        return readable_parts(ids, read, read_columns)

    def _ids(self, *conditions: ColumnElement[bool], limit: int) -> list[int]:
        query = select(self._cdr.c.id).where(*conditions).order_by(self._cdr.c.id).limit(limit)
        return [_whole_number(row_id) for (row_id,) in self._session.execute(query)]

    def _names(self) -> Mapping[str, str]:
        """The canonical columns that there are, with their names as the engine spells them."""
        names = names_of(self._session, self._cdr)
        return {name: names[name] for name in COLUMNS if name in names}

    def _value(self, row_id: int, name: str) -> Any:
        query: Select[Any] = select(column(name)).select_from(self._cdr).where(self._cdr.c.id == id_value(row_id))
        return self._session.execute(query).scalar()

    def _read(self, *conditions: ColumnElement[bool], limit: int) -> list[RawRow]:
        query = everything_of(self._cdr).where(*conditions).order_by(self._cdr.c.id).limit(limit)
        return rows_of(self._session, query, NEEDED, "3cx.schema")

    def _one_id(self, query: Select[Any]) -> int | None:
        value = self._session.execute(query).scalar()
        return None if value is None else _whole_number(value)


def _as_row(raw: RawRow) -> Row:
    """Total but for its id, so that a strange row cannot hold up the others: whether its end makes sense is judged by
    the worker."""
    row_id = _whole_number(raw["id"])
    record = CallRecord.from_row({**raw, "id": row_id})
    return Row(row_id, not stands_for_no_time(record.values.get("ended_at")), (record,))


def _refuse_twins(ids: Sequence[int]) -> None:
    twin = next((one for one, next_one in pairwise(ids) if one == next_one), None)
    if twin is not None:
        raise SourceMisconfigured(
            f"3cx.schema: the column id must be another in each row, but {twin} stands in several, as a JOIN makes it; "
            "let it find one row for each call, or give the calls of a view ids of their own"
        )


def _whole_number(value: Any) -> int:
    way_out = "select the table's own counter, or add a numeric column that grows with each row"
    return whole_number(value, "3cx.schema: the column id", way_out)
