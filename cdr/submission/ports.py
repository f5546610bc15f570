"""What the submission needs of the outside: the ledger, and the Call Logger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cdr.calls.call import Call, CallKey, Job, Settlement
from cdr.calls.message import Letter
from cdr.submission.directory import KeptPhoneBook, PhoneBook


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to submit one call; ``version`` is what the ledger compares.

    ``record_id`` is the row that it is claimed for. ``attempts`` counts this one too. ``unanswered_at`` is when the
    claim before was made (aware, UTC), if that one ended without a word: then the call may have been sent. ``counted``
    and ``settled_before`` are what the ledger has to know of the call's record as it was before, to count it once.
    """

    key: CallKey
    record_id: str
    version: str
    attempts: int
    unanswered_at: datetime | None = None
    counted: str = ""
    settled_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlreadySubmitted:
    """The call is at the API; ``record_id`` is the call detail record that brought it there.

    ``as_part``: another call stands for it, of which it turned out to be a part.
    """

    record_id: str | None
    as_part: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Another worker has the call, until a moment (aware, UTC) where that is known."""

    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ledger says now what it was told."""


ClaimAnswer = Claim | AlreadySubmitted | Held
RecordAnswer = Recorded | AlreadySubmitted | Held


class CallLedger(Protocol):
    """One record for each call. Every method may raise StorageUnavailable.

    Whatever is asked, a claim that has not run out is never overwritten by anybody but the worker who has it, except by
    the fact that the API has the call.
    """

    def claim(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> Sequence[ClaimAnswer]:
        """Become the only worker for these calls until the lease ends: an answer for each, in their order.

        A call counts as the same under the day before and after: its end may have been corrected, or a worker goes by
        another time zone. A call that was skipped or rejected can be claimed again: the configuration may have changed
        since. If that record is another row's, it stays, under that row's own key.
        """

    def settle(self, ends: Sequence[tuple[Claim, Settlement]], now: datetime) -> None:
        """Record how the calls ended. That the API has one is a fact, and recorded even if the claim was lost
        meanwhile; anything else is left to whoever has the claim now. If that is another row, this one's record gets a
        key of its own. When it raises, any number of them may be recorded."""

    def give_back(self, claims: Sequence[tuple[Claim, str]], now: datetime) -> None:
        """Let the next delivery of a message claim these calls at once, and remember why. That one may have been sent
        under an earlier claim is remembered too."""

    def record(self, key: CallKey, letter: Letter | None, settlement: Settlement, now: datetime) -> RecordAnswer:
        """Record what nobody will submit, with its message if somebody may still need it. Nothing is changed if the API
        has the call, or a worker is at it. Another row's record stays, as in claim.

        Without a message the call is closed for good; so one that may have been sent counts as held, until its own
        message finds out whether it is in. One that was given up does too if it is to be a part of another call.
        """

    def last_error(self, key: CallKey) -> str | None:
        """What went wrong at the last attempt, if anything."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API has the call: ``entry_id`` is its own id where it said so; ``earlier`` if it had the call before."""

    entry_id: str | None
    earlier: bool


@dataclass(slots=True)
class Visit:
    """What one submission took, noted while it goes on, so that it is known of one that fails too: how many requests,
    and how long, with the waits between them."""

    tries: int = 0
    took: timedelta = timedelta()


class CallApi(Protocol):
    """The Call Logger."""

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True, visit: Visit | None = None) -> Accepted:
        """Submit a call, with retries in place; just once if not ``patient``. No attempt is begun that could end after
        ``give_up_at``. What it took is noted in ``visit``.

        :raises ApiRejected: the API will never take this call
        :raises ApiDenied: the API refuses our credentials, or is not the API
        :raises ApiUnavailable: it is certainly not in: not reached (ApiFailed: the API itself failed)
        :raises NoTimeLeft: nor is it in: ``give_up_at`` had come before it was sent
        :raises SubmissionUnknown: sent, and no answer of the API's own: it may be in
        """

    def check_health(self) -> None:
        """:raises ApiUnavailable, ApiDenied: it is not usable"""


class Directory(Protocol):
    """A phone system that knows whose extension is whose. ``name`` says which one, and how it is asked."""

    @property
    def name(self) -> str: ...

    def phone_book(self) -> PhoneBook:
        """:raises SourceUnavailable, SourceMisconfigured: it does not tell"""


class PhoneBookStore(Protocol):
    """Where the phone book is kept, for every process. Every method may raise StorageUnavailable."""

    def read(self) -> KeptPhoneBook | None: ...

    def save(self, kept: KeptPhoneBook) -> None: ...
