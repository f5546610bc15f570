"""Legs of a V20 phone system over SQLAlchemy Core: on any engine, with whatever types its columns have."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    column,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.types import NullType

from cdr.edges.sql.connections import Connections, Session
from cdr.edges.sql.moments import moment_in_utc
from cdr.edges.sql.selects import as_text, read_select
from cdr.edges.sql.tables import facts_of, server_time
from cdr.intake.columns import id_in, time_in
from cdr.intake.folded import FoldOptions
from cdr.intake.leg import COLUMNS, Leg, leg_of
from cdr.intake.ports import Position, Progress, SourceFacts
from cdr.intake.time_order import PAGE_SIZE, LegPatience, TimeOrderReader, Touched, progress
from shared import log
from shared.clock import Clock
from shared.config.phone_system import Database
from shared.errors import InvalidRow, SourceMisconfigured

NEEDED = frozenset(COLUMNS) - {"offload_id"}

FIRST_TIME, LAST_TIME = datetime(1990, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def read_legs(name: str, root: Path) -> str:
    """The SELECT of legs; raises as read_select does."""
    return read_select(name, root, "config/legs", "3cx.schema")


class SqlV20:
    """A CallSource on a table of legs. Times without an offset are in UTC there, whatever is configured."""

    name = "v20"

    def __init__(
        self,
        database: Database,
        legs_sql: str,
        clock: Clock,
        patience: LegPatience,
        *,
        options: FoldOptions,
        page_size: int = PAGE_SIZE,
    ) -> None:
        in_utc = database.model_copy(update={"timezone": "UTC"})
        self._connections = Connections(in_utc, "3cx.schema")
        self._database = in_utc
        self._sql = legs_sql
        self._engine = database.engine
        self._clock = clock
        self._patience = patience
        self._options = options
        self._page_size = page_size

    @contextmanager
    def connect(self) -> Iterator[TimeOrderReader]:
        with self._connections.open() as connection:
            table = SqlLegTable(connection, self._sql, self._engine)
            yield TimeOrderReader(table, self._clock, self._patience, self._options, self._page_size)

    def progress(self, position: Position) -> Progress:
        return progress(position)

    def about(self) -> SourceFacts:
        return facts_of(self._connections, self._database)


class SqlLegTable:
    """A LegTable on one connection."""

    def __init__(self, connection: Session, legs_sql: str, engine: str) -> None:
        self._connection = connection
        self._engine = engine
        known = as_text(legs_sql).columns(*(column(name, NullType()) for name in COLUMNS))
        self._legs = known.subquery("legs")

    def now(self) -> datetime:
        return server_time(self._connection, self._engine) or datetime.now(UTC)

    def newest_end(self) -> datetime | None:
        newest = self._connection.execute(select(func.max(self._legs.c.cdr_ended_at)).where(self._is_time)).scalar()
        return time_in({"cdr_ended_at": newest}, "cdr_ended_at")

    def ended_from(self, since: datetime | None, after: Touched | None, limit: int) -> Sequence[Touched]:
        legs = self._legs.c
        first = moment_in_utc(after.ended_at if after is not None else since or FIRST_TIME, self._engine)
        is_known = legs.cdr_id.is_not(None), legs.call_history_id.is_not(None)
        wanted: list[ColumnElement[bool]] = [legs.cdr_ended_at >= first, self._is_time, *is_known]
        if after is not None:
            wanted.append(or_(legs.cdr_ended_at > first, legs.cdr_id > _plain(after.leg)))
        fields = (legs.cdr_id, legs.call_history_id, legs.main_call_history_id, legs.cdr_ended_at)
        query = select(*fields).where(*wanted).order_by(legs.cdr_ended_at, legs.cdr_id).limit(limit)
        return [_touched(row) for row in self._connection.execute(query).mappings()]

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        """By one column and then by the other: a condition over both keeps some engines from using their indexes."""
        spelled = sorted({spelling for flow in flows for spelling in (flow, flow.upper())})
        named = bindparam("flows", spelled, expanding=True, type_=NullType())
        found: list[Leg] = []
        for name in ("call_history_id", "main_call_history_id"):
            query: Any = select(literal_column("legs.*")).select_from(self._legs).where(self._legs.c[name].in_(named))
            result = self._connection.execute(query.limit(limit))
            names = [name.lower() for name in result.keys()]  # noqa: SIM118 - a result is no dict
            if missing := sorted(NEEDED - set(names)):
                raise SourceMisconfigured(f"3cx.schema: the SELECT of legs yields no column {', '.join(missing)}")
            found += [leg for row in result if (leg := _leg(dict(zip(names, row, strict=True)))) is not None]
        return found

    @property
    def _is_time(self) -> ColumnElement[bool]:
        """Not one of the placeholders that stand for a time far ahead."""
        return self._legs.c.cdr_ended_at < moment_in_utc(LAST_TIME, self._engine)


def _plain(value: str) -> BindParameter[Any]:
    """Without a type of its own: it takes that of the column, which may be a uuid or text."""
    return bindparam(None, value, type_=NullType())


def _touched(row: Mapping[Any, Any]) -> Touched:
    columns = {str(name): value for name, value in row.items()}
    leg, flow = (id_in(columns, name) or str(columns[name]) for name in ("cdr_id", "call_history_id"))
    return Touched(leg, flow, id_in(columns, "main_call_history_id"), time_in(columns, "cdr_ended_at") or FIRST_TIME)


def _leg(row: Mapping[str, Any]) -> Leg | None:
    """A leg that cannot be read is one without an end: its call waits, and tells in the end that it never became whole.
    Without a call that it belongs to, there is nothing to wait for."""
    try:
        return leg_of(row)
    except InvalidRow as exc:
        log.event("row.unreadable", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
    leg, flow = id_in(row, "cdr_id"), id_in(row, "call_history_id")
    return Leg(leg or f"unreadable-{flow}", flow) if flow is not None else None
