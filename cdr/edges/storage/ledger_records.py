"""The ledger's table as operators see it: counted, listed, replayed from, cleaned."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cdr.calls.call import UNDATED, CallKey, State
from cdr.calls.message import Letter, letter_of
from cdr.calls.rules import row_key
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.ledger_entities import ROW_PIECES, counted_as, rejected_call
from cdr.edges.storage.ledger_reading import READ_BY, sound
from cdr.edges.storage.ledger_sums import LedgerSums
from cdr.edges.storage.ledger_tally import LedgerTally, change, is_counter, total
from cdr.edges.storage.ledger_upgrade import OldRecords
from cdr.edges.storage.rejected_index import RejectedIndex, index_of
from cdr.edges.storage.table import ONE_TRANSACTION, Table, escape_key, from_pieces, quoted, unescape_key, version_of
from cdr.edges.storage.transaction import Delete
from cdr.operations.ports import KeptCall, LedgerCounts, LedgerEntry, RejectedCall, RejectedRecord
from shared import log

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

REMOVED = [*READ_BY, "reason", "detail", "settled_at", "extension"]
ENTRY = [*READ_BY, "row_id", "reason", "call", "facts", "claimed_until"]


class TableLedgerRecords:
    """A LedgerRecords on the ledger's table and its index, which are created if they are missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table, index = Table(account, table), Table(account, index_of(table))
        self._notes = RejectedIndex(index)
        self._sums = LedgerSums(self._table, index)
        self._tally = LedgerTally(self._table, index)
        self._old = OldRecords(self._table, index, self._notes, self._tally)

    def counts(self, now: datetime) -> LedgerCounts:
        return self._sums.counts(now, is_whole=self._old.are_taken_in())

    def are_all_noted(self) -> bool:
        return self._old.are_taken_in()

    def sum_up(self, older_at: datetime | None, now: datetime, may_go_on: Callable[[], bool]) -> bool:
        is_whole = self._old.take_in(older_at, now, may_go_on)
        self._sums.sum_up(now, may_go_on)
        return is_whole

    def rejected(self, reason: str | None = None, after: str | None = None) -> Iterator[RejectedCall]:
        return self._notes.rejected(reason, after)

    def rejected_as(self, name: str) -> Iterator[RejectedCall]:
        return self._notes.named(CallKey(UNDATED, name).name)

    def still_rejected(self, call: RejectedCall) -> RejectedRecord | None:
        found = self._read(call.key)
        if found is None or found["state"] == State.CLAIMED:
            return None
        if found["state"] != State.REJECTED or found["settled_at"] != call.settled_at:
            if found["settled_at"] > call.settled_at:  # else its record is about to say what the note says
                self._notes.forget([call])
            return None
        return RejectedRecord(rejected_call(found), _letter(found))

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        found = self._read(key)
        # A worker may have claimed the call by now, and a write in between would cost it the claim.
        if found is not None and found["state"] == State.REJECTED:
            mark = {"PartitionKey": key.day, "RowKey": escape_key(key.name), "replayed_at": now}
            self._table.merge(mark, version_of(found))

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        wanted = f"PartitionKey eq '{day}'" + (f" and state eq '{state}'" if state else "")
        for found in self._table.query(wanted, ENTRY):
            if not is_counter(found):
                yield _entry(sound(found))

    def entry(self, key: CallKey) -> LedgerEntry | None:
        found = self._read(key)
        return _entry(found) if found is not None else None

    def _read(self, key: CallKey) -> TableEntity | None:
        found = self._table.read(key.day, escape_key(key.name))
        return sound(found) if found is not None else None

    def named(self, day: str, name: str) -> Iterator[KeptCall]:
        # A row's own record has the call's name and a blank before what is its own; "!" is the next character.
        key = CallKey(day, name)
        first, of_rows = escape_key(key.name), row_key(key, "").name
        near = self._kept(f"PartitionKey eq '{day}' and RowKey ge {quoted(first)} and RowKey lt {quoted(first + '!')}")
        yield from (kept for kept in near if kept.key.name == key.name or kept.key.name.startswith(of_rows))

    def of_row(self, day: str, record_id: str) -> Iterator[KeptCall]:
        yield from self._kept(f"PartitionKey eq '{day}' and row_id eq {quoted(record_id)}")

    def of_extension(self, day: str, extension: str) -> Iterator[KeptCall]:
        whose = " or ".join(f"{column} eq {quoted(extension)}" for column in ("owner_extension", "extension"))
        yield from self._kept(f"PartitionKey eq '{day}' and ({whose})")

    def _kept(self, wanted: str) -> Iterator[KeptCall]:
        yield from (_kept(sound(found)) for found in self._table.query(wanted) if not is_counter(found))

    def remove_settled(self, before: datetime, rejected_before: datetime, now: datetime) -> Iterator[int]:
        for day, batch in self._removable(before, rejected_before):
            writes = [Delete(entity, version_of(entity)) for entity in batch]
            changed = total(change(counted_as(entity), "") for entity in batch)
            if self._tally.write(writes, changed, now) is not None:
                self._notes.forget([rejected_call(entity) for entity in batch if entity["state"] == State.REJECTED])
                yield len(batch)
            else:
                # One of them was claimed again meanwhile, by a replay: all of this batch wait for the next time.
                log.event("ledger.kept", level=logging.WARNING, day=day, records=len(batch))
                yield 0

    def _removable(self, before: datetime, rejected_before: datetime) -> Iterator[tuple[str, Sequence[TableEntity]]]:
        """Batches of one day each, as a transaction wants them."""
        kept = f"(state eq '{State.SUBMITTED.value}' or state eq '{State.SKIPPED.value}')"
        for moment, states in ((before, kept), (rejected_before, f"state eq '{State.REJECTED.value}'")):
            # No call is settled before the day it stands under, so older days are enough, and cheap to find. Those that
            # have none are asked for by themselves: for an "or" of days the service reads the whole table.
            for days in (f"PartitionKey le '{moment:%Y-%m-%d}'", f"PartitionKey eq '{UNDATED}'"):
                old = f"{days} and {states} and settled_at lt datetime'{moment:%Y-%m-%dT%H:%M:%SZ}'"
                records = (sound(entity) for entity in self._table.query(old, REMOVED) if not is_counter(entity))
                for day, entities in groupby(records, key=itemgetter("PartitionKey")):
                    while batch := list(islice(entities, ONE_TRANSACTION - 1)):
                        yield day, batch


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
        attempts=found["attempts"],
        first_claimed_at=found.get("first_claimed_at"),
        claimed_until=found.get("claimed_until") if found["state"] == State.CLAIMED else None,
        settled_at=found.get("settled_at"),
        replayed_at=found.get("replayed_at"),
        entry_id=found.get("entry_id") or None,
        last_error=found.get("last_error") or None,
        letter=_letter(found),
    )


def _entry(found: Mapping[str, Any]) -> LedgerEntry:
    """1.0.0 wrote down neither fingerprint nor facts, and of garbage there are none."""
    return LedgerEntry(
        key=CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
        record_id=found.get("row_id") or None,
        state=sys.intern(found["state"]),
        reason=sys.intern(found.get("reason") or ""),
        call=found.get("call") or "",
        facts=found.get("facts") or "",
        ended_on=sys.intern(counted_as(found)[: len("2026-11-22")]),
        claimed_until=found["claimed_until"] if found["state"] == State.CLAIMED else None,
    )
