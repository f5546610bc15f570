"""The one codec of queue messages: a call detail record as JSON, with a version."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from cdr.calls.call import COLUMNS, CallKey, RawRow, Row, Travels
from shared.errors import InvalidMessage

VERSION = 1

# The longest value that any rule accepts is shorter. Twelve values of this length, each character escaped as twelve,
# stay below the 48 KiB that a message may have before Base64.
MAX_TEXT = 255

INTEGERS_BELOW = 10**40
"""Longer than in any database, and short enough to be the name of a row."""


def encode_row(raw: RawRow) -> str:
    """A row as message text. Total: any value that a driver may yield becomes something that JSON can hold."""
    values: dict[str, Any] = {}
    cut: dict[str, int] = {}
    for column in COLUMNS:
        if column not in raw:
            continue
        value = _plain(raw[column])
        if isinstance(value, str) and len(value) > MAX_TEXT:
            cut[column] = len(value)
            value = value[:MAX_TEXT]
        values[column] = value
    body = {"version": VERSION, "row": values}
    return json.dumps(body | {"cut": cut} if cut else body, separators=(",", ":"))


def _plain(value: Any) -> Any:  # noqa: PLR0911 - a table of types
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < INTEGERS_BELOW else str(value)[: MAX_TEXT + 1]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # noqa: PLR0124 - not a number
    if isinstance(value, Decimal):
        is_near = value.is_finite() and -INTEGERS_BELOW < value < INTEGERS_BELOW
        return int(value) if is_near and value == value.to_integral_value() else str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


def text_of_body(body: bytes) -> str:
    """A queue message's text. It travels in Base64, which host.json leaves to us: the host itself would set a message
    that is anything else aside, where no function ever sees it. Total."""
    try:
        return b64decode(body, validate=True).decode("utf-8")
    except ValueError:
        return body.decode("utf-8", "replace")


def decode_row(text: str) -> Row:
    """The row of a message.

    :raises InvalidMessage: for anything that encode_row of this version did not write
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessage("the message is not JSON") from None
    if not isinstance(body, Mapping) or "version" not in body:
        raise InvalidMessage("the message has no version")
    if type(body["version"]) is not int or body["version"] != VERSION:
        raise InvalidMessage(f"the message has version {str(body['version'])[:20]!r}, this worker knows {VERSION}")
    values, cut = body.get("row"), body.get("cut", {})
    if not isinstance(values, Mapping) or not isinstance(cut, Mapping) or not all(type(n) is int for n in cut.values()):
        raise InvalidMessage("the message holds no row")
    row_id = values.get("id")
    if type(row_id) is not int or abs(row_id) >= INTEGERS_BELOW:
        raise InvalidMessage("the row of the message has no whole number as id")
    if nested := [column for column in COLUMNS if isinstance(values.get(column), list | dict)]:
        raise InvalidMessage(f"the row of the message has a {nested[0]} that is neither text nor a number")
    known = {k: _well_formed(v) for k, v in values.items() if k in COLUMNS}
    return Row(row_id, known, dict(cut), _travels(body.get("travels")))


def with_travels(message: str, travels: Travels) -> str:
    """The same message with another record of its travels.

    :raises InvalidMessage: as decode_row
    """
    decode_row(message)
    note = {
        "times_put_back": travels.times_put_back,
        "since": travels.since.isoformat() if travels.since else None,
        "replay_of": [travels.replay_of.day, travels.replay_of.name] if travels.replay_of else None,
    }
    return json.dumps({**json.loads(message), "travels": note}, separators=(",", ":"))


def _travels(note: Any) -> Travels:
    if note is None:
        return Travels()
    try:
        times, since, replay_of = note["times_put_back"], note["since"], note["replay_of"]
        return Travels(
            _times(times),
            datetime.fromisoformat(since).astimezone(UTC) if since else None,
            _place(*replay_of) if replay_of else None,
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise InvalidMessage("the message's record of its travels is not readable") from None


def _times(value: Any) -> int:
    if type(value) is not int or not 0 <= value < INTEGERS_BELOW:
        raise ValueError("no number of times")
    return value


def _place(day: Any, name: Any) -> CallKey:
    if not all(isinstance(part, str) and len(part) <= MAX_TEXT for part in (day, name)):
        raise ValueError("no place in the ledger")
    return CallKey(_well_formed(day), _well_formed(name))


def _well_formed(value: Any) -> Any:
    """Half a surrogate pair is legal JSON, but no encoding can write it."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value
