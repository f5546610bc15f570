"""What a record of the ledger says, whatever has happened to it. Pure, and total.

Somebody may have edited the table by hand, or another version written there. No such record may keep its own call, or
the work on all others, from ending; and none that says in any way that the API has a call may be read as another.
"""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cdr.calls.call import State
from cdr.calls.leases import LONGEST_LEASE

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

READ_BY = ("PartitionKey", "RowKey", "Timestamp", "state", "owner", "entry_id", "counted")
"""What a query must ask for."""

TEXTS = (
    "state",
    "reason",
    "detail",
    "row_id",
    "owner",
    "call",
    "facts",
    "owner_extension",
    "extension",
    "entry_id",
    "last_error",
    "counted",
    "row_0",
    "row_1",
)
MOMENTS = ("first_claimed_at", "claimed_at", "claimed_until", "settled_at", "replayed_at")

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_ATTEMPTS = 2**31 - 2
"""One more is still a number that the table takes."""


def sound(entity: TableEntity) -> TableEntity:
    """The record with ``state``, ``reason``, ``detail`` and ``attempts``, of a claim its times, and of any other when
    it was settled: as they are where they can be read, else by when the record was written. What is not of its type is
    as good as not there."""
    found = copy(entity)
    for name in TEXTS:
        if name in found:
            found[name] = "" if found[name] is None else str(found[name])
    for name in MOMENTS:
        moment = _moment(found.pop(name, None))
        if moment is not None:
            found[name] = moment
    found["state"] = _state(found)
    found["attempts"] = _attempts(found)
    for name in ("reason", "detail"):
        found.setdefault(name, "")
    written = _moment(found.metadata.get("timestamp")) or _LONG_AGO
    if found["state"] == State.CLAIMED:
        found.setdefault("claimed_at", written)
        found.setdefault("claimed_until", written + LONGEST_LEASE)
    else:
        found.setdefault("settled_at", written)
    return found


def _state(found: TableEntity) -> str:
    """A word of State; else a word that perhaps a newer version knows, or nothing: then the call can be claimed."""
    said = str(found.get("state", ""))
    word = said.strip().lower()
    if word in set(State):
        return word
    if found.get("entry_id") or str(found.get("counted", "")).partition(" ")[2] == State.SUBMITTED:
        return State.SUBMITTED.value
    return State.CLAIMED.value if not word and found.get("owner") else said


def _attempts(found: TableEntity) -> int:
    try:
        number = int(found.get("attempts") or 0)
    except (TypeError, ValueError, OverflowError):
        return 0
    return number if 0 <= number <= _MOST_ATTEMPTS else 0


def _moment(value: object) -> datetime | None:
    """Aware; one without an offset is in UTC, as all of ours are."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
