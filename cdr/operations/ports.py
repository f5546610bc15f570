"""What operators need of the ledger, beside what the submission does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
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

    @property
    def place(self) -> str:
        """Where it stands among all that were rejected: in the order of these texts the newest one comes first."""
        age = _FAR_AWAY - (self.settled_at - _EPOCH) // timedelta(microseconds=1)
        return f"{age:016d}-{digest(self.key.day, self.key.name)}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_AWAY = 10**16
"""In microseconds: more than any moment has since 1970, in as many digits."""


def digest(*texts: str) -> str:
    """Short, of a length that does not depend on the texts, and another one for each."""
    return blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A call that is rejected now, with its message; None: it was recorded without one."""

    call: RejectedCall
    letter: Letter | None


@dataclass(frozen=True, slots=True)
class HourCount:
    """What became of the calls that ended in an hour (aware, UTC, its beginning); of those whose end nobody knows, that
    were settled in it."""

    hour: datetime
    submitted: int = 0
    skipped: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """How many calls the ledger has in each state in which a call can end, how many of the rejected ones for which
    reason, and what became of those of each of the last ``HOURS`` hours and of this one, the oldest first.

    ``complete`` is False while not every day is counted: then only what has been counted is in it.
    """

    states: Mapping[State, int]
    rejected: Mapping[str, int]
    hours: Sequence[HourCount]
    complete: bool = True


HOURS = 24


def hours_until(now: datetime) -> Sequence[datetime]:
    """The beginnings of these hours."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [this - timedelta(hours=ago) for ago in range(HOURS, -1, -1)]


@dataclass(frozen=True, slots=True)
class KeptCall:
    """All that the ledger keeps of a call. Times are aware and in UTC; None: it did not come to that.

    ``extension`` is that of the call's owner; of records of earlier versions it is only known where it has no address.
    """

    key: CallKey
    record_id: str | None
    state: str
    reason: str = ""
    detail: str = ""
    extension: str | None = None
    attempts: int = 0
    first_claimed_at: datetime | None = None
    claimed_until: datetime | None = None
    settled_at: datetime | None = None
    replayed_at: datetime | None = None
    entry_id: str | None = None
    last_error: str | None = None
    letter: Letter | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What the ledger knows of a call, but for its message. ``state`` and ``reason`` are words of State and Reason, or
    ones that a newer version knows. ``call`` and ``facts`` tell which call it is and what it was judged by, see
    cdr.calls.fingerprint; empty: not noted. ``claimed_until`` only of a claim. ``ended_on`` is the day of its end
    (UTC) as it was settled; where that is not known, that under which it stands, or empty."""

    key: CallKey
    record_id: str | None
    state: str
    reason: str = ""
    call: Fingerprint = ""
    facts: str = ""
    claimed_until: datetime | None = None
    ended_on: str = field(default="", compare=False)


class LedgerRecords(Protocol):
    """The ledger as operators see it. Every method may raise StorageUnavailable."""

    def counts(self, now: datetime) -> LedgerCounts:
        """What has been counted; it costs the same however much is in the ledger."""

    def are_all_noted(self) -> bool:
        """Whether the calls that earlier versions rejected are among the rejected ones here, and counted."""

    def sum_up(self, older_at: datetime | None, now: datetime, may_go_on: Callable[[], bool]) -> bool:
        """Count and note what earlier versions wrote, and sum up the days that are done with; as far as it may go on.

        :param older_at: when an earlier version was last seen at work (aware, UTC); None: never
        :returns: whether all is taken in
        """

    def rejected(self, reason: str | None = None, after: str | None = None) -> Iterator[RejectedCall]:
        """The calls that were rejected, or those for a reason, the newest first, beyond a ``place``.

        As they were noted before they were rejected: whether one still is, still_rejected says. No more is read than
        is taken.
        """

    def rejected_as(self, name: str) -> Iterator[RejectedCall]:
        """The same of the calls of a name."""

    def still_rejected(self, call: RejectedCall) -> RejectedRecord | None:
        """None if it has been settled otherwise since, claimed, or never came to be rejected; or at another time."""

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        """Note that a rejected call is on the queue again. One that is gone or claimed meanwhile is left as it is."""

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        """What the ledger knows of the calls that stand under a day: all, or those in a state."""

    def entry(self, key: CallKey) -> LedgerEntry | None:
        """The same of one call."""

    def named(self, day: str, name: str) -> Iterator[KeptCall]:
        """What the ledger keeps of a call of a day by its name, and of the rows of that call that have records of their
        own. It costs the same however many calls the day has."""

    def of_row(self, day: str, record_id: str) -> Iterator[KeptCall]:
        """The same by a row's id. It costs more the more calls the day has, as does the next."""

    def of_extension(self, day: str, extension: str) -> Iterator[KeptCall]: ...

    def remove_settled(self, before: datetime, rejected_before: datetime, now: datetime) -> Iterator[int]:
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
