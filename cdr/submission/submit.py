"""Use case: bring one queued call to the Call Logger, while no other worker can.

A message ends in one of three ways: its call is settled in the ledger; it is put back (sent again with a delay, then
this one is done), because the time or the configuration is not right; or an error leaves this module, which only a
failing queue and a defect can do, and the host brings the message again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cdr.calls.call import CallKey, CallRules, NotLogged, Outcome, Row, Settlement, State, Travels
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import decode_row, with_travels
from cdr.calls.rules import UNDATED, call_key, row_key, to_call
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.ports import CallApi, CallLedger, Claim, Settled
from shared import log
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    ClaimHeld,
    InvalidMessage,
    PermanentError,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
    TooManyRejections,
)

FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(minutes=5)
AFTER_THE_LEASE = timedelta(seconds=5)
DELIVERIES_TOGETHER = 2
TIMES_APART = 4
"""Messages of one batch come back together. If one of them ends the whole process each time, the others must get away
from it long before maxDequeueCount in host.json."""


@dataclass(frozen=True, slots=True)
class SubmitPlan:
    """``claim_lease`` is how long a call belongs to one worker; ``budget``, shorter, how long that worker may try."""

    rules: CallRules
    claim_lease: timedelta
    budget: timedelta
    give_up_after: timedelta


@dataclass(frozen=True, slots=True)
class Worker:
    """What one message after the other is worked with. ``random`` yields numbers from 0 up to 1."""

    ledger: CallLedger
    api: CallApi
    queue: CallQueue
    clock: Clock
    watch: ApiWatch
    rejections: RejectionLimit
    random: Callable[[], float]
    plan: SubmitPlan = field(repr=False)


def submit_call(message: str, worker: Worker, *, deliveries: int = 1) -> Outcome:
    """Work on one message. ``deliveries`` counts how often the host has brought it, this time included.

    :raises StorageUnavailable: neither the ledger nor the queue can be used; the host must bring the message again
    """
    try:
        row = decode_row(message)
    except InvalidMessage as exc:
        return _keep_garbage(message, exc, worker)
    if deliveries > DELIVERIES_TOGETHER and row.travels.times_put_back < TIMES_APART:
        return _set_apart(message, row, worker)
    try:
        return _submit(message, row, worker)
    except (ApiUnavailable, ApiDenied, SubmissionUnknown, ClaimHeld, TooManyRejections, StorageUnavailable) as exc:
        return _put_back(message, row, exc, worker)


def _submit(message: str, row: Row, worker: Worker) -> Outcome:
    plan, now = worker.plan, worker.clock.now()
    key = call_key(row, plan.rules)
    claim = worker.ledger.claim(key, row.id, message, now, plan.claim_lease)
    if isinstance(claim, Settled):
        return _repeated(row, key, claim, message, worker)
    try:
        _check_age(now, worker)
        settlement = _settlement(row, give_up_at=now + plan.budget, worker=worker)
    except (ApiUnavailable, ApiDenied, TooManyRejections, StorageUnavailable) as exc:
        # The call is certainly not on its way into the API: whoever gets the message next may try at once.
        worker.ledger.give_back(claim, f"{type(exc).__name__}: {exc}", worker.clock.now())
        raise
    worker.ledger.settle(claim, settlement, worker.clock.now())
    _leave_replayed(row, key, worker)
    _report(row, claim, settlement)
    return Outcome(settlement.state.value)


def _check_age(claimed_at: datetime, worker: Worker) -> None:
    """Even the first try at the API must end before another worker can claim the call."""
    if worker.clock.now() - claimed_at > worker.plan.claim_lease - worker.plan.budget:
        raise StorageUnavailable("the ledger took so long to grant the claim that too little of it is left")


def _settlement(row: Row, *, give_up_at: datetime, worker: Worker) -> Settlement:
    try:
        call = to_call(row, worker.plan.rules)
        if isinstance(call, NotLogged):
            return Settlement(State.SKIPPED, call.reason)
        is_probe = worker.watch.is_down(worker.clock.now())
        if not worker.watch.may_try(worker.clock.now()):
            raise ApiUnavailable(f"the API is known to be down: {worker.watch.last_failure}")
        try:
            accepted = worker.api.submit(call, give_up_at=give_up_at, patient=not is_probe)
        except (ApiUnavailable, ApiDenied, SubmissionUnknown) as exc:
            worker.watch.failed(worker.clock.now(), str(exc))
            raise
        except ApiRejected:
            worker.watch.succeeded()  # it refuses this call, so it is there for others
            raise
        worker.watch.succeeded()
        return Settlement(State.SUBMITTED, "known_before" if accepted.earlier else "created", "", accepted.entry_id)
    except PermanentError as exc:
        _check_limit(exc, worker)
        return Settlement(State.REJECTED, exc.reason, str(exc))


def _check_limit(exc: PermanentError, worker: Worker) -> None:
    if not worker.rejections.allows(worker.clock.now()):
        raise TooManyRejections(f"not rejected for now: {exc}") from exc


def _repeated(row: Row, key: CallKey, settled: Settled, message: str, worker: Worker) -> Outcome:
    """The call is at the API. If another row of the same call brought it there, this one gets a record of its own."""
    _leave_replayed(row, key, worker)
    if settled.row_id is not None and settled.row_id != row.id:
        own = row_key(key, row.id)
        settlement = Settlement(State.SKIPPED, "same_pbx_call_id", f"row {settled.row_id} has the same pbxCallId")
        worker.ledger.keep(own, row.id, message, settlement, worker.clock.now())
        log.event("call.skipped", call=key.name, row_id=row.id, reason=settlement.reason)
        return Outcome.SKIPPED
    log.event("call.repeated", call=key.name, row_id=row.id)
    return Outcome.REPEATED


def _leave_replayed(row: Row, key: CallKey, worker: Worker) -> None:
    """With another configuration a replayed call may stand elsewhere in the ledger; its old record says where."""
    old = row.travels.replay_of
    if old is not None and old != key:
        settlement = Settlement(State.SKIPPED, "replayed", f"replayed as {key.name}")
        worker.ledger.keep(old, row.id, "", settlement, worker.clock.now())


def _put_back(message: str, row: Row, exc: PipelineError, worker: Worker) -> Outcome:
    """Send the message again with a delay, in place of this one; or give the call up if it is too old."""
    now, travels = worker.clock.now(), row.travels
    since = travels.since or now
    if now - since >= worker.plan.give_up_after and not isinstance(exc, StorageUnavailable | ClaimHeld):
        try:
            return _give_up(message, row, exc, worker)
        except StorageUnavailable as hindrance:
            exc = hindrance
    delay = max(delay_before_next(travels.times_put_back, worker.random), _end_of_lease(exc, now, worker.plan))
    again = Travels(travels.times_put_back + 1, since, travels.replay_of)
    worker.queue.send_later(with_travels(message, again), delay)
    _report_put_back(row, exc, again, delay, worker)
    return Outcome.PUT_BACK


def _set_apart(message: str, row: Row, worker: Worker) -> Outcome:
    """Send the message again, to come at a time that it does not share with those that it was delivered with."""
    travels, delay = row.travels, LONGEST_DELAY * worker.random()
    again = Travels(travels.times_put_back + 1, travels.since or worker.clock.now(), travels.replay_of)
    worker.queue.send_later(with_travels(message, again), delay)
    log.event(
        "call.put_back",
        level=logging.WARNING,
        call=call_key(row, worker.plan.rules).name,
        row_id=row.id,
        reason="delivered several times without an outcome; tried again apart from the others",
        times=again.times_put_back,
        delay_s=round(delay.total_seconds()),
    )
    return Outcome.PUT_BACK


def delay_before_next(times_put_back: int, random: Callable[[], float]) -> timedelta:
    """30 seconds, doubling to 5 minutes, less up to a fifth so that not all messages come back at once."""
    doubled: timedelta = min(FIRST_DELAY * 2 ** min(times_put_back, 10), LONGEST_DELAY)
    return doubled * (1 - random() / 5)


def _end_of_lease(exc: PipelineError, now: datetime, plan: SubmitPlan) -> timedelta:
    """Before the end of a claim's lease there is nothing to find out."""
    if isinstance(exc, SubmissionUnknown):
        return plan.claim_lease + AFTER_THE_LEASE
    if isinstance(exc, ClaimHeld) and exc.until is not None:
        return exc.until - now + AFTER_THE_LEASE
    return timedelta()


