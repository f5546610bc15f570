"""Use case: bring the calls of one message to the Call Logger, while no other worker can.

A call ends in one of three ways: it is settled in the ledger; it is put back (its message is sent again with a delay,
then this one is done), because the time or the configuration is not right; or an error leaves this module, which only a
failing queue and a defect can do, and the host brings the message again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cdr.calls.call import Call, CallKey, Job, NotLogged, Reason, Settlement, State
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Letter, Message, Unreadable
from cdr.calls.rules import CallRules, job_of, to_call
from cdr.submission import report
from cdr.submission.addresses import Addresses
from cdr.submission.already_submitted import record_repeated
from cdr.submission.breakers import ApiBreaker, OnceAMinute, RejectionBreaker
from cdr.submission.ports import Accepted, AlreadySubmitted, CallApi, CallLedger, Claim, ClaimAnswer, Held, Visit
from cdr.submission.report import Effort, named
from cdr.submission.retry import Again, GiveUp, Hindrance, Patience, again, decide, is_over
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiRejected,
    ApiUnavailable,
    PartHeld,
    PermanentError,
    PhoneBookUnread,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
    TooManyRejections,
    UnmappedExtension,
)

DELIVERIES_TOGETHER = 2
TRIES_APART = 4
"""Messages of one batch come back together. If one of them ends the whole process each time, the others must get away
from it long before maxDequeueCount in host.json."""

NOT_ON_ITS_WAY = (ApiUnavailable, ApiDenied, PartHeld, PhoneBookUnread, StorageUnavailable, TooManyRejections)
"""Whoever gets the message next may try at once."""


class Outcome(StrEnum):
    """What came of a call; each one means that its message is done."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    REPEATED = "repeated"
    PUT_BACK = "put_back"


@dataclass(frozen=True, slots=True)
class Worker:
    """What one message after the other is worked with.

    ``budget``, shorter than the claim's lease in ``patience``, is how long a worker may try; nothing is sent that could
    take, with ``longest_attempt``, beyond that. ``random`` yields numbers from 0 up to 1. ``known_causes`` says when a
    person is told once more of rejections that are no surprise. ``addresses`` None: the rules have them all.
    """

    ledger: CallLedger
    api: CallApi
    queue: CallQueue
    clock: Clock
    api_breaker: ApiBreaker
    rejections: RejectionBreaker
    random: Callable[[], float]
    patience: Patience
    budget: timedelta
    longest_attempt: timedelta
    rules: CallRules = field(repr=False)
    known_causes: OnceAMinute = field(default_factory=OnceAMinute)
    addresses: Addresses | None = None

    @property
    def rules_now(self) -> CallRules:
        """With the addresses that are known by now."""
        return self.addresses.known().added_to(self.rules) if self.addresses else self.rules


def submit(letter: Letter, worker: Worker, *, deliveries: int = 1) -> list[Outcome]:
    """Work on one message: what came of each of its calls. ``deliveries`` counts how often the host has brought it,
    this time included.

    :raises StorageUnavailable: neither the ledger nor the queue can be used; the host must bring the message again
    """
    if isinstance(letter, Unreadable):
        return [_keep_unreadable(letter, worker)]
    delivery = _Delivery(letter, worker)
    if deliveries > DELIVERIES_TOGETHER and letter.tries < TRIES_APART:
        return delivery.send_apart()
    return delivery.work()


