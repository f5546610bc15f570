"""The ledger's table as operators see it: counted, listed, replayed from, cleaned."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cdr.calls.call import UNDATED, CallKey, State
from cdr.calls.message import Letter, letter_of
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.ledger_entities import ROW_PIECES
from cdr.edges.storage.table import ONE_TRANSACTION, Table, escape_key, from_pieces, unescape_key, version_of
from cdr.operations.ports import LedgerEntry, RejectedCall, StateCounts
from shared import log

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

ENTRY = ["PartitionKey", "RowKey", "row_id", "state", "reason", "call", "facts", "claimed_until"]


class TableLedgerRecords:
    """A LedgerRecords on the ledger's table, which is created if it is missing. Counting ends after ``counting_s``."""

    def __init__(self, account: StorageAccount, table: str, counting_s: float = 5.0) -> None:
        self._table = Table(account, table)
        self._counting_s = counting_s

    def count_states(self) -> StateCounts:
        """Counts the newest days first, so that what is left out, if it takes too long, is the oldest."""
        counts: Counter[State] = Counter()
        started = time.monotonic()
        for state in self._states():
            counts[State(state)] += 1
            if time.monotonic() - started > self._counting_s:
                return StateCounts(counts, complete=False)
        return StateCounts(counts, complete=True)

    def _states(self) -> Iterator[str]:
        recent = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"
        newest_first = (
            f"PartitionKey eq '{UNDATED}'",
            f"PartitionKey ge '{recent}' and PartitionKey lt '{UNDATED}'",
            f"PartitionKey lt '{recent}'",
        )
        for within in newest_first:
            yield from (entity["state"] for entity in self._table.query(within, ["state"]))

    def rejected(self) -> Iterator[RejectedCall]:
        fields = ["PartitionKey", "RowKey", "reason", "detail", "settled_at", "replayed_at", "extension"]
        for found in self._table.query(f"state eq '{State.REJECTED.value}'", fields):
            yield RejectedCall(
                CallKey(found["PartitionKey"], unescape_key(found["RowKey"])),
                found["reason"],
                found["detail"],
                found["settled_at"],
                found.get("replayed_at"),
                found.get("extension") or None,
            )

    def letter(self, key: CallKey) -> Letter | None:
        found = self._table.read(key.day, escape_key(key.name))
        text = from_pieces("row", found, ROW_PIECES) if found is not None else ""
        return letter_of(text) if text else None

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
