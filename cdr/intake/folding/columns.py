"""Plain values out of a row, whatever type the engine, the driver or whoever copied the table gave a column. Pure."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cdr.calls.call import INTEGERS_BELOW, well_formed
from cdr.calls.times import YEARS, stands_for_no_time, time_of
from shared.errors import InvalidRow

RawColumns = Mapping[str, Any]
"""Column to value, as a database driver gives it. A column that is not there reads as NULL."""

_TRUE = frozenset({"1", "true", "t", "yes", "y", "\x01"})  # the last is how MySQL gives a BIT
_FALSE = frozenset({"0", "false", "f", "no", "n", "\x00"})
_UUID_BYTES = 16


def id_in(row: RawColumns, column: str) -> str | None:
    """Lower-case text. NULL, blank and the uuid of zeros name nothing."""
    value = row.get(column)
    if isinstance(value, bytes | bytearray | memoryview) and len(bytes(value)) == _UUID_BYTES:
        value = uuid.UUID(bytes=bytes(value))
    text = (_text(value) or "").strip("{}").lower()
    return text if text.strip("0-") else None


def text_in(row: RawColumns, column: str) -> str | None:
    """Without the blanks that a char column is padded with; None if nothing is left."""
    return _text(row.get(column))


def word_in(row: RawColumns, column: str) -> str | None:
    """A name out of a list of the phone system's own, in lower case."""
    text = _text(row.get(column))
    return text.lower() if text else None


def flag_in(row: RawColumns, column: str) -> bool | None:
    """True or false; None for NULL and for what is neither."""
    value = row.get(column)
    if isinstance(value, bytes | bytearray | memoryview):
        value = (bytes(value).lstrip(b"\0") or b"\0").decode("latin-1")  # a BIT may be wider than it needs
    word = str(int(value) if isinstance(value, bool | Decimal | float) and value in (0, 1) else value).lower()
    word = word if word in ("\x00", "\x01") else word.strip().removesuffix(".0")
    return True if word in _TRUE else False if word in _FALSE else None


def whole_number_in(row: RawColumns, column: str) -> int | None:
    """A whole number, from text too; None for NULL and for what is none."""
    text = _text(row.get(column)) or ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,40}", text) else None


def time_in(row: RawColumns, column: str) -> datetime | None:
    """An aware time in UTC, which is also what a time without an offset is in; None for NULL and for placeholders.

    :raises InvalidRow: it is no date and time
    """
    value = row.get(column)
    moment = value if isinstance(value, datetime) else _parsed(column, value)
    if moment is None or moment.year not in YEARS:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time_if_readable(row: RawColumns, column: str) -> datetime | None:
    """The same; None also for what is no date and time."""
    try:
        return time_in(row, column)
    except InvalidRow:
        return None


def _parsed(column: str, value: Any) -> datetime | None:
    text = _text(value)
    if text is None or stands_for_no_time(text):
        return None
    if (found := time_of(text)) is not None:
        return found
    raise InvalidRow(column, f"holds {text[:40]!r}, which is no date and time")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, float | Decimal):
        value = _whole(value)
    return well_formed(str(value).strip()) or None


def _whole(value: float | Decimal) -> int | float | Decimal:
    """A whole number as such, as far as one is written with few digits."""
    is_near = math.isfinite(value) and -INTEGERS_BELOW < value < INTEGERS_BELOW
    return int(value) if is_near and value == int(value) else value
