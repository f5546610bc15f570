"""One call of a message under its claim: what comes of it. The claim itself is left to whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cdr.calls.call import Call, Job, NotLogged, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.calls.rules import to_call
from cdr.submission.merged_parts import close_parts
from cdr.submission.ports import Accepted, Claim, Visit
from cdr.submission.retry import is_given_up, is_over
from cdr.submission.worker import Worker
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiRejected,
    ApiUnavailable,
    NoTimeLeft,
    PartHeld,
    PermanentError,
    PhoneBookUnread,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
    TooManyRejections,
    UnmappedExtension,
    named,
)

NOT_ON_ITS_WAY = (
    ApiUnavailable,
    ApiDenied,
    NoTimeLeft,
    PartHeld,
    PhoneBookUnread,
    StorageUnavailable,
    TooManyRejections,
)
"""Whoever gets the call next may try at once."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call in hand; ``began`` is when its message was taken up."""

    job: Job
    claim: Claim
    message: Message
    worker: Worker
    began: datetime
    visit: Visit = field(default_factory=Visit)

    def end(self) -> Settlement | PipelineError:
        """How the call ends, or the error for which it cannot yet; of these, NOT_ON_ITS_WAY and SubmissionUnknown."""
        patience = self.worker.patience
        if self.claim.unanswered_at and is_over(self.message, self.claim.unanswered_at, patience):
            return self._given_up("sent, and no answer came")
        try:
            return close_parts(self.job, self.worker) or self._judge()
        except SubmissionUnknown as exc:
            return exc
        except NOT_ON_ITS_WAY as exc:
            if is_given_up(exc, self.message, self.worker.clock.now(), patience):
                return self._given_up(named(exc), exc)
            return exc

    def _judge(self) -> Settlement:
        try:
            call = to_call(self.job.record, self.worker.rules_now)
            if isinstance(call, NotLogged):
                return Settlement(State.SKIPPED, call.reason)
            accepted = self._send(call)
        except PermanentError as exc:
            self._check_limit(exc)
            extension = exc.extension if isinstance(exc, UnmappedExtension) else None
            return Settlement(State.REJECTED, Reason(exc.reason), str(exc), extension=extension)
        reason = Reason.KNOWN_BEFORE if accepted.earlier else Reason.CREATED
        return Settlement(State.SUBMITTED, reason, "", accepted.entry_id)

    def _send(self, call: Call) -> Accepted:
        """Past the breaker, which learns of what comes of it."""
        worker = self.worker
        breaker, now, give_up_at = worker.api_breaker, worker.clock.now, self.began + worker.budget
        if now() + worker.longest_attempt > give_up_at:
            raise NoTimeLeft("not sent: it took so long to come to it that too little of the claim is left")
        is_probe = breaker.is_down(now())
        if not breaker.may_try(now()):
            raise ApiUnavailable(f"the API is known to be down: {breaker.last_failure}")
        try:
            accepted = worker.api.submit(call, give_up_at=give_up_at, patient=not is_probe, visit=self.visit)
        except (ApiFailed, ApiDenied, SubmissionUnknown) as exc:
            # A door before the API may refuse what one call says: only several calls tell of refused credentials.
            asked = exc.retry_after if isinstance(exc, SubmissionUnknown) else None
            breaker.failed_at(self.job.key, now(), str(exc), wait=asked)
            self._ask_after_the_api(give_up_at)
            raise
        except ApiUnavailable as exc:
            breaker.failed(now(), str(exc), wait=exc.retry_after)
            raise
        except ApiRejected:
            breaker.succeeded(now())  # it refuses this call, so it is there for others
            raise
        breaker.succeeded(now())
        return accepted

    def _ask_after_the_api(self, give_up_at: datetime) -> None:
        """Where calls are few, no others tell for a long while whether it is the call or the API."""
        worker = self.worker
        now, breaker = worker.clock.now(), worker.api_breaker
        if breaker.is_down(now) or breaker.has_just_succeeded(now) or now + worker.longest_attempt > give_up_at:
            return
        try:
            worker.api.check_health()
        except (ApiUnavailable, ApiDenied) as exc:
            asked = exc.retry_after if isinstance(exc, ApiUnavailable) else None
            breaker.failed(worker.clock.now(), str(exc), wait=asked)

    def _check_limit(self, exc: PermanentError) -> None:
        rejections, now = self.worker.rejections, self.worker.clock.now()
        if not is_known_cause(Reason(exc.reason), self.message) and not rejections.allows(now):
            raise TooManyRejections(f"not rejected for now: {exc}") from exc

    def _given_up(self, last_error: str, hindrance: PipelineError | None = None) -> Settlement:
        """For want of an address: then it comes back by itself when there is one."""
        detail = f"given up after {self.worker.patience.give_up_after}; last: {last_error}"
        if isinstance(hindrance, PhoneBookUnread):
            return Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, detail, extension=hindrance.extension)
        return Settlement(State.REJECTED, Reason.GAVE_UP, detail)


def is_known_cause(reason: Reason, message: Message) -> bool:
    """Whether a rejection is no sign that something else is wrong, and no news."""
    return reason is Reason.UNMAPPED_EXTENSION or message.replay_of is not None
