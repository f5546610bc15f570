"""The ledger in Table Storage: one entity for each call, claimed by insert and settled by update."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cdr.calls.call import CallKey, Settlement, State
from cdr.calls.rules import UNDATED, row_key
from cdr.edges.storage.account import StorageAccount, translated
from cdr.edges.storage.table import escape_key, from_pieces, in_pieces, unescape_key
from cdr.submission.ports import Claim, RejectedCall, Settled, StateCounts
from shared import log
from shared.errors import ClaimHeld, StorageUnavailable

if TYPE_CHECKING:
    from azure.data.tables import TableClient

ROW_PIECES = 2
COUNTING_TIME_S = 5.0
TRIES_AGAINST_OTHERS = 5
MAX_DETAIL = 2_000
TRANSACTION = 100


class TableCallLedger:
    """A CallLedger on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._account = account
        self._name = table

    def claim(self, key: CallKey, row_id: int, message: str, now: datetime, lease: timedelta) -> Claim | Settled:
        from azure.core.exceptions import ResourceExistsError

        owner = uuid4().hex
        mine = {
            **_address(key),
            "state": State.CLAIMED.value,
            "owner": owner,
            "row_id": str(row_id),
            "claimed_at": now,
            "claimed_until": now + lease,
            **in_pieces("row", message, ROW_PIECES),
        }
        with translated(f"table {self._name}"):
            try:
                made = self._table.create_entity({**mine, "first_claimed_at": now, "attempts": 1})
                return Claim(key, made["etag"], now + lease, 1)
            except ResourceExistsError:
                return self._claim_again(key, mine, now, lease)

    def _claim_again(self, key: CallKey, mine: Mapping[str, Any], now: datetime, lease: timedelta) -> Claim | Settled:
        found = self._read(key)
        if found is None:
            raise ClaimHeld("the ledger's record vanished between two looks at it")
        if found["owner"] == mine["owner"]:  # our own write, whose first answer was lost
            return Claim(key, found.metadata["etag"], now + lease, found["attempts"])
        if found["state"] == State.SUBMITTED:
            return Settled(int(found["row_id"]) if found.get("row_id") else None)
        if found["state"] == State.CLAIMED and found["claimed_until"] > now:
            until = found["claimed_until"]
            raise ClaimHeld(f"another worker has the call until {until:%H:%M:%S} UTC", until)
        self._set_aside(key, found, mine["row_id"])
        attempts = found.get("attempts", 0) + 1
        version = self._merge({**mine, "attempts": attempts}, found.metadata["etag"])
        if version is None:
            raise ClaimHeld("another worker claimed the call at the same moment")
        return Claim(key, version, now + lease, attempts)

    def _set_aside(self, key: CallKey, found: Any, row_id: str) -> None:
        """Another row's record of this call, if it says why that row is not logged, goes on under the row's own key."""
        from azure.core.exceptions import ResourceExistsError

        other = found.get("row_id")
        if other not in (None, "", row_id) and found["state"] in (State.SKIPPED, State.REJECTED):
            with suppress(ResourceExistsError):
                self._table.create_entity({**found, **_address(row_key(key, int(other)))})

    def settle(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        fields = {**_address(claim.key), **_settled(settlement, now)}
        with translated(f"table {self._name}"):
            if settlement.state is State.SUBMITTED:
                self._table.upsert_entity(fields)
            else:
                self._merge_while_ours(claim, fields)

    def give_back(self, claim: Claim, error: str, now: datetime) -> None:
        fields = {**_address(claim.key), "claimed_until": now, "last_error": error[:MAX_DETAIL]}
        with translated(f"table {self._name}"):
            self._merge_while_ours(claim, fields)

    def keep(self, key: CallKey, row_id: int | None, message: str, settlement: Settlement, now: datetime) -> bool:
        from azure.core.exceptions import ResourceExistsError

        fields = {
            **_address(key),
            **in_pieces("row", message, ROW_PIECES),
            **_settled(settlement, now),
            "owner": uuid4().hex,
            **({} if row_id is None else {"row_id": str(row_id)}),
        }
        with translated(f"table {self._name}"):
            for _ in range(TRIES_AGAINST_OTHERS):
                found = self._read(key)
                if found is None:
                    with suppress(ResourceExistsError):
                        self._table.create_entity({**fields, "attempts": 0})
                        return True
                elif found["state"] == State.SUBMITTED:
                    return False
                elif self._merge(fields, found.metadata["etag"]) is not None:
                    return True
        raise StorageUnavailable(f"table {self._name}: the record of {key.name} kept changing under us")

    def last_error(self, key: CallKey) -> str | None:
        with translated(f"table {self._name}"):
            found = self._read(key)
        return found.get("last_error") if found is not None else None

    def count_states(self) -> StateCounts:
        """Counts the newest days first, so that what is left out, if it takes too long, is the oldest."""
        counts: Counter[State] = Counter()
        started = time.monotonic()
        with translated(f"table {self._name}"):
            for state in self._states():
                counts[State(state)] += 1
                if time.monotonic() - started > COUNTING_TIME_S:
                    return StateCounts(counts, complete=False)
        return StateCounts(counts, complete=True)

    def rejected(self) -> Iterator[RejectedCall]:
        fields = ["PartitionKey", "RowKey", "reason", "detail", "settled_at", "replayed_at"]
        with translated(f"table {self._name}"):
            for found in self._table.query_entities(f"state eq '{State.REJECTED.value}'", select=fields):
                key = CallKey(found["PartitionKey"], unescape_key(found["RowKey"]))
                replayed_at = found.get("replayed_at")
                yield RejectedCall(key, found["reason"], found["detail"], found["settled_at"], replayed_at)

    def message(self, key: CallKey) -> str:
        with translated(f"table {self._name}"):
            found = self._read(key)
        return from_pieces("row", found, ROW_PIECES) if found is not None else ""

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        with translated(f"table {self._name}"):
            found = self._read(key)
            # A worker may have claimed the call by now, and a write in between would cost it the claim.
            if found is not None and found["state"] == State.REJECTED:
                self._merge({**_address(key), "replayed_at": now}, found.metadata["etag"])

    def row_ids(self, first: date, last: date, *, undated: bool = True) -> set[int]:
        days = f"PartitionKey ge '{first}' and PartitionKey le '{last}'"
        within = f"({days}) or PartitionKey eq '{UNDATED}'" if undated else days
        with translated(f"table {self._name}"):
            found = self._table.query_entities(within, select=["row_id"])
            return {int(entity["row_id"]) for entity in found if entity.get("row_id")}

    def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
        with translated(f"table {self._name}"):
            for day, batch in self._removable(before, rejected_before):
                yield self._remove(day, batch)

    def _removable(self, before: datetime, rejected_before: datetime) -> Iterator[tuple[str, list[Any]]]:
        """Batches of one day each, as a transaction wants them."""
        kept = f"(state eq '{State.SUBMITTED.value}' or state eq '{State.SKIPPED.value}')"
        for moment, states in ((before, kept), (rejected_before, f"state eq '{State.REJECTED.value}'")):
            # No call is settled before the day it ended on, so older days are enough, and cheap to find.
            days = f"(PartitionKey le '{moment:%Y-%m-%d}' or PartitionKey eq '{UNDATED}')"
            old = f"{days} and {states} and settled_at lt datetime'{moment:%Y-%m-%dT%H:%M:%SZ}'"
            found = self._table.query_entities(old, select=["PartitionKey", "RowKey"])
            for day, entities in groupby(found, key=itemgetter("PartitionKey")):
                while batch := list(islice(entities, TRANSACTION)):
                    yield day, batch

    def _remove(self, day: str, batch: Sequence[Any]) -> int:
        from azure.core import MatchConditions
        from azure.data.tables import TableTransactionError

        unchanged = {"match_condition": MatchConditions.IfNotModified}
        try:
            self._table.submit_transaction(
                [("delete", entity, {**unchanged, "etag": entity.metadata["etag"]}) for entity in batch]
            )
        except TableTransactionError:
            # One of them was claimed again meanwhile, by a replay: all of this batch wait for the next time.
            log.event("ledger.kept", level=logging.WARNING, day=day, records=len(batch))
            return 0
        return len(batch)

    def _states(self) -> Iterator[str]:
        newest = self._table.query_entities(f"PartitionKey eq '{UNDATED}'", select=["state"])
        yield from (entity["state"] for entity in newest)
        recent = f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"
        for within in (f"PartitionKey ge '{recent}' and PartitionKey lt '{UNDATED}'", f"PartitionKey lt '{recent}'"):
            yield from (entity["state"] for entity in self._table.query_entities(within, select=["state"]))

    def _merge_while_ours(self, claim: Claim, fields: Mapping[str, Any]) -> None:
        """Nothing is written once the claim is lost. That the version is another one does not say so yet: a replay may
        have left its note on the record since. Each claim has its own number of attempts."""
        version = claim.version
        for _ in range(TRIES_AGAINST_OTHERS):
            if self._merge(fields, version) is not None:
                return
            found = self._read(claim.key)
            if found is None or found["state"] != State.CLAIMED or found.get("attempts") != claim.attempts:
                return
            version = found.metadata["etag"]
        raise StorageUnavailable(f"table {self._name}: the record of {claim.key.name} kept changing under us")

    def _merge(self, fields: Mapping[str, Any], version: str) -> str | None:
        """The new version; None where somebody else has changed the entity since."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        try:
            done = self._table.update_entity(
                dict(fields), UpdateMode.MERGE, etag=version, match_condition=MatchConditions.IfNotModified
            )
            return str(done["etag"])
        except ResourceNotFoundError:
            return None
        except ResourceModifiedError:
            # Perhaps it was this very write, and its first answer was lost.
            found = self._find(fields["PartitionKey"], fields["RowKey"])
            same = found is not None and all(found.get(name) == value for name, value in fields.items())
            return str(found.metadata["etag"]) if same else None

    def _read(self, key: CallKey) -> Any:
        return self._find(*_address(key).values())

    def _find(self, day: str, row_key: str) -> Any:
        from azure.core.exceptions import ResourceNotFoundError

        with suppress(ResourceNotFoundError):
            return self._table.get_entity(day, row_key)
        return None

    @cached_property
    def _table(self) -> TableClient:
        from azure.core.exceptions import ResourceExistsError

        table = self._account.table_client(self._name)
        with suppress(ResourceExistsError):
            table.create_table()
        return table


def _address(key: CallKey) -> dict[str, str]:
    return {"PartitionKey": key.day, "RowKey": escape_key(key.name)}


def _settled(settlement: Settlement, now: datetime) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": settlement.state.value,
        "reason": settlement.reason,
        "detail": settlement.detail[:MAX_DETAIL],
        "settled_at": now,
        "entry_id": settlement.entry_id or "",
    }
    # Only a rejected call's row can still be needed, for a replay.
    return fields if settlement.state is State.REJECTED else {**fields, **in_pieces("row", "", ROW_PIECES)}
