"""Records in place of others, which may have gone out before it was known that they are parts of one call. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cdr.calls.call import CallRecord
from cdr.calls.message import bytes_of
from cdr.calls.packing import MOST_BYTES

ADDRESS = ("id", "call_id", "started_at", "ended_at")


def in_place_of(parts: Sequence[CallRecord], records: Sequence[CallRecord]) -> list[CallRecord]:
    """Who submits these sees to it that not both get in. One in place of so many that no message
    can name them is never submitted, and says so."""
    return [_in_place_of([part for part in parts if _same_person(part, record)], record) for record in records]


def _in_place_of(parts: Sequence[CallRecord], record: CallRecord) -> CallRecord:
    told = replace(record, replaces=tuple(map(_address_of, parts)))
    if bytes_of(told) <= MOST_BYTES:
        return told
    problem = f"The call turned out to be {len(parts)} calls that had been queued, and stay as they are"
    return replace(record, values={**record.values, "problem": problem})


def _address_of(part: CallRecord) -> CallRecord:
    """As much of it as tells its place in the ledger: a message has little room."""
    return replace(part, values={column: part.values[column] for column in ADDRESS if column in part.values})


def _same_person(one: CallRecord, other: CallRecord) -> bool:
    """Where each person has an entry, only one's own is in place of another."""
    return one.id.partition("/")[2] in ("", other.id.partition("/")[2])
