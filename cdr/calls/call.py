"""The words of the domain, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
)
"""The canonical columns of a call detail record, in the order that a schema file yields them."""

OPTIONAL_COLUMNS = frozenset({"call_group_id"})

RawRow = Mapping[str, Any]
"""A call detail record as the database driver gives it: canonical column to raw value."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """Where a call stands in the ledger: ``day`` groups calls for look-ups, ``name`` is unique within the day."""

    day: str
    name: str


@dataclass(frozen=True, slots=True)
class Travels:
    """What a message has been through: how often it was put back and since when (aware, UTC), and, if it is a replay,
    the ledger's record that it comes from."""

    times_put_back: int = 0
    since: datetime | None = None
    replay_of: CallKey | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A call detail record as it travels on the queue.

    ``values`` are raw: text, whole numbers, floats, booleans or None. ``cut`` has the full length of each text that was
    too long to travel whole.
    """

    id: int
    values: Mapping[str, Any]
    cut: Mapping[str, int] = field(default_factory=dict)
    travels: Travels = field(default_factory=Travels)


class Direction(StrEnum):
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


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


@dataclass(frozen=True, slots=True)
class NotLogged:
    """The rules say that a call does not go to the Call Logger; ``reason`` is one word for grouping."""

    reason: str


class State(StrEnum):
    """What the ledger says of a call."""

    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended, as the ledger keeps it. ``detail`` is for people, ``reason`` for grouping."""

    state: State
    reason: str
    detail: str = ""
    entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API has the call: ``entry_id`` is its own id where it said so; ``earlier`` if it had the call before."""

    entry_id: str | None
    earlier: bool


class Outcome(StrEnum):
    """What came of one message; each one means that the message is done."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    REPEATED = "repeated"
    PUT_BACK = "put_back"


@dataclass(frozen=True, slots=True)
class CallRules:
    """The ``calls`` section of the configuration, with the mapping and groups that the rules need."""

    include_internal: bool = True
    include_unanswered: bool = False
    internal_digits: tuple[int, int] = (2, 5)
    phone_format: str = "digits"
    default_region: str | None = None
    anonymous_number: str = "anonymous"
    unmapped_extensions: str = "keep"
    pbx_call_id: str = "{call_id}-{id}"
    emails: Mapping[str, str] = field(default_factory=dict)
    monitored_groups: frozenset[str] = frozenset()
    timezone: str = "UTC"
    """Of timestamps without an offset."""
