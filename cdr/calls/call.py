"""The words of the domain, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

COLUMNS = (
    "id",
    "call_id",
    "started_at",
    "ended_at",
    "duration_s",
    "caller_number",
    "dest_number",
    "extension",
    "call_type",
    "answered",
    "hangup_cause",
    "call_group_id",
    "not_logged",
    "problem",
)
"""The canonical columns of a call detail record, in the order that a schema file yields them.

``not_logged`` and ``problem`` are what a source itself knows of a call: a reason for which there is nothing to log, and
a sentence that says why it cannot be.
"""

OPTIONAL_COLUMNS = frozenset({"call_group_id", "not_logged", "problem"})

MAX_TEXT = 255
"""The longest value that any rule accepts is shorter. Fourteen values of this length, each character escaped as twelve,
stay below the 48 KiB that a message may have before Base64."""

UNDATED = "undated"
"""The ledger's day for what has no end time, or is shared by the rows of several days."""

DIGEST = 32
"""Hexadecimal digits."""

INTEGERS_BELOW = 10**40
"""Longer than in any database, and short enough to be a name in the ledger."""


Value = str | int | float | bool | None
"""Of a column, as JSON can hold it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What a phone system tells of a finished call. ``id`` is unique within its source, and a name in the ledger.

    ``values`` has the canonical columns, ``shortened`` the full length of each text that was too long to travel whole.
    ``replaces`` are records that may have gone out before it was known that they are parts of this call.
    """

    id: str
    values: Mapping[str, Value]
    shortened: Mapping[str, int] = field(default_factory=dict)
    replaces: tuple[CallRecord, ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """A row as a database driver yields it. Total: any value becomes one that JSON can hold."""
        values: dict[str, Value] = {}
        shortened: dict[str, int] = {}
        for column in COLUMNS:
            if column not in row:
                continue
            value = _plain(row[column])
            if isinstance(value, str) and len(value) > MAX_TEXT:
                shortened[column] = len(value)
                value = value[:MAX_TEXT]
            values[column] = value
        return cls(str(values["id"]), values, shortened)

    @property
    def source_id(self) -> str:
        """What its source knows it by, the id of a row or of a flow: where several people get an entry of one call,
        theirs goes on after a slash."""
        return self.id.partition("/")[0]

    @property
    def written_id(self) -> int | str:
        """The id as the phone system writes it: a whole number as one."""
        value = self.values.get("id")
        return value if type(value) is int else self.id


def _plain(value: Any) -> Value:  # noqa: PLR0911 - a table of types
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < INTEGERS_BELOW else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
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


@dataclass(frozen=True, slots=True)
class CallKey:
    """Where a call stands in the ledger: ``day`` groups calls for look-ups, ``name`` is unique within the day.

    A name that is longer than a text may be on its way goes on as its beginning and a digest of the whole.

    ``ended_at`` (aware, UTC) is a note for who counts calls by the hour of their end, where it is known. What
    ``is_lasting`` is not changed by anything that a phone system or a setting may say anew.
    """

    day: str
    name: str
    ended_at: datetime | None = field(default=None, compare=False)
    is_lasting: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _digested(self.name, MAX_TEXT))

    @property
    def around(self) -> Sequence[CallKey]:
        """Where the same call may stand too: under the day before and the day after."""
        if self.day == UNDATED or self.is_lasting:
            return ()
        day = date.fromisoformat(self.day)
        return [CallKey((day + timedelta(days=away)).isoformat(), self.name) for away in (-1, 1)]


def well_formed(text: str) -> str:
    """Half a surrogate pair is legal JSON, but no encoding can write it."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _digested(text: str, longest: int) -> str:
    """A text as it is, or as much of it as leaves room for a digest that tells it from others that begin alike."""
    if len(text) <= longest:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{text[: longest - DIGEST - 1]}~{digest}"


@dataclass(frozen=True, slots=True)
class Outline:
    """What the log tells of a record, whether it makes a call or not; None is what cannot be told of this one.

    ``group`` is the call group's number, ``ended_at`` aware and in UTC.
    """

    extension: str | None = None
    direction: Direction | None = None
    group: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A call detail record to be worked on, its place in the ledger, and what the log tells of it."""

    record: CallRecord
    key: CallKey
    outline: Outline = Outline()


class Direction(StrEnum):
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


class CallType(StrEnum):
    """What the column ``call_type`` says: from outside, to outside, or in the house."""

    INBOUND = "0"
    OUTBOUND = "1"
    INTERNAL = "2"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the Call Logger wants it. ``ended_at`` is aware and in UTC."""

    pbx_call_id: str
    phone_number: str
    duration_s: int
    extension: str
    email: str | None
    direction: Direction
    call_group_id: str | None
    ended_at: datetime


class State(StrEnum):
    """What the ledger says of a call."""

    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REJECTED = "rejected"


class Reason(StrEnum):
    """Why a call's record in the ledger is as it is. Part of the interface: operators replay by these words."""

    CREATED = "created"
    KNOWN_BEFORE = "known_before"
    UNANSWERED = "unanswered"
    INTERNAL = "internal"
    NO_PARTY = "no_party"
    UNMAPPED_EXTENSION = "unmapped_extension"
    SAME_PBX_CALL_ID = "same_pbx_call_id"
    REPLAYED = "replayed"
    MERGED = "merged"
    GAVE_UP = "gave_up"
    INVALID_MESSAGE = "invalid_message"
    INVALID_ROW = "invalid_row"
    REFUSED_BY_API = "refused_by_api"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES: Mapping[Reason, str] = {
    Reason.CREATED: "the Call Logger made an entry of the call",
    Reason.KNOWN_BEFORE: "the Call Logger had the call already",
    Reason.UNANSWERED: "nobody answered, and calls.include_unanswered is false",
    Reason.INTERNAL: "both sides are extensions, and calls.include_internal is false",
    Reason.NO_PARTY: "the call has neither an outside party nor a person on the other side",
    Reason.UNMAPPED_EXTENSION: "nobody's e-mail address is known for the call's extension",
    Reason.SAME_PBX_CALL_ID: "another row with the same pbxCallId is at the Call Logger",
    Reason.REPLAYED: "the call was sent through once more, and stands elsewhere in the ledger now",
    Reason.MERGED: "it turned out to be a part of another call, which stands for it",
    Reason.GAVE_UP: "it could not be submitted for so long, or so often, that it was given up",
    Reason.INVALID_MESSAGE: "the message on the queue is none of ours, or of an unknown version",
    Reason.INVALID_ROW: "a column of the row cannot make a call",
    Reason.REFUSED_BY_API: "the Call Logger's validation refuses the call",
}


@dataclass(frozen=True, slots=True)
class NotLogged:
    """The rules say that a call does not go to the Call Logger."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended, as the ledger keeps it. ``detail`` is for people, ``reason`` for grouping.

    ``extension`` is the one without an address, so that the call is found once there is one.
    """

    state: State
    reason: Reason
    detail: str = ""
    entry_id: str | None = None
    extension: str | None = None
