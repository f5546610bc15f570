"""When a call of 3CX V20 began: its id tells, as a Windows file time between zeros and a counter. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_TIME_ID = re.compile(r"0{8}-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})[0-9a-f]{8}")
_1601 = datetime(1601, 1, 1, tzinfo=UTC)
_YEARS = range(2000, 2200)


def beginning_in(flow: str) -> datetime | None:
    """When a flow began, from its id; None if that is another kind of id."""
    found = _TIME_ID.fullmatch(flow)
    if found is None:
        return None
    ticks = int("".join(found.groups()), 16)
    moment = _1601 + timedelta(microseconds=min(ticks // 10, 10**17))
    return moment if moment.year in _YEARS else None
