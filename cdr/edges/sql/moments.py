"""Moments as parameters of a query on columns that hold UTC, with an offset or without one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, DateTime, bindparam


def moment_in_utc(moment: datetime, engine: str) -> BindParameter[Any]:
    """Aware where the engine compares such with either kind of column, else without an offset.

    SQLite compares text: the shortest way to write a moment is not beyond any other one.
    """
    if engine == "postgresql":
        return bindparam(None, moment, type_=DateTime(timezone=True))
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    if engine != "sqlite":
        return bindparam(None, naive)
    return bindparam(None, naive.isoformat(" ", "microseconds").rstrip("0").rstrip("."))
