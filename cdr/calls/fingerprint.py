"""What tells a call from another one that has its number, and a record from what it once was. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from math import isfinite

from cdr.calls.call import CallRecord, Value

Fingerprint = str
"""Of a call's own name and of its start; of what a record does not have, nothing."""

JUDGED = (
    "ended_at",
    "duration_s",
    "caller_number",
    "dest_number",
    "extension",
    "call_type",
    "answered",
    "call_group_id",
    "not_logged",
    "problem",
)
"""The columns that decide what becomes of a call."""


def fingerprint(record: CallRecord) -> Fingerprint:
    """Of what does not change any more once a call has begun."""
    name = str(record.values.get("call_id") or "").strip()
    is_own = name != record.source_id  # a number under which there are new calls now tells nothing
    return f"{_digest(name) if is_own else ''}.{_digest(_as_text(record.values.get('started_at')))}"


def may_be_same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether they may be of the same call: something speaks for it, or nothing against it."""
    known = [a == b for a, b in zip(one.split("."), other.split("."), strict=False) if a and b]
    return any(known) or not known


def facts(record: CallRecord) -> str:
    """Of what the call is judged by: another one once that was written later, or corrected."""
    return _digest("\n".join(_as_text(record.values.get(column)) for column in JUDGED))


def _as_text(value: Value) -> str:
    """A value in one way of writing it, whichever driver it came from."""
    if value is None:
        return ""
    if isinstance(value, bool | float) and isfinite(value) and value == int(value):
        value = int(value)
    text = str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()
    except (ValueError, OverflowError):
        return text


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if text else ""
