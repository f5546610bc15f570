"""Calls of a V16 to V20 Update 5 phone system: ``cl_calls`` in order of their ids, each with its segments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, column, func, select, table

from cdr.edges.sql.connections import Session
from cdr.edges.sql.ids import beyond, counted, rows_among, whole_number, without
from cdr.edges.sql.moments import moment_in_utc
from cdr.edges.sql.named_rows import everything_of, names_of, rows_of
from cdr.edges.sql.row_by_row import column_by_column, readable_parts
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.source import SqlSource
from cdr.intake.folding.fold import FoldedCall, FoldOptions, records_of
from cdr.intake.folding.v18_segments import calls_of, unreadable_call
from cdr.intake.id_order.position import Range
from cdr.intake.id_order.reader import PAGE_SIZE, IdOrderReader, progress
from cdr.intake.id_order.table import IdSpan, Row, RowPatience
from shared.clock import Clock
from shared.config.phone_system import Database
from shared.config.select_files import OF_LEGS

_CALLS = table("cl_calls", column("id"), column("start_time"), column("end_time"))


def read_segments(engine: str, root: Path) -> str:
    """The SELECT of segments for a kind of database; raises as read_select does."""
    return read_select(f"v18-{'postgresql' if engine == 'sqlite' else engine}", root, OF_LEGS, "3cx.source")


def v18_source(
    database: Database,
    segments_sql: str,
    clock: Clock,
    patience: RowPatience,
    *,
    options: FoldOptions,
    page_size: int = PAGE_SIZE,
) -> SqlSource[IdOrderReader]:
    """Of the ``cl_*`` tables. Times without an offset are in UTC there, whatever is configured."""

    def reader_on(session: Session) -> IdOrderReader:
        table = SqlSegmentTable(session, segments_sql, database.engine, options)
        return IdOrderReader(table, clock, patience, "UTC", page_size)

    in_utc = database.model_copy(update={"timezone": "UTC"})
    return SqlSource("v18", in_utc, "3cx.source", reader_on, progress)


class SqlSegmentTable:
    """A RowTable on one connection. A call's row is there once it has ended; its segments may come a moment later."""

    def __init__(self, connection: Session, segments_sql: str, engine: str, options: FoldOptions) -> None:
        self._connection = connection
        self._engine = engine
        self._options = options
        self._segments = as_text(segments_sql).columns(column("call_id")).subquery("segments")

    def rows_after(self, position: int | None, limit: int) -> list[Row]:
        return self._rows(beyond(_CALLS.c.id, position), limit=limit)

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[Row]:
        return rows_among(_CALLS.c.id, ranges, after, limit, lambda among, most: self._rows(among, limit=most))

    def ended_among(self, ids: Sequence[int], after: int | None, limit: int) -> list[Row]:
        """Here only its segments say whether a call is whole."""
        return self.rows_in([(row_id, row_id) for row_id in ids], after, limit)

    def newest_id(self) -> int | None:
        known = _CALLS.c.id.is_not(None)
        return self._one_id(select(_CALLS.c.id).where(known).order_by(_CALLS.c.id.desc()).limit(1))

    def first_id_since(self, moment: datetime) -> int | None:
        begun = _CALLS.c.start_time >= moment_in_utc(moment, self._engine)
        return self._one_id(select(func.min(_CALLS.c.id)).where(begun))

    def rows_ended_between(self, start: datetime, end: datetime, within: IdSpan, limit: int) -> list[Row]:
        from_start, to_end = (moment_in_utc(moment, self._engine) for moment in (start, end))
        up_to = [] if within.last is None else [_CALLS.c.id <= within.last]
        ended = (_CALLS.c.end_time >= from_start, _CALLS.c.end_time < to_end)
        return self._rows(*ended, beyond(_CALLS.c.id, within.after), *up_to, limit=limit)

    def count_among(self, first: int, last: int) -> int:
        return int(self._connection.execute(counted(_CALLS.c.id, first, last)).scalar() or 0)

    def nameless(self, most: int) -> int:
        return int(self._connection.execute(without(_CALLS.c.id, most)).scalar() or 0)

    def _one_id(self, query: Select[Any]) -> int | None:
        value = self._connection.execute(query).scalar()
        return None if value is None else _whole_number(value)

    def _rows(self, *wanted: ColumnElement[bool], limit: int) -> list[Row]:
        """A call that a replica was sent twice is one."""
        query = select(_CALLS.c.id).distinct().where(*wanted).order_by(_CALLS.c.id).limit(limit)
        ids = [_whole_number(number) for (number,) in self._connection.execute(query)]
        if not ids:
            return []
        calls = {call.id: call for call in self._calls(ids)}
        return [self._row(calls[str(number)]) for number in ids if str(number) in calls]

    def _calls(self, ids: Sequence[int]) -> Sequence[FoldedCall]:
        return readable_parts(ids, self._read_calls, self._read_columns)

    def _read_calls(self, ids: Sequence[int]) -> list[FoldedCall]:
        wanted = everything_of(self._segments).where(self._segments.c.call_id.in_(ids))
        return calls_of(rows_of(self._connection, wanted, ["call_id"], "3cx.source"))

    def _read_columns(self, call_id: int) -> FoldedCall:
        """A call of which a segment cannot be read, with what can."""
        own = self._segments.c.call_id == call_id

        def value(name: str) -> Any:
            return self._connection.execute(select(column(name)).select_from(self._segments).where(own)).scalar()

        return unreadable_call(
            column_by_column(call_id, names_of(self._connection, self._segments), value, key="call_id")
        )

    def _row(self, call: FoldedCall) -> Row:
        """What is not whole is told of as it is only once it is given up."""
        waited = not call.is_complete
        records = records_of(call, self._options, after_wait=waited, give_up=waited)
        return Row(int(call.id), call.is_complete, tuple(records))


def _whole_number(value: Any) -> int:
    return whole_number(
        value, "3cx.source: the column id of cl_calls", "give it the type that it has in the phone system"
    )
