"""Use case: record in the ledger what the host gave up on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cdr.calls.call import Job, Reason, Settlement, State
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Letter, Message, Unreadable
from cdr.calls.rules import CallRules, job_of
from cdr.submission import report
from cdr.submission.already_submitted import record_repeated
from cdr.submission.ports import AlreadySubmitted, CallLedger, Held, Recorded
from shared import log
from shared.clock import Clock
from shared.errors import StorageUnavailable
from shared.telling import telling_of_storage

RETURN_DELAY = timedelta(minutes=5)
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class PoisonKeeper:
    """What messages are kept with. ``rules`` None: the configuration is not usable."""

    ledger: CallLedger
    poison_queue: CallQueue
    clock: Clock
    rules: CallRules | None


def keep_poisoned(letter: Letter, keeper: PoisonKeeper) -> None:
    """Record the message's calls as rejected, unless the API has them.

    The host has no poison queue for a poison queue: a message whose function failed would come back until its time to
    live ends, and be forgotten. So nothing is raised. Without the ledger, or without usable rules, the message goes
    back on the poison queue, never to expire; so does a call that a worker has in hand. Without the queue either, this
    waits until one of the two is back.
    """
    wait_s = 1.0
    while not (_is_done(lambda: _keep(letter, keeper)) or _is_done(lambda: _put_back(letter, keeper))):
        keeper.clock.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _is_done(act: Callable[[], bool]) -> bool:
    """What it raises is told and goes no further: the message would come back without end, and then be forgotten."""
    try:
        with telling_of_storage():
            return act()
    except StorageUnavailable:
        return False
    except Exception as exc:  # noqa: BLE001 - see above
        _tell_of_defect(exc)
        return False


def _tell_of_defect(exc: Exception) -> None:
    log.event("poison.failed", level=logging.ERROR, error=type(exc).__name__, reason=log.mask_numbers(str(exc)))


def _keep(letter: Letter, keeper: PoisonKeeper) -> bool:
    """:returns: whether all of it is recorded"""
    if isinstance(letter, Unreadable):
        _keep_unreadable(letter, keeper)
        return True
    if keeper.rules is None:
        return False
    jobs = [job_of(record, keeper.rules) for record in letter.records]
    kept = [_keep_call_or_say_why(job, keeper) for job in jobs]  # each, also after one that cannot be kept now
    return all(kept)


def _keep_unreadable(letter: Unreadable, keeper: PoisonKeeper) -> None:
    settlement = Settlement(State.REJECTED, Reason.GAVE_UP, f"given up after too many deliveries; {letter.problem}")
    keeper.ledger.record(letter.key, letter, settlement, keeper.clock.now())
    log.event("poison.kept", level=logging.ERROR, call=letter.key.name, detail=log.mask_numbers(settlement.detail))


def _keep_call_or_say_why(job: Job, keeper: PoisonKeeper) -> bool:
    try:
        return _keep_call(job, keeper)
    except StorageUnavailable:
        raise  # the others would only wait for it as long
    except Exception as exc:  # noqa: BLE001 - a defect that one call meets is none of the others'
        _tell_of_defect(exc)
        return False


def _keep_call(job: Job, keeper: PoisonKeeper) -> bool:
    """Not under a claim: to make one may be just what the workers die of. One that a worker has is left to him."""
    ledger, now = keeper.ledger, keeper.clock.now()
    detail = f"given up after too many deliveries; last: {ledger.last_error(job.key) or 'no error recorded'}"
    settlement = Settlement(State.REJECTED, Reason.GAVE_UP, detail)
    match ledger.record(job.key, Message((job.record,)), settlement, now):
        case Held():
            return False
        case AlreadySubmitted() as found:
            record_repeated(job, found, ledger, now)
        case Recorded():
            log.event("poison.kept", level=logging.ERROR, **report.fields_of(job), detail=log.mask_numbers(detail))
    return True


def _put_back(letter: Letter, keeper: PoisonKeeper) -> bool:
    keeper.poison_queue.send_later(letter, RETURN_DELAY)
    why = "the ledger or the configuration is not usable, or a worker has the call"
    log.event("poison.returned", level=logging.WARNING, reason=why)
    return True
