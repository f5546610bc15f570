"""What the intake needs of the outside: the phone system, and a place for how far it was read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cdr.calls.call import RawRow
from cdr.intake.id_order import Checkpoint, Range


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