@dataclass
class _Delivery:
    """One message in hand."""

    message: Message
    worker: Worker
    began: datetime = field(init=False)
    visits: dict[CallKey, Visit] = field(default_factory=dict)
    """What it took to ask the API, of each call that it was asked for."""

    def __post_init__(self) -> None:
        self.began = self.worker.clock.now()

    def work(self) -> list[Outcome]:
        jobs = [job_of(record, self.worker.rules) for record in self.message.records]
        try:
            answers = self.worker.ledger.claim(jobs, self.began, self.worker.patience.claim_lease)
        except StorageUnavailable as exc:
            return [self._put_back(job, exc) for job in jobs]
        return [self._settle(job, answer) for job, answer in zip(jobs, answers, strict=True)]

    def send_apart(self) -> list[Outcome]:
        """Send each call again, to come at a time that it does not share with those that it was delivered with."""
        for record in self.message.records:
            again = self.message.only([record]).again(self.began)
            delay = self.worker.patience.longest_delay * self.worker.random()
            self.worker.queue.send_later(again, delay)
            report.sent_apart(job_of(record, self.worker.rules), self.began, again.tries, delay)
        return [Outcome.PUT_BACK] * len(self.message.records)

    def _settle(self, job: Job, answer: ClaimAnswer) -> Outcome:
        match answer:
            case AlreadySubmitted():
                return self._repeated(job, answer)
            case Held():
                return self._put_back(job, answer)
            case Claim():
                return self._use(answer, job)

    def _use(self, claim: Claim, job: Job) -> Outcome:
        if claim.unanswered_at and is_over(self.message, claim.unanswered_at, self.worker.patience):
            return self._close(claim, job, self._given_up("sent, and no answer came"))
        try:
            settlement = self._close_parts(job) or self._attempt(job)
        except SubmissionUnknown as exc:
            return self._put_back(job, exc)
        except NOT_ON_ITS_WAY as exc:
            verdict = self._decide(exc)
            if isinstance(verdict, GiveUp):
                return self._close(claim, job, self._given_up(named(exc), exc))
            with suppress(StorageUnavailable):  # then the claim ends by itself
                self.worker.ledger.give_back(claim, named(exc), self.worker.clock.now())
            return self._put_back(job, exc, verdict)
        return self._close(claim, job, settlement)

    def _close_parts(self, job: Job) -> Settlement | None:
        """Nobody may submit any more what turned out to be a part of this call. If one of them is in, the call is; the
        others are closed all the same.

        :raises PartHeld: a worker has one of them, or it may have been sent
        """
        found = None
        for part in job.record.replaces:
            old = job_of(part, self.worker.rules)
            closed = Settlement(State.SKIPPED, Reason.MERGED, f"part of {job.key.name}")
            match self.worker.ledger.record(old.key, None, closed, self.worker.clock.now()):
                case Held() as held:
                    raise PartHeld(f"{held.why}, as {old.key.name}, which is a part of it")
                case AlreadySubmitted(as_part=False):
                    report.merged_late(job, old)
                    found = found or Settlement(State.SKIPPED, Reason.MERGED, f"submitted before as {old.key.name}")
        return found

    def _attempt(self, job: Job) -> Settlement:
        try:
            call = to_call(job.record, self.worker.rules_now)
            if isinstance(call, NotLogged):
                return Settlement(State.SKIPPED, call.reason)
            accepted = self._send(call, job)
        except PermanentError as exc:
            self._check_limit(exc)
            extension = exc.extension if isinstance(exc, UnmappedExtension) else None
            return Settlement(State.REJECTED, Reason(exc.reason), str(exc), extension=extension)
        reason = Reason.KNOWN_BEFORE if accepted.earlier else Reason.CREATED
        return Settlement(State.SUBMITTED, reason, "", accepted.entry_id)

    def _send(self, call: Call, job: Job) -> Accepted:
        """Past the breaker, which learns of what comes of it."""
        breaker, now = self.worker.api_breaker, self.worker.clock.now
        if now() + self.worker.longest_attempt > self.began + self.worker.budget:
            raise StorageUnavailable("not sent: it took so long to come to it that too little of the claim is left")
        is_probe, visit = breaker.is_down(now()), Visit()
        if not breaker.may_try(now()):
            raise ApiUnavailable(f"the API is known to be down: {breaker.last_failure}")
        self.visits[job.key] = visit
        give_up_at = self.began + self.worker.budget
        try:
            accepted = self.worker.api.submit(call, give_up_at=give_up_at, patient=not is_probe, visit=visit)
        except (ApiFailed, SubmissionUnknown) as exc:
            breaker.failed_at(job.key, now(), str(exc))
            raise
        except ApiDenied as exc:
            breaker.failed(now(), str(exc))
            raise
        except ApiUnavailable as exc:
            breaker.failed(now(), str(exc), wait=exc.retry_after)
            raise
        except ApiRejected:
            breaker.succeeded()  # it refuses this call, so it is there for others
            raise
        breaker.succeeded()
        return accepted

    def _check_limit(self, exc: PermanentError) -> None:
        if not self._is_known_cause(Reason(exc.reason)) and not self.worker.rejections.allows(self.worker.clock.now()):
            raise TooManyRejections(f"not rejected for now: {exc}") from exc

    def _is_known_cause(self, reason: Reason) -> bool:
        """It is no sign that something else is wrong, and no news."""
        return reason is Reason.UNMAPPED_EXTENSION or self.message.replay_of is not None

    def _close(self, claim: Claim, job: Job, settlement: Settlement) -> Outcome:
        try:
            self.worker.ledger.settle(claim, settlement, self.worker.clock.now())
            self._leave_replayed(job)
        except StorageUnavailable as exc:
            return self._put_back(job, exc)
        is_old_news = report.is_warning(settlement) and self._is_known_cause(settlement.reason)
        is_told = not is_old_news or self.worker.known_causes.is_due(self.began)
        effort = Effort(self.worker.clock.now(), self.visits.get(job.key))
        report.settled(job, claim, settlement, effort, is_told=is_told)
        return Outcome(settlement.state.value)

    def _given_up(self, last_error: str, hindrance: PipelineError | None = None) -> Settlement:
        """For want of an address: then it comes back by itself when there is one."""
        detail = f"given up after {self.worker.patience.give_up_after}; last: {last_error}"
        if isinstance(hindrance, PhoneBookUnread):
            return Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, detail, extension=hindrance.extension)
        return Settlement(State.REJECTED, Reason.GAVE_UP, detail)

    def _repeated(self, job: Job, found: AlreadySubmitted) -> Outcome:
        try:
            if not found.as_part:  # as a part it was closed after its own parts were
                self._close_parts(job)
            self._leave_replayed(job)
            is_own = record_repeated(job, found, self.worker.ledger, self.worker.clock.now())
        except (PartHeld, StorageUnavailable) as exc:
            return self._put_back(job, exc)
        return Outcome.REPEATED if is_own else Outcome.SKIPPED

    def _leave_replayed(self, job: Job) -> None:
        """With another configuration a replayed call may stand elsewhere in the ledger; its old record says where."""
        old = self.message.replay_of
        if old is not None and old != job.key:
            settlement = Settlement(State.SKIPPED, Reason.REPLAYED, f"replayed as {job.key.name}")
            self.worker.ledger.record(old, Message((job.record,)), settlement, self.worker.clock.now())

    def _put_back(self, job: Job, hindrance: Hindrance, verdict: Again | None = None) -> Outcome:
        """Send the call again with a delay, in place of this message."""
        delay = (verdict or self._again(hindrance)).delay
        sent = self.message.only([job.record]).again(self.began)
        self.worker.queue.send_later(sent, delay)
        effort = Effort(self.worker.clock.now(), self.visits.get(job.key))
        report.put_back(job, hindrance, effort, sent.tries, delay)
        return Outcome.PUT_BACK

    def _decide(self, hindrance: Hindrance) -> Again | GiveUp:
        worker, now = self.worker, self.worker.clock.now()
        alone = not worker.api_breaker.is_down(now)
        return decide(hindrance, self.message, now, worker.random, worker.patience, alone=alone)

    def _again(self, hindrance: Hindrance) -> Again:
        worker, now = self.worker, self.worker.clock.now()
        alone = not worker.api_breaker.is_down(now)
        return again(hindrance, self.message, now, worker.random, worker.patience, alone=alone)


def _keep_unreadable(letter: Unreadable, worker: Worker) -> Outcome:
    now = worker.clock.now()
    settlement = Settlement(State.REJECTED, Reason.INVALID_MESSAGE, letter.problem)
    if not worker.rejections.allows(now):
        return _unreadable_put_back(letter, "too many rejections", worker)
    try:
        worker.ledger.record(letter.key, letter, settlement, now)
    except StorageUnavailable as exc:
        return _unreadable_put_back(letter, str(exc), worker)
    report.unreadable_kept(letter)
    return Outcome.REJECTED


def _unreadable_put_back(letter: Unreadable, why: str, worker: Worker) -> Outcome:
    worker.queue.send_later(letter, worker.patience.longest_delay)
    report.unreadable_put_back(letter, why)
    return Outcome.PUT_BACK