def _give_up(message: str, row: Row, exc: PipelineError, worker: Worker) -> Outcome:
    key = call_key(row, worker.plan.rules)
    detail = f"given up after {worker.plan.give_up_after}; last: {type(exc).__name__}: {exc}"
    settlement = Settlement(State.REJECTED, "gave_up", detail)
    if not worker.ledger.keep(key, row.id, message, settlement, worker.clock.now()):
        return Outcome.REPEATED
    log.event(
        "call.rejected", level=logging.ERROR, call=key.name, row_id=row.id, reason="gave_up", detail=_masked(detail)
    )
    return Outcome.REJECTED


def _keep_garbage(message: str, exc: InvalidMessage, worker: Worker) -> Outcome:
    key = garbage_key(message)
    try:
        _check_limit(exc, worker)
        worker.ledger.keep(key, None, message, Settlement(State.REJECTED, exc.reason, str(exc)), worker.clock.now())
    except (TooManyRejections, StorageUnavailable) as hindrance:
        worker.queue.send_later(message, LONGEST_DELAY)
        log.event("call.put_back", level=logging.ERROR, call=key.name, reason=_masked(str(hindrance)))
        return Outcome.PUT_BACK
    log.event("call.rejected", level=logging.WARNING, call=key.name, reason=exc.reason, detail=_masked(str(exc)))
    return Outcome.REJECTED


def garbage_key(message: str) -> CallKey:
    """A place in the ledger for a message that is no call: the same text has the same place."""
    return CallKey(UNDATED, f"message-{sha256(message.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}")


def _report(row: Row, claim: Claim, settlement: Settlement) -> None:
    log.event(
        f"call.{settlement.state}",
        level=logging.WARNING if settlement.state is State.REJECTED else logging.INFO,
        call=claim.key.name,
        row_id=row.id,
        attempts=claim.attempts,
        reason=settlement.reason,
        detail=_masked(settlement.detail),
        entry_id=settlement.entry_id,
    )


def _report_put_back(row: Row, exc: PipelineError, travels: Travels, delay: timedelta, worker: Worker) -> None:
    if isinstance(exc, ApiDenied):
        log.event("api.denied", level=logging.ERROR, reason=str(exc))
    if isinstance(exc, TooManyRejections):
        log.event("rejections.stopped", level=logging.ERROR, reason=_masked(str(exc)))
    log.event(
        "call.unsettled" if isinstance(exc, SubmissionUnknown) else "call.put_back",
        level=logging.INFO if isinstance(exc, ClaimHeld) else logging.WARNING,
        call=call_key(row, worker.plan.rules).name,
        row_id=row.id,
        error=type(exc).__name__,
        reason=_masked(str(exc)),
        times=travels.times_put_back,
        delay_s=round(delay.total_seconds()),
    )


def _masked(text: str) -> str | None:
    return log.mask_numbers(text) or None
