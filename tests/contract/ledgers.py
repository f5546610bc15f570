"""The ledgers of the contract suites: the fake, and a table in Azurite, each with a look at what it really holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from cdr.calls.call import CallKey, Job, Reason, Settlement, State
from cdr.calls.message import Letter
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.edges.storage.ledger_records import TableLedgerRecords
from cdr.edges.storage.table import escape_key, from_pieces
from cdr.operations.ports import LedgerRecords
from cdr.submission.ports import CallLedger, Claim
from tests.fakes.fake import LONG_AGO
from tests.fakes.ledger import InMemoryLedger, LedgerRecord
from tests.support.factories import make_record
from tests.systems.storage import Storage

NOW = datetime(2026, 11, 20, 9, 0, 0, 123000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
LEASE = timedelta(minutes=3)
EXPIRED = NOW + LEASE
DAY = "2026-11-20"
KEY = CallKey(DAY, "call-7")

SUBMITTED = Settlement(State.SUBMITTED, Reason.CREATED, entry_id="a1b2")
SKIPPED = Settlement(State.SKIPPED, Reason.UNANSWERED)
MERGED = Settlement(State.SKIPPED, Reason.MERGED)
REJECTED = Settlement(State.REJECTED, Reason.INVALID_ROW, "ended_at: missing")


def make_job(row_id: int = 7, name: str | None = None, day: str = DAY, **columns: Any) -> Job:
    """A row of that day, in a call of its own unless it has a name."""
    return Job(make_record(id=row_id, **columns), CallKey(day, name if name is not None else f"call-{row_id}"))


def claimed(ledger: CallLedger, job: Job | None = None, now: datetime = NOW) -> Claim:
    (answer,) = ledger.claim([job or make_job()], now, LEASE)
    assert isinstance(answer, Claim)
    return answer


class Bench(ABC):
    """A ledger, and what it really holds."""

    @abstractmethod
    def open(self) -> CallLedger:
        """The ledger as another worker has it."""

    @property
    @abstractmethod
    def records(self) -> LedgerRecords: ...

    @abstractmethod
    def record(self, key: CallKey = KEY) -> LedgerRecord | None: ...

    def letter(self, key: CallKey) -> Letter | None:
        """Of a call that is rejected."""
        (found,) = filter(None, map(self.records.still_rejected, self.records.rejected_as(key.name)))
        return found.letter


class FakeBench(Bench):
    def __init__(self) -> None:
        self._ledger = InMemoryLedger()

    def open(self) -> CallLedger:
        return self._ledger

    @property
    def records(self) -> LedgerRecords:
        return self._ledger

    def record(self, key: CallKey = KEY) -> LedgerRecord | None:
        return self._ledger.records.get(key)


class AzuriteBench(Bench):
    def __init__(self, storage: Storage) -> None:
        self._account = storage.account
        self.name = storage.new_name()
        self._table = storage.plain_table(self.name)

    def open(self) -> CallLedger:
        return TableCallLedger(self._account, self.name)

    @property
    def records(self) -> LedgerRecords:
        return TableLedgerRecords(self._account, self.name)

    def record(self, key: CallKey = KEY) -> LedgerRecord | None:
        try:
            found: Any = self._table.get_entity(key.day, escape_key(key.name))
        except ResourceNotFoundError:
            return None
        return LedgerRecord(
            state=State(found["state"]),
            row_id=found.get("row_id"),
            message=from_pieces("row", found, 2),
            attempts=found["attempts"],
            claimed_until=found.get("claimed_until", LONG_AGO),
            reason=found.get("reason", ""),
            detail=found.get("detail", ""),
            entry_id=found.get("entry_id") or None,
            last_error=found.get("last_error"),
            settled_at=found.get("settled_at"),
            replayed_at=found.get("replayed_at"),
            extension=found.get("extension") or None,
        )
