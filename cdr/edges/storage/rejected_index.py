"""Notes of calls that are rejected: each is made before the call's record says so, and says where that stands.

So no rejected call is without a note; what one says is to be held against the record. All notes are in one partition of
a table of their own, in two orders: by reason with the newest first, and by the call's name.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from cdr.calls.call import CallKey
from cdr.edges.storage.table import ONE_TRANSACTION, Table, quoted
from cdr.edges.storage.transaction import Delete, Put
from cdr.operations.ports import RejectedCall, digest
from shared.errors import StorageUnavailable

NOTES = "rejected"
PAGE = 200
BEFORE_REASONS, AFTER_NAME = "a", "!"
"""A reason's word begins with a letter; what has a name in front of a blank ends before this."""


def index_of(ledger: str) -> str:
    """The table of what is found without the ledger's own, and told of it."""
    return f"{ledger}Index"


class RejectedIndex:
    """The notes on a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def note(self, calls: Sequence[RejectedCall]) -> None:
        """:raises StorageUnavailable: not all of them are noted"""
        writes = [Put(row) for call in calls for row in _rows(call)]
        for start in range(0, len(writes), ONE_TRANSACTION):
            if self._table.write(writes[start : start + ONE_TRANSACTION]) is None:
                raise StorageUnavailable(f"table {self._table.name}: notes of rejected calls are refused")

    def forget(self, calls: Sequence[RejectedCall]) -> None:
        """What is gone already is no matter."""
        for start in range(0, len(calls), ONE_TRANSACTION // 2):
            some = calls[start : start + ONE_TRANSACTION // 2]
            if not self._removed(some) and len(some) > 1:
                for call in some:
                    self._removed([call])

    def _removed(self, calls: Sequence[RejectedCall]) -> bool:
        return self._table.write([Delete(_address(row), None) for call in calls for row in _rows(call)]) is not None

    def rejected(self, reason: str | None, after: str | None) -> Iterator[RejectedCall]:
        """The newest first; a page of each reason is read ahead."""
        reasons = self._reasons() if reason is None else [reason]
        each = [self._of_reason(one, after or "") for one in reasons]
        yield from heapq.merge(*each, key=lambda call: call.place)

    def named(self, name: str) -> Iterator[RejectedCall]:
        yield from (call for call in self._between(_name(name), _name(name) + AFTER_NAME) if call.key.name == name)

    def _of_reason(self, reason: str, after: str) -> Iterator[RejectedCall]:
        first = f"{reason} {after}{AFTER_NAME}" if after else f"{reason} "
        yield from self._between(first, f"{reason}{AFTER_NAME}")

    def _reasons(self) -> Iterator[str]:
        """Those for which there are notes: each is looked for beyond the one before."""
        first = BEFORE_REASONS
        while (found := next(self._rows_from(first, None, 1), None)) is not None:
            reason = str(found["RowKey"]).partition(" ")[0]
            yield reason
            first = f"{reason}{AFTER_NAME}"

    def _between(self, first: str, end: str) -> Iterator[RejectedCall]:
        calls = map(_call, self._rows_from(first, end, PAGE))
        return (call for call in calls if call is not None)

    def _rows_from(self, first: str, end: str | None, page: int) -> Iterator[Mapping[str, Any]]:
        within = f"PartitionKey eq '{NOTES}' and RowKey ge {quoted(first)}"
        return self._table.query(within + (f" and RowKey lt {quoted(end)}" if end else ""), page=page)


def _rows(call: RejectedCall) -> Sequence[Mapping[str, Any]]:
    told = {
        "PartitionKey": NOTES,
        "day": call.key.day,
        "name": call.key.name,
        "reason": call.reason,
        "detail": call.detail,
        "rejected_at": call.settled_at,
        "extension": call.extension or "",
    }
    return [
        {**told, "RowKey": f"{call.reason} {call.place}"},
        {**told, "RowKey": f"{_name(call.key.name)} {call.place}"},
    ]


def _name(name: str) -> str:
    """Before all reasons."""
    return f"!{digest(name)}"


def _address(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: row[name] for name in ("PartitionKey", "RowKey")}


def _call(row: Mapping[str, Any]) -> RejectedCall | None:
    """None: somebody has damaged the note, which says nothing any more."""
    at = row.get("rejected_at")
    day, name, reason, detail, extension = (
        str(row.get(column) or "") for column in ("day", "name", "reason", "detail", "extension")
    )
    if not (day and name and reason and isinstance(at, datetime)):
        return None
    return RejectedCall(CallKey(day, name), reason, detail, at, None, extension or None)
