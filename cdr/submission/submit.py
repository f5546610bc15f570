"""Use case: bring the calls of one message to the Call Logger, while no other worker can.

A call ends in one of three ways: it is settled in the ledger; it is put back (it is sent again with a delay, then this
message is done), because the time or the configuration is not right; or an error leaves this module, which only a
failing queue and a defect can do, and the host brings the message again.

What the ledger and the queue are told is told of all calls of the message at once; what the calls need of the Call
Logger each of them asks for by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cdr.calls.call import CallKey, Job, Reason, Settlement, State
from cdr.calls.message import Letter, Message, Unreadable
from cdr.calls.rules import job_of
from cdr.submission import report
from cdr.submission.already_submitted import record_repeated
from cdr.submission.attempt import NOT_ON_ITS_WAY, Attempt, is_known_cause
from cdr.submission.merged_parts import close_parts
from cdr.submission.ports import AlreadySubmitted, Claim, ClaimAnswer, Held
from cdr.submission.report import Effort
from cdr.submission.retry import Hindrance, delay_after
from cdr.submission.worker import Worker
from shared.errors import NoTimeLeft, PartHeld, PipelineError, StorageUnavailable, named

DELIVERIES_TOGETHER = 2
TRIES_APART = 4
"""Messages of one batch come back together. If one of them ends the whole process each time, the others must get away
from it long before maxDequeueCount in host.json."""


class Outcome(StrEnum):
    """What came of a call; each one means that its message is done."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    REPEATED = "repeated"
    PUT_BACK = "put_back"


Came = Settlement | Hindrance | Outcome
"""What came of a call so far: a settlement is still to be recorded, a hindrance is to send it back."""


def submit(letter: Letter, worker: Worker, *, deliveries: int = 1) -> list[Outcome]:
    """Work on one message: what came of each of its calls. ``deliveries`` counts how often the host has brought it,
    this time included.

    :raises StorageUnavailable: neither the ledger nor the queue can be used; the host must bring the message again
    """
    if isinstance(letter, Unreadable):
        return [_keep_unreadable(letter, worker)]
    delivery = _Delivery(letter, worker)
    if deliveries > DELIVERIES_TOGETHER and (letter.tries < TRIES_APART or len(letter.records) > 1):
        return delivery.send_apart()
    return delivery.work()


