"""Moments as parameters of a query, on columns with an offset or without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BindParameter, ColumnElement, DateTime, bindparam, case, func, literal, select

from cdr.edges.sql.connections import Session
from shared.config.phone_system import Database

ROWS_TO_LOOK_AT = 20
LEAST_DATE = 10  # characters of 2026-11-22


def moment_in_utc(moment: datetime, engine: str) -> BindParameter[Any]:
    """For columns that hold UTC. Aware where the engine compares such with either kind of column, else without an
    offset.

    SQLite compares text: the shortest way to write a moment is not beyond any other one.
    """
    if engine == "postgresql":
        return bindparam(None, moment, type_=DateTime(timezone=True))
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    if engine != "sqlite":
        return bindparam(None, naive)
    return bindparam(None, naive.isoformat(" ", "microseconds").rstrip("0").rstrip("."))


class TimeColumn:
    """A column of times, to be compared with moments (aware, whole seconds count).

    Times without an offset are in the configured zone. PostgreSQL compares its two types of timestamp itself, in the
    zone of the session, which is the configured one. SQLite has text, each with an offset or without, in any
    writing that a call's times may have. Of the others a
    column either holds moments, as TIMESTAMP and DATETIMEOFFSET do, or times without an offset.
    """

    def __init__(
        self, session: Session, times: ColumnElement[Any], ids: ColumnElement[Any], database: Database
    ) -> None:
        self._session = session
        self._times = times
        self._ids = ids
        self._engine = database.engine
        self._zone = ZoneInfo(database.timezone)

    def is_from(self, moment: datetime) -> ColumnElement[bool]:
        return self._compared(moment.replace(microsecond=0), lambda times, at: times >= at)

    def is_before(self, moment: datetime) -> ColumnElement[bool]:
        return self._compared(moment.replace(microsecond=0), lambda times, at: times < at)

    def _compared(
        self, moment: datetime, compare: Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        local, in_utc = (moment.astimezone(zone) for zone in (self._zone, UTC))
        if self._engine == "postgresql":
            return compare(self._times, literal(local, DateTime(timezone=True)))
        if self._engine == "sqlite":
            usual = func.replace(self._times, "/", "-")
            written = case((func.datetime(usual).is_not(None), usual), else_=func.as_iso(self._times))
            seconds = func.coalesce(func.datetime(written), written)  # in UTC, where there is an offset
            has_offset = func.substr(written, LEAST_DATE + 1).op("GLOB")("*[-+Zz]*")
            by_offset, by_zone = (compare(seconds, literal(_text(at))) for at in (in_utc, local))
            return case((has_offset, by_offset), else_=by_zone)
        if not self._holds_moments:
            return compare(self._times, literal(local.replace(tzinfo=None)))
        if self._engine == "sqlserver":  # whose drivers send no offset, but as text
            return compare(self._times, literal(f"{_text(in_utc)}.000000 +00:00"))
        return compare(self._times, literal(in_utc.replace(tzinfo=None)))

    @cached_property
    def _holds_moments(self) -> bool:
        """Told by the newest values, which are aware or not, since a SELECT has no types that one could ask for."""
        known = self._times.is_not(None)
        query = select(self._times).where(known).order_by(self._ids.desc()).limit(ROWS_TO_LOOK_AT)
        return any(_is_aware(value) for (value,) in self._session.execute(query))


def _is_aware(value: Any) -> bool:
    """Also as text, which is how FreeTDS gives it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace(" +", "+").replace(" -", "-"))
        except ValueError:
            return False
    return isinstance(value, datetime) and value.tzinfo is not None


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
