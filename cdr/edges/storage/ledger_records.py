"""The ledger's table as operators see it: counted, listed, replayed from, cleaned."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cdr.calls.call import UNDATED, CallKey, State
from cdr.calls.message import Letter, letter_of
from cdr.calls.rules import row_key
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.ledger_claims import ROW_PIECES
from cdr.edges.storage.table import Table, escape_key, from_pieces, unescape_key, version_of
from cdr.operations.ports import (
    HourCount,
    KeptCall,
    LedgerCounts,
    LedgerEntry,
    RejectedCall,
    RejectedRecord,
    hours_until,
)
from shared import log

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

ONE_TRANSACTION = 100
REJECTED = ["PartitionKey", "RowKey", "reason", "detail", "settled_at", "replayed_at", "extension"]
ENTRY = ["PartitionKey", "RowKey", "row_id", "state", "reason", "call", "facts", "claimed_until"]


class TableLedgerRecords:
    """A LedgerRecords on the ledger's table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def counts(self, now: datetime) -> LedgerCounts:
        states: Counter[State] = Counter()
        reasons: Counter[str] = Counter()
        for found in self._table.query("state ne 'claimed'", ["state", "reason"]):
            states[State(found["state"])] += 1
            if found["state"] == State.REJECTED:
                reasons[found["reason"]] += 1
        return LedgerCounts(states, reasons, [HourCount(hour) for hour in hours_until(now)])

    def rejected(self, reason: str | None = None, after: str | None = None) -> Iterator[RejectedCall]:
        found = (_rejected(each) for each in self._table.query(f"state eq '{State.REJECTED.value}'", REJECTED))
        wanted = (call for call in found if reason in (None, call.reason) and call.place > (after or ""))
        yield from sorted(wanted, key=lambda call: call.place)

    def rejected_as(self, name: str) -> Iterator[RejectedCall]:
        yield from (call for call in self.rejected() if call.key.name == name)

    def still_rejected(self, call: RejectedCall) -> RejectedRecord | None:
        found = self._table.read(call.key.day, escape_key(call.key.name))
        if found is None or found["state"] != State.REJECTED or found["settled_at"] != call.settled_at:
            return None
        return RejectedRecord(_rejected(found), _letter(found))

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        found = self._table.read(key.day, escape_key(key.name))
        # A worker may have claimed the call by now, and a write in between would cost it the claim.
        if found is not None and found["state"] == State.REJECTED:
            mark = {"PartitionKey": key.day, "RowKey": escape_key(key.name), "replayed_at": now}
            self._table.merge(mark, version_of(found))

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        wanted = f"PartitionKey eq '{day}'" + (f" and state eq '{state}'" if state else "")
        for found in self._table.query(wanted, ENTRY):
            yield _entry(found)

    def entry(self, key: CallKey) -> LedgerEntry | None:
        found = self._table.read(key.day, escape_key(key.name))
        return _entry(found) if found is not None else None

    def named(self, day: str, name: str) -> Iterator[KeptCall]:
        # A row's own record has the call's name and a blank before what is its own; the next character is this one.
        first = _quoted(escape_key(name))
        of_rows = row_key(CallKey(day, name), "").name
        near = self._kept(f"PartitionKey eq '{day}' and RowKey ge '{first}' and RowKey lt '{first}!'")
        yield from (kept for kept in near if kept.key.name == name or kept.key.name.startswith(of_rows))

    def of_row(self, day: str, record_id: str) -> Iterator[KeptCall]:
        yield from self._kept(f"PartitionKey eq '{day}' and row_id eq '{_quoted(record_id)}'")

    def of_extension(self, day: str, extension: str) -> Iterator[KeptCall]:
        whose = " or ".join(f"{column} eq '{_quoted(extension)}'" for column in ("owner_extension", "extension"))
        yield from self._kept(f"PartitionKey eq '{day}' and ({whose})")

    def _kept(self, wanted: str) -> Iterator[KeptCall]:
        yield from map(_kept, self._table.query(wanted))

    def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
        for day, batch in self._removable(before, rejected_before):
            if self._table.remove_unchanged(batch):
                yield len(batch)
            else:
                # One of them was claimed again meanwhile, by a replay: all of this batch wait for the next time.
                log.event("ledger.kept", level=logging.WARNING, day=day, records=len(batch))
                yield 0

    def _removable(self, before: datetime, rejected_before: datetime) -> Iterator[tuple[str, Sequence[TableEntity]]]:
        """Batches of one day each, as a transaction wants them."""
        kept = f"(state eq '{State.SUBMITTED.value}' or state eq '{State.SKIPPED.value}')"
        for moment, states in ((before, kept), (rejected_before, f"state eq '{State.REJECTED.value}'")):
            # No call is settled before the day it ended on, so older days are enough, and cheap to find.
            days = f"(PartitionKey le '{moment:%Y-%m-%d}' or PartitionKey eq '{UNDATED}')"
            old = f"{days} and {states} and settled_at lt datetime'{moment:%Y-%m-%dT%H:%M:%SZ}'"
            found: Any = self._table.query(old, ["PartitionKey", "RowKey"])
            for day, entities in groupby(found, key=itemgetter("PartitionKey")):
                while batch := list(islice(entities, ONE_TRANSACTION)):
                    yield day, batch


def _rejected(found: Mapping[str, Any]) -> RejectedCall:
    return RejectedCall(
        CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
        found["reason"],
        found["detail"],
        found["settled_at"],
        found.get("replayed_at"),
        found.get("extension") or None,
    )


def _letter(found: Mapping[str, Any]) -> Letter | None:
    text = from_pieces("row", found, ROW_PIECES)
    return letter_of(text) if text else None


def _kept(found: Mapping[str, Any]) -> KeptCall:
    return KeptCall(
        key=CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
        record_id=found.get("row_id") or None,
        state=found["state"],
        reason=found.get("reason") or "",
        detail=found.get("detail") or "",
        extension=found.get("owner_extension") or found.get("extension") or None,
        attempts=found.get("attempts") or 0,
        first_claimed_at=found.get("first_claimed_at"),
        claimed_until=found.get("claimed_until") if found["state"] == State.CLAIMED else None,
        settled_at=found.get("settled_at"),
        replayed_at=found.get("replayed_at"),
        entry_id=found.get("entry_id") or None,
        last_error=found.get("last_error") or None,
        letter=_letter(found),
    )


def _quoted(text: str) -> str:
    """As a filter wants it between its quotes."""
    return text.replace("'", "''")


def _entry(found: Mapping[str, Any]) -> LedgerEntry:
    """1.0.0 wrote down neither fingerprint nor facts, and of garbage there are none."""
    return LedgerEntry(
        key=CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
        record_id=found.get("row_id") or None,
        state=sys.intern(found["state"]),
        reason=sys.intern(found.get("reason") or ""),
        call=found.get("call") or "",
        facts=found.get("facts") or "",
        claimed_until=found["claimed_until"] if found["state"] == State.CLAIMED else None,
    )
