"""One protocol for each outside thing. What stands behind them is in ``cdr.edges``; tests have in-memory twins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from cdr.cursor import Checkpoint, Range
from cdr.groups import AlertType, GroupRecord, Observation, OpenAlert
from cdr.model import Accepted, Call, CallKey, RawRow, Settlement, State


class CdrReader(Protocol):
    """An open connection to the call detail records.

    Every method raises SourceUnavailable (try later) or SourceMisconfigured (a person must act).
    """

    def rows_after(self, position: int | None, limit: int) -> list[RawRow]:
        """Up to ``limit`` rows with an id beyond the position, in order of id. Each has an ``id`` of type int."""

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[RawRow]:
        """Up to ``limit`` rows whose id lies in one of the ranges (ascending) and beyond ``after``, in order of id."""

    def newest_id(self) -> int | None:
        """The highest id in the table; None if it is empty."""

    def first_id_since(self, moment: datetime) -> int | None:
        """The lowest id of a row that started at or after an aware moment; None if there is none."""

    def rows_ended_between(self, start: datetime, end: datetime, after: int | None, limit: int) -> list[RawRow]:
        """Up to ``limit`` rows that ended from ``start`` to before ``end`` (aware) with an id beyond ``after``."""


class CdrSource(Protocol):
    """The phone system's database."""

    def connect(self) -> AbstractContextManager[CdrReader]: ...


class CallQueue(Protocol):
    """A storage queue. Every method raises StorageUnavailable."""

    def send_all(self, messages: Sequence[str]) -> None:
        """Put all messages on the queue, never to expire. When it raises, any number of them may be there."""

    def send_later(self, message: str, delay: timedelta) -> None:
        """Put one message on the queue that nobody sees before the delay has passed."""

    def depth(self) -> int:
        """About how many messages there are, invisible ones included."""


@dataclass(frozen=True, slots=True)
class PollReport:
    """How a poll went, for ``status``. Times are aware and in UTC."""

    at: datetime
    result: str
    queued: int = 0
    duration_ms: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointLease:
    """The right to move the checkpoint; ``version`` is what the store compares."""

    owner: str
    version: str
    checkpoint: Checkpoint | None
    """None before the very first poll."""


class CheckpointStore(Protocol):
    """Where the checkpoint is kept, and who may move it. Every method may raise StorageUnavailable."""

    def lease(self, owner: str, now: datetime, duration: timedelta) -> CheckpointLease:
        """:raises LeaseHeld: another poll has it and its lease has not run out"""

    def check_size(self, checkpoint: Checkpoint) -> None:
        """:raises CheckpointFull: save would not find room for it"""

    def save(
        self, lease: CheckpointLease, checkpoint: Checkpoint, now: datetime, duration: timedelta
    ) -> CheckpointLease:
        """Move the checkpoint and renew the lease.

        :raises LeaseLost: another poll has taken over; nothing was saved
        """

    def release(self, lease: CheckpointLease, report: PollReport) -> None:
        """Give the lease back with a report. A lease that was lost is none of our business any more: no error."""

    def read(self) -> tuple[Checkpoint | None, PollReport | None]:
        """What is stored, for ``status``."""


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


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told of a group's alert; ``event`` is raised, reminder or resolved."""

    event: str
    title: str
    text: str
    group_id: str
    group_name: str
    alert_type: str
    at: datetime


class Notifier(Protocol):
    """The webhooks."""

    def tell(self, notice: Notice) -> int:
        """:returns: how many took it
        :raises NoticeFailed: not all of them took it
        """


class MemberSource(Protocol):
    """Who belongs to a call group, and who of them is available."""

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        """An observation of each group; one that does not exist has no members and says so.

        :raises SourceUnavailable, SourceMisconfigured: nothing can be said of any group
        """


class AlertApi(Protocol):
    """The Call Logger's alerts. Every method raises ApiUnavailable, ApiDenied or ApiRejected."""

    def active(self) -> Mapping[str, OpenAlert]:
        """The active alert of each group that has one of ours."""

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        """The new alert, or the active one of this type that the group has."""

    def resolve(self, alert_id: str) -> None: ...


class GroupStore(Protocol):
    """What is remembered of the groups, and who may check them. Every method may raise StorageUnavailable."""

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        """Become the only one to check, or stay it for longer.

        :raises LeaseHeld: another check is at work and its lease has not run out
        """

    def release(self, owner: str) -> None:
        """Give the lease back; if another check has it by now, it keeps it."""

    def load(self) -> Mapping[str, GroupRecord]: ...

    def save(self, group_id: str, record: GroupRecord) -> None: ...

    def remove(self, group_id: str) -> None: ...
