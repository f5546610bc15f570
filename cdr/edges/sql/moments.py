"""Moments as parameters of a query, on columns with an offset or without one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BindParameter, ColumnElement, DateTime, LargeBinary, bindparam, case, cast, func, literal, select

from cdr.calls.times import stands_for_no_time, time_of
from cdr.edges.sql.connections import Session
from shared import log
from shared.config.phone_system import Database
from shared.errors import SourceMisconfigured

ROWS_TO_LOOK_AT = 20
LEAST_DATE = 10  # characters of 2026-11-22

_IN_ORDER = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}-|/[0-9]{2}/)[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    r"(?P<zone> ?(?:Z|UTC|[+-]00(?::?00)?))?"
)
"""Texts that sort as the times do that they tell of."""
_AHEAD = re.compile(r" ?\+[0-9]{2}(?::?[0-9]{2}){0,2}$")
_NUMBER = re.compile(r"[0-9]{9,20}(?:\.[0-9]+)?")
"""Of seconds, in whatever unit."""
_WAYS_OUT: Mapping[str, str] = {
    "mysql": "STR_TO_DATE(..., '%d.%m.%Y %H:%i:%s') of a text, FROM_UNIXTIME(...) of a number",
    "sqlite": "datetime(..., 'unixepoch') of a number",
    "sqlserver": "CAST(... AS datetimeoffset) of a text, DATEADD(second, ..., '1970-01-01') of a number",
    "postgresql": "to_timestamp(..., 'DD.MM.YYYY HH24:MI:SS') of a text, to_timestamp(...) of a number",
}


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
    writing that a call's times may have. Of the others a column either holds moments, as TIMESTAMP and DATETIMEOFFSET
    do, or times without an offset; so do texts of MySQL.

    :raises SourceMisconfigured: from every comparison where it holds what an engine would compare in an order of its
        own, and leave rows out without a word
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
        self._refuse_what_is_in_no_order()
        if self._engine == "sqlite":
            usual = func.replace(self._times, "/", "-")
            written = case(
                (func.datetime(usual).is_not(None), usual), else_=func.as_iso(cast(self._times, LargeBinary))
            )
            seconds = func.coalesce(func.datetime(written), written)  # in UTC, where there is an offset
            has_offset = func.substr(written, LEAST_DATE + 1).op("GLOB")("*[-+Zz]*")
            by_offset, by_zone = (compare(seconds, literal(_text(at))) for at in (in_utc, local))
            return case((has_offset, by_offset), else_=by_zone)
        if self._engine == "mysql" and self._holds_texts:
            usual = func.replace(func.replace(self._times, "/", "-"), "T", " ")
            return compare(usual, literal(_text(in_utc if self._holds_moments else local)))
        if not self._holds_moments:
            return compare(self._times, literal(local.replace(tzinfo=None)))
        if self._engine == "sqlserver":  # whose drivers send no offset, but as text
            return compare(self._times, literal(f"{_text(in_utc)}.000000 +00:00"))
        return compare(self._times, literal(in_utc.replace(tzinfo=None)))

    def _refuse_what_is_in_no_order(self) -> None:
        odd = [value for value in self._newest if not _is_in_order(value, self._engine)]
        if len(odd) * 2 > len(self._newest):
            raise not_in_order(self._times.name, odd[0], self._engine)

    @property
    def _holds_moments(self) -> bool:
        return any(_has_offset(value) for value in self._newest)

    @property
    def _holds_texts(self) -> bool:
        """One value alone may be text because it is no date."""
        return sum(isinstance(value, str) for value in self._newest) * 2 > len(self._newest)

    @cached_property
    def _newest(self) -> Sequence[Any]:
        """By which a column shows what it holds, since a SELECT has no types that one could ask for."""
        known = self._times.is_not(None)
        query = select(self._times).where(known).order_by(self._ids.desc()).limit(ROWS_TO_LOOK_AT)
        return [value for (value,) in self._session.execute(query) if not _is_placeholder(value)]


def not_in_order(name: str, held: Any, engine: str) -> SourceMisconfigured:
    """What is wrong with a column by which rows are to be found by their time."""
    shown = log.mask_numbers(str(held)[:40])
    return SourceMisconfigured(
        f"3cx.schema: the column {name} holds {shown!r}, which cannot be compared with other times as it is; make a "
        f"time of it in the SELECT, such as {_WAYS_OUT[engine]}"
    )


def _text_is_in_order(text: str) -> bool:
    return _IN_ORDER.fullmatch(text.strip()) is not None


def text_is_not_behind(text: str) -> bool:
    """Whether it sorts as its time does, or by an offset ahead of UTC as a later one: that is only read more often."""
    return _text_is_in_order(_AHEAD.sub("", text.strip()))


def _is_placeholder(value: Any) -> bool:
    return stands_for_no_time(value.isoformat() if isinstance(value, datetime) else value)


def _is_in_order(value: Any, engine: str) -> bool:
    """SQLite's texts are all read by ourselves; SQL Server fails with what it cannot read as a time, but compares texts
    with an offset as texts. What is no time at all is one row's own affair."""
    if not isinstance(value, str):
        return not isinstance(value, int | float | Decimal)
    if _NUMBER.fullmatch(value.strip()):
        return False
    if engine == "sqlite" or time_of(value) is None:
        return True
    return _text_is_in_order(value) if engine == "mysql" else not _has_offset(value) or "T" not in value


def _has_offset(value: Any) -> bool:
    """Also as text, which is how FreeTDS gives it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace(" +", "+").replace(" -", "-"))
        except ValueError:
            found = _IN_ORDER.fullmatch(value.strip())
            return found is not None and found["zone"] is not None
    return isinstance(value, datetime) and value.tzinfo is not None


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
