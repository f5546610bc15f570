"""What tells a call from another one that has its number: for tables whose ids may start again. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from cdr.calls.call import CallRecord

Fingerprint = str
"""Of a call's own name and of its start; of what a record does not have, nothing."""


def fingerprint(record: CallRecord, zone: str) -> Fingerprint:
    """Of what does not change any more once a call has begun. ``zone`` is that of times without an offset."""
    name = str(record.values.get("call_id") or "").strip()
    is_own = name != record.id.partition("/")[0]  # a number under which there are new calls now tells nothing
    started = moment_as_text(record.values.get("started_at"), zone)
    return f"{_digest(name) if is_own else ''}.{_digest(started)}"


def may_be_same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether they may be of the same call: something speaks for it, or nothing against it."""
    known = [a == b for a, b in zip(one.split("."), other.split("."), strict=False) if a and b]
    return any(known) or not known


def moment_as_text(value: Any, zone: str) -> str:
    """A column's time in one way of writing it, whichever way it came; what is no time as it is."""
    text = "" if value is None else str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return aware.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return text


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if text else ""
