"""A fake of where the position is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from cdr.calls.leases import LONGEST_LEASE
from cdr.intake.poll_history import PollHistory, PollReport
from cdr.intake.ports import KeptPosition, Memory, Position, PositionLease, StoredPosition
from shared.errors import LeaseHeld, LeaseLost, PositionFull
from tests.fakes.fake import LONG_AGO, Fake


class InMemoryPositionStore(Fake):
    """A PositionStore with room for so many characters."""

    def __init__(self, room: int = 420_000) -> None:
        super().__init__()
        self.stored: StoredPosition | None = None
        self.report: PollReport | None = None
        self.remembered: Memory = ""
        self.history = PollHistory()
        self.older_at: datetime | None = None
        self.owner: str | None = None
        self.leased_until = LONG_AGO
        self._room = room
        self._version = 0

    def lease(self, owner: str, now: datetime, duration: timedelta) -> PositionLease:
        with self.operation("lease"):
            if self.owner != owner and now < self.leased_until <= now + max(LONGEST_LEASE, duration):
                until = self.leased_until
                raise LeaseHeld(f"another poll holds the lease until {until:%H:%M:%S} UTC", until)
            self.owner = owner
            return self._renew(now + duration)

    def check_size(self, position: Position) -> None:
        if len(position) > self._room:
            raise PositionFull(f"at most {self._room} characters fit")

    def save(self, lease: PositionLease, stored: StoredPosition, now: datetime, duration: timedelta) -> PositionLease:
        with self.operation("save"):
            if not self._is_current(lease):
                raise LeaseLost("another poll has taken over")
            if len(stored.text) > self._room:
                raise ValueError("nobody asked check_size")
            self.stored = stored
            return self._renew(now + duration)

    def release(self, lease: PositionLease, report: PollReport, memory: Memory | None = None) -> None:
        with self.operation("release"):
            if self._is_current(lease):
                self.report = report
                self.history = lease.history.after(report)
                self.remembered = self.remembered if memory is None else memory
                self._renew(LONG_AGO)

    def read(self) -> KeptPosition:
        with self.operation("read"):
            return KeptPosition(self.stored, self.report, self.remembered, self.older_at, self.history)

    def _is_current(self, lease: PositionLease) -> bool:
        return lease.version == str(self._version)

    def _renew(self, until: datetime) -> PositionLease:
        self.leased_until = until
        self._version += 1
        return PositionLease(str(self.owner), str(self._version), self.stored, self.remembered, self.history)
