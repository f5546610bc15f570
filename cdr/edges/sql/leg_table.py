"""Legs of a V20 phone system over SQLAlchemy Core: on any engine, with whatever types its columns have."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, column, func, or_, select
from sqlalchemy.types import NullType

from cdr.calls.times import time_of
from cdr.edges.sql.connections import Session
from cdr.edges.sql.errors import Unconvertible
from cdr.edges.sql.ids import without
from cdr.edges.sql.moments import ROWS_TO_LOOK_AT, moment_in_utc, not_in_order, text_is_not_behind
from cdr.edges.sql.named_rows import everything_of, names_of, rows_of
from cdr.edges.sql.row_by_row import RawRow, column_by_column, readable_parts
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.source import SqlSource
from cdr.edges.sql.tables import server_time
from cdr.intake.folding.columns import id_in, time_if_readable, time_in
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.folding.leg import COLUMNS, Leg, leg_of
from cdr.intake.time_order.reader import PAGE_SIZE, LegPatience, TimeOrderReader, progress
from cdr.intake.time_order.table import FLOWS_AT_ONCE, Touched
from shared import log
from shared.clock import Clock
from shared.config.phone_system import Database
from shared.config.select_files import OF_LEGS
from shared.errors import InvalidRow

NEEDED = [name for name in COLUMNS if name != "offload_id"]

FIRST_TIME, LAST_TIME = datetime(1990, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def read_legs(name: str, root: Path, engine: str = "") -> str:
    """The SELECT of legs; raises as read_select does."""
    return read_select(name, root, OF_LEGS, "3cx.schema", engine)


def v20_source(
    database: Database,
    legs_sql: str,
    clock: Clock,
    patience: LegPatience,
    *,
    options: FoldOptions,
    page_size: int = PAGE_SIZE,
) -> SqlSource[TimeOrderReader]:
    """Of a table of legs. Times without an offset are in UTC there, whatever is configured."""

    def reader_on(session: Session) -> TimeOrderReader:
        table = SqlLegTable(session, legs_sql, database.engine)
        return TimeOrderReader(table, clock, patience, options, page_size)

    in_utc = database.model_copy(update={"timezone": "UTC"})
    return SqlSource("v20", in_utc, "3cx.schema", reader_on, progress)


class SqlLegTable:
    """A LegTable on one connection."""

    def __init__(self, connection: Session, legs_sql: str, engine: str) -> None:
        self._connection = connection
        self._engine = engine
        known = as_text(legs_sql).columns(*(column(name, NullType()) for name in COLUMNS))
        self._legs = known.subquery("legs")

    def now(self) -> datetime:
        return server_time(self._connection, self._engine) or FIRST_TIME

    def newest_end(self) -> datetime | None:
        ends = self._legs.c.cdr_ended_at
        newest = self._connection.execute(select(func.max(ends)).where(*self._ended(FIRST_TIME))).scalar()
        return time_in({"cdr_ended_at": newest}, "cdr_ended_at")

    def ended_from(self, since: datetime | None, limit: int) -> Sequence[Touched]:
        legs = self._legs.c
        fields = (legs.call_history_id, legs.main_call_history_id, legs.cdr_ended_at)
        wanted = (*self._ended(since or FIRST_TIME), legs.call_history_id.is_not(None))
        query = select(*fields).where(*wanted).order_by(legs.cdr_ended_at).limit(limit)
        rows = self._connection.execute(query).mappings().all()
        any_ends = select(legs.cdr_ended_at).where(legs.cdr_ended_at.is_not(None)).limit(ROWS_TO_LOOK_AT)
        self._refuse_texts_in_no_order(
            [row["cdr_ended_at"] for row in rows] or self._connection.execute(any_ends).scalars().all()
        )
        return [_touched(row) for row in rows]

    def _refuse_texts_in_no_order(self, ends: Sequence[Any]) -> None:
        """Of which the newest are not found by being beyond the others."""
        odd = [end for end in ends if isinstance(end, str) and time_of(end) is not None and not text_is_not_behind(end)]
        if len(odd) * 2 > len(ends):
            raise not_in_order("cdr_ended_at", odd[0], self._engine)

    def endless_from(self, since: datetime | None, before: datetime, limit: int) -> Sequence[Touched]:
        legs = self._legs.c
        from_since, to_before, first, last = (
            moment_in_utc(moment, self._engine) for moment in (since or FIRST_TIME, before, FIRST_TIME, LAST_TIME)
        )
        ends, began = legs.cdr_ended_at, legs.cdr_started_at
        is_endless = or_(ends.is_(None), ends < first, ends >= last)
        wanted = (is_endless, began >= from_since, began < to_before, legs.call_history_id.is_not(None))
        fields = (legs.call_history_id, legs.main_call_history_id, began)
        found = self._connection.execute(select(*fields).where(*wanted).order_by(began).limit(limit)).mappings()
        return [_touched(row, "cdr_started_at") for row in found]

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        """By one column and then by the other: a condition over both keeps some engines from using their indexes."""
        found: list[Leg] = []
        named = list(flows)
        for start in range(0, len(named), FLOWS_AT_ONCE):
            own, main = self._legs.c.call_history_id, self._legs.c.main_call_history_id
            some = _spelled(named[start : start + FLOWS_AT_ONCE])
            for wanted in (own.in_(some), and_(main.in_(some), own.not_in(some))):
                found += self._legs_where(wanted, limit + 1 - len(found))
                if len(found) > limit:
                    return found
        return found

    def count_ended(self, start: datetime, end: datetime) -> int:
        from_start, to_end = (moment_in_utc(moment, self._engine) for moment in (start, end))
        ends = self._legs.c.cdr_ended_at
        query = select(func.count(self._legs.c.cdr_id.distinct())).where(ends >= from_start, ends < to_end)
        return int(self._connection.execute(query).scalar() or 0)

    def nameless(self, most: int) -> int:
        """In two queries, each with an index."""
        legs = self._legs.c
        counts = (without(legs.call_history_id, most), without(legs.cdr_ended_at, most, legs.cdr_started_at.is_(None)))
        return min(most, sum(int(self._connection.execute(count).scalar() or 0) for count in counts))

    def _legs_where(self, wanted: ColumnElement[bool], limit: int) -> Iterator[Leg]:
        try:
            rows = self._read(wanted, limit)
        except Unconvertible:
            rows = self._readable(wanted, limit)
        return (leg for row in rows if (leg := _leg(row)) is not None)

    def _read(self, wanted: ColumnElement[bool], limit: int) -> list[RawRow]:
        return rows_of(self._connection, everything_of(self._legs).where(wanted).limit(limit), NEEDED, "3cx.schema")

    def _readable(self, wanted: ColumnElement[bool], limit: int) -> list[RawRow]:
        """Of copies of a leg that cannot be read there is one.

        :raises Unconvertible: what cannot be converted decides which legs there are
        """
        own = self._legs.c.cdr_id
        named = names_of(self._connection, self._legs)
        names = {name: named[name] for name in COLUMNS if name in named}

        def are(some: Sequence[Any]) -> ColumnElement[bool]:
            return own.in_(bindparam(None, list(some), expanding=True, unique=True, type_=NullType()))

        def read_columns(leg: Any) -> RawRow:
            def value(name: str) -> Any:
                return self._connection.execute(select(column(name)).select_from(self._legs).where(are([leg]))).scalar()

            return column_by_column(leg, names, value, key="cdr_id")

        query = select(own).distinct().where(wanted, own.is_not(None)).order_by(own).limit(limit)
        ids = [leg for (leg,) in self._connection.execute(query)]
        return readable_parts(ids, lambda some: self._read(and_(wanted, are(some)), limit), read_columns)

    def _ended(self, since: datetime) -> tuple[ColumnElement[bool], ...]:
        """From a moment on, without the placeholders that stand for a time far ahead."""
        ends = self._legs.c.cdr_ended_at
        return ends >= moment_in_utc(since, self._engine), ends < moment_in_utc(LAST_TIME, self._engine)


def _spelled(flows: Sequence[str]) -> BindParameter[Any]:
    """In lower and in upper case, for columns of text; without a type of its own, to take that of the column."""
    spellings = sorted({spelling for flow in flows for spelling in _spellings_of(flow)})
    return bindparam(None, spellings, expanding=True, unique=True, type_=NullType())


def _spellings_of(flow: str) -> tuple[str, str]:
    return flow, flow.upper()


def _touched(row: Mapping[Any, Any], time: str = "cdr_ended_at") -> Touched:
    """What cannot be read as a time comes first, where it is in nobody's way."""
    columns = {str(name): value for name, value in row.items()}
    ended_at = time_if_readable(columns, time)
    flow, main_flow = (id_in(columns, name) for name in ("call_history_id", "main_call_history_id"))
    written = str(columns["call_history_id"])
    return Touched(flow or "", main_flow, ended_at or FIRST_TIME, is_usual=written in _spellings_of(flow or ""))


def _leg(row: Mapping[str, Any]) -> Leg | None:
    """A leg that makes no sense is one without an end: its call waits, and tells in the end what was wrong. Without a
    call that it belongs to, there is nothing to wait for."""
    try:
        return leg_of(row)
    except InvalidRow as exc:
        problem = str(exc)
    log.event("row.unreadable", level=logging.WARNING, reason=log.mask_numbers(problem))
    leg, flow = id_in(row, "cdr_id"), id_in(row, "call_history_id")
    return Leg(leg or f"unreadable-{flow}", flow, problem=problem) if flow is not None else None
