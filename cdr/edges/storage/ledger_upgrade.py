"""What earlier versions wrote into the ledger is counted, and noted where it is rejected: by one look through it all.

The look goes on where it was left, and is done once; again only if an earlier version has been at work since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cdr.calls.call import State
from cdr.edges.storage.ledger_entities import counted_as, rejected_call
from cdr.edges.storage.ledger_reading import READ_BY, sound
from cdr.edges.storage.ledger_tally import LedgerTally, change, is_counter, label_of, total
from cdr.edges.storage.rejected_index import RejectedIndex
from cdr.edges.storage.table import ONE_TRANSACTION, Table, quoted, version_of
from cdr.edges.storage.transaction import Merge

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

LOOK = {"PartitionKey": "state", "RowKey": "taken in"}
AT_WORK_FOR = timedelta(minutes=15)
"""An earlier version may be, after its last poll."""

FIELDS = (*READ_BY, "reason", "detail", "settled_at", "extension")


class OldRecords:
    """The records of a ledger that are not counted yet."""

    def __init__(self, ledger: Table, index: Table, notes: RejectedIndex, tally: LedgerTally) -> None:
        self._ledger = ledger
        self._index = index
        self._notes = notes
        self._tally = tally

    def are_taken_in(self) -> bool:
        look: Any = self._index.read(*LOOK.values())
        if look is not None:
            return bool(look.get("is_done"))
        first = next(self._ledger.query("PartitionKey ge ''", READ_BY, page=1), None)
        if first is None or is_counter(first):
            return True
        return sound(first)["state"] == State.CLAIMED or bool(counted_as(sound(first)))

    def take_in(self, older_at: datetime | None, now: datetime, may_go_on: Callable[[], bool]) -> bool:
        """:param older_at: when an earlier version was last seen at work; None: never
        :returns: whether all is taken in"""
        look: Any = self._index.read(*LOOK.values())
        began_at = look.get("began_at") if look is not None else None
        is_done = look is not None and bool(look.get("is_done"))
        if not isinstance(began_at, datetime):
            look = None  # what cannot be read was never begun
        elif is_done and (older_at is None or began_at > older_at + AT_WORK_FOR):
            return True
        if look is None or is_done:
            look = {**LOOK, "began_at": now, "day": "", "row": "", "is_done": False}
        for day, batch in self._batches(str(look.get("day") or ""), str(look.get("row") or "")):
            self._take_in(day, batch, now)
            look = {**look, "day": day, "row": batch[-1]["RowKey"]}
            if not may_go_on():
                self._index.put(look)
                return False
        self._index.put({**look, "is_done": True})
        return True

    def _batches(self, day: str, row: str) -> Iterator[tuple[str, Sequence[TableEntity]]]:
        """Of one day each, beyond a record."""
        beyond = f"PartitionKey eq {quoted(day)} and RowKey gt {quoted(row)}", f"PartitionKey gt {quoted(day)}"
        for wanted in beyond:
            found = self._ledger.query(wanted, FIELDS)
            for each, entities in groupby(map(sound, found), key=itemgetter("PartitionKey")):
                while batch := list(islice(entities, ONE_TRANSACTION - 1)):
                    yield each, batch

    def _take_in(self, day: str, batch: Sequence[TableEntity], now: datetime) -> None:
        settled = [each for each in batch if not is_counter(each) and each["state"] not in (State.CLAIMED, "")]
        self._notes.note([rejected_call(each) for each in settled if each["state"] == State.REJECTED])
        uncounted = [(each, label) for each in settled if (label := _label(each)) != counted_as(each)]
        if uncounted and not self._count(day, uncounted, now):
            for each in uncounted:
                self._count(day, [each], now)  # one that is refused has been changed since, and counted

    def _count(self, day: str, records: Sequence[tuple[TableEntity, str]], now: datetime) -> bool:
        writes = [
            Merge({"PartitionKey": day, "RowKey": each["RowKey"], "counted": label}, version_of(each))
            for each, label in records
        ]
        changed = total(change(counted_as(each), label) for each, label in records)
        return self._tally.write(writes, changed, now) is not None


def _label(found: TableEntity) -> str:
    call = rejected_call(found)
    return label_of(call.key, found["state"], call.reason, call.settled_at, counted_as(found))
