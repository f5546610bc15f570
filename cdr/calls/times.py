"""Dates, times and durations as phone systems write them. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

YEARS = range(1990, 9000)
"""What lies outside stands for "not yet": every engine and every writer of rows has a placeholder of its own, such as
1900-01-01 or 9999-12-31."""

_NOTHING = frozenset({"", "-", "null", "none", "n/a", "infinity", "-infinity"})
_YEAR = re.compile(r"([+-]?[0-9]{4,9})[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?![0-9])")


def stands_for_no_time(value: Any) -> bool:
    """Whether a value of a column of times says that there is none yet. A text that makes no sense does not."""
    if value is None:
        return True
    text = str(value).strip().lower()
    if text in _NOTHING or not text.strip("0.:-/ tz"):
        return True
    year = _YEAR.match(text)
    return year is not None and (text.endswith(" bc") or int(year[1]) not in YEARS)