@dataclass
class _Delivery:
    """One message in hand."""

    message: Message
    worker: Worker
    began: datetime = field(init=False)
    efforts: dict[CallKey, Effort] = field(default_factory=dict)
    """What each call took until it was known what comes of it."""

    def __post_init__(self) -> None:
        self.began = self.worker.clock.now()

    def work(self) -> list[Outcome]:
        jobs = [job_of(record, self.worker.rules) for record in self.message.records]
        try:
            answers = self.worker.ledger.claim(jobs, self.began, self.worker.patience.claim_lease)
        except StorageUnavailable as exc:
            return self._put_back(jobs, [exc] * len(jobs))
        came = self.worker.hands.each(self._take, list(zip(jobs, answers, strict=True)))
        self._give_back(answers, came)
        return self._put_back(jobs, self._settle(jobs, answers, came))

    def send_apart(self) -> list[Outcome]:
        """Send each call again, to come at a time that it does not share with those that it was delivered with."""
        for record in self.message.records:
            again = self.message.only([record]).again(self.began)
            delay = self.worker.patience.longest_delay * self.worker.random()
            self.worker.queue.send_later(again, delay)
            report.sent_apart(job_of(record, self.worker.rules), self.began, again.tries, delay)
        return [Outcome.PUT_BACK] * len(self.message.records)

    def _take(self, asked: tuple[Job, ClaimAnswer]) -> Came:
        match asked:
            case job, Claim() as claim:
                attempt = Attempt(job, claim, self.message, self.worker, self.began)
                end = attempt.end()
                self.efforts[job.key] = Effort(self.worker.clock.now(), attempt.visit)
                return end
            case job, AlreadySubmitted() as found:
                return self._repeated(job, found)
            case _, held:
                return held

    def _repeated(self, job: Job, found: AlreadySubmitted) -> Came:
        try:
            if not found.as_part:  # as a part it was closed after its own parts were
                close_parts(job, self.worker)
            self._leave_replayed(job)
            is_own = record_repeated(job, found, self.worker.ledger, self.worker.clock.now())
        except (PartHeld, StorageUnavailable) as exc:
            return exc
        return Outcome.REPEATED if is_own else Outcome.SKIPPED

    def _give_back(self, answers: Sequence[ClaimAnswer], came: Sequence[Came]) -> None:
        """The claims of what certainly is not on its way in."""
        free = [
            (answer, named(why))
            for answer, why in zip(answers, came, strict=True)
            if isinstance(answer, Claim) and isinstance(why, NOT_ON_ITS_WAY)
        ]
        with suppress(StorageUnavailable):  # then the claims end by themselves
            self.worker.ledger.give_back(free, self.worker.clock.now())

    def _settle(self, jobs: Sequence[Job], answers: Sequence[ClaimAnswer], came: Sequence[Came]) -> list[Came]:
        """What the ledger cannot be told now is put back, and its claim goes on: it may be in."""
        asked = zip(answers, came, strict=True)
        ends = [(one, end) for one, end in asked if isinstance(one, Claim) and isinstance(end, Settlement)]
        try:
            self.worker.ledger.settle(ends, self.worker.clock.now())
        except StorageUnavailable as exc:
            return [exc if isinstance(end, Settlement) else end for end in came]
        return [
            self._settled(job, one, end) if isinstance(one, Claim) and isinstance(end, Settlement) else end
            for job, one, end in zip(jobs, answers, came, strict=True)
        ]

    def _settled(self, job: Job, claim: Claim, settlement: Settlement) -> Came:
        try:
            self._leave_replayed(job)
        except StorageUnavailable as exc:
            return exc
        is_old_news = report.is_warning(settlement) and is_known_cause(settlement.reason, self.message)
        is_told = not is_old_news or self.worker.known_causes.is_due(self.began)
        report.settled(job, claim, settlement, self._effort(job), is_told=is_told)
        return Outcome(settlement.state.value)

    def _leave_replayed(self, job: Job) -> None:
        """With another configuration a replayed call may stand elsewhere in the ledger; its old record says where."""
        old = self.message.replay_of
        if old is not None and old != job.key:
            settlement = Settlement(State.SKIPPED, Reason.REPLAYED, f"replayed as {job.key.name}")
            self.worker.ledger.record(old, None, settlement, self.worker.clock.now())

    def _put_back(self, jobs: Sequence[Job], came: Sequence[Came]) -> list[Outcome]:
        """Send what is hindered again, in place of this message: those that have to wait equally long together."""
        hindered = [(job, why) for job, why in zip(jobs, came, strict=True) if isinstance(why, PipelineError | Held)]
        is_rest = not all(isinstance(each, NoTimeLeft) for each in came)
        for delay, some in self._by_delay(hindered, is_rest=is_rest).items():
            sent = self.message.only([job.record for job, _ in some]).again(self.began)
            self.worker.queue.send_later(sent, delay)
            for job, why in some:
                report.put_back(job, why, self._effort(job), sent.tries, delay)
        return [each if isinstance(each, Outcome) else Outcome.PUT_BACK for each in came]

    def _effort(self, job: Job) -> Effort:
        return self.efforts.get(job.key) or Effort(self.worker.clock.now())

    def _by_delay(
        self, hindered: Sequence[tuple[Job, Hindrance]], *, is_rest: bool
    ) -> Mapping[timedelta, list[tuple[Job, Hindrance]]]:
        worker, now = self.worker, self.worker.clock.now()
        drawn = worker.random() if hindered else 0.0
        alone = not worker.api_breaker.is_down(now)
        found = defaultdict[timedelta, list[tuple[Job, Hindrance]]](list)
        for job, why in hindered:
            delay = delay_after(why, self.message, now, drawn, worker.patience, alone=alone, is_rest=is_rest)
            found[delay].append((job, why))
        return found


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
