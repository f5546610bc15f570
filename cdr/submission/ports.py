"""What the submission needs of the outside: the ledger, and the Call Logger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from cdr.calls.call import Accepted, Call, CallKey, Settlement, State


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to submit one call; ``version`` is what the ledger compares. ``attempts`` counts this one too."""

    key: CallKey
    version: str
    until: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The call is at the API; ``row_id`` is the row that brought it there."""

    row_id: int | None


@dataclass(frozen=True, slots=True)
class RejectedCall:
    """A rejected call's record without its row. ``replayed_at`` is when it was last put on the queue again."""

    key: CallKey
    reason: str
    detail: str
    settled_at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many calls the ledger has in each state; ``complete`` is False where counting took too long."""

    counts: Mapping[State, int]
    complete: bool


class CallLedger(Protocol):
    """One record for each call. Every method may raise StorageUnavailable."""

    def claim(self, key: CallKey, row_id: int, message: str, now: datetime, lease: timedelta) -> Claim | Settled:
        """Become the only worker for this call until the lease ends.

        A call that was skipped or rejected can be claimed again: the configuration may have changed since. If that
        record is another row's, it stays, under that row's own key.

        :raises ClaimHeld: another worker's claim has not run out
        """

    def settle(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        """Record how the call ended. That the API has it is a fact, and recorded even if the claim was lost meanwhile;
        anything else is left to whoever has the claim now."""

    def give_back(self, claim: Claim, error: str, now: datetime) -> None:
        """Let the next delivery of the message claim the call at once, and remember why."""

    def keep(self, key: CallKey, row_id: int | None, message: str, settlement: Settlement, now: datetime) -> bool:
        """Record a call that nobody will submit, whatever state it was in, unless the API has it.

        :returns: False if the API has it, and nothing was changed
        """

    def last_error(self, key: CallKey) -> str | None:
        """What went wrong at the last attempt, if anything."""

    def count_states(self) -> StateCounts: ...

    def rejected(self) -> Iterator[RejectedCall]:
        """Every call whose state is rejected, in no particular order."""

    def message(self, key: CallKey) -> str:
        """The message of a call that was rejected; empty if there is none any more."""

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        """Note that a rejected call is on the queue again. One that is gone or claimed meanwhile is left as it is."""

    def row_ids(self, first: date, last: date, *, undated: bool = True) -> set[int]:
        """The rows that have a record, of calls that ended on these days (UTC), and of those without a day."""

    def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
        """Remove the records of calls that were settled before a moment (rejected ones: before another one), never
        one that is claimed. Works as it is iterated, and yields how many records each step removed."""


class CallApi(Protocol):
    """The Call Logger."""

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True) -> Accepted:
        """Submit a call, with retries in place while an attempt can still end before ``give_up_at``; just once if not
        ``patient``.

        :raises ApiRejected: the API will never take this call
        :raises ApiDenied: the API refuses our credentials
        :raises ApiUnavailable: not reached, or answered with a failure, each time
        :raises SubmissionUnknown: sent, and no answer: it may be in
        """

    def check_health(self) -> None:
        """:raises ApiUnavailable, ApiDenied: it is not usable"""
