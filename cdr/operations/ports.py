"""What operators need of the ledger, beside what the submission does with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cdr.calls.call import CallKey, State
from cdr.calls.fingerprint import Fingerprint
from cdr.calls.message import Letter


@dataclass(frozen=True, slots=True)
class RejectedCall:
    """A rejected call's record without its row. ``replayed_at`` is when it was last put on the queue again.

    ``reason`` is a word of Reason, or one that a newer version of this app knows. ``extension`` is the one without an
    address; version 1.0.0 wrote it into ``detail`` alone.
    """

    key: CallKey
    reason: str
    detail: str
    settled_at: datetime
    replayed_at: datetime | None
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many calls the ledger has in each state; ``complete`` is False where counting took too long."""

    counts: Mapping[State, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger knows of a call, but for its message. ``state`` and ``reason`` are words of State and Reason, or
    ones that a newer version knows. ``call`` and ``facts`` tell which call it is and what it was judged by, see
    cdr.calls.fingerprint; empty: not noted. ``claimed_until`` only of a claim."""

    key: CallKey
    record_id: str | None
    state: str
    reason: str = ""
    call: Fingerprint = ""
    facts: str = ""
    claimed_until: datetime | None = None


class LedgerRecords(Protocol):
    """The ledger as operators see it. Every method may raise StorageUnavailable."""

    def count_states(self) -> StateCounts: ...

    def rejected(self) -> Iterator[RejectedCall]:
        """Every call whose state is rejected, in no particular order."""

    def letter(self, key: CallKey) -> Letter | None:
        """The message of a call that was rejected; None if there is none any more."""

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        """Note that a rejected call is on the queue again. One that is gone or claimed meanwhile is left as it is."""

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        """What the ledger knows of the calls that stand under a day: all, or those in a state."""

    def entry(self, key: CallKey) -> LedgerEntry | None:
        """The same of one call."""

    def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
        """Remove the records of calls that were settled before a moment (rejected ones: before another one), never
        one that is claimed. Works as it is iterated, and yields how many records each step removed."""


@dataclass(frozen=True, slots=True)
class LedgerLook:
    """When the ledger was last looked through for calls whose extension has an address by now (aware, UTC).

    ``extensions`` stands for all that had one then. ``is_last``: that was the second look at them.
    """

    extensions: str
    at: datetime
    is_last: bool


class LookStore(Protocol):
    """Where the last look is noted. Every method may raise StorageUnavailable."""

    def read(self) -> LedgerLook | None: ...

    def save(self, look: LedgerLook) -> None: ...
