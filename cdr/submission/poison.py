"""Use case: record in the ledger what the host gave up on."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cdr.calls.call import CallRecord, Job, Reason, Settlement, State
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
    back on the poison queue, never to expire; so does a call that a worker has in hand, without those that are
    recorded. Without the queue either, this waits until one of the two is back.
    """
    wait_s = 1.0
    left = _keep(letter, keeper)
    while left is not None and not _is_done(partial(_put_back, left, keeper)):
        keeper.clock.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        left = _keep(left, keeper)


def _is_done(act: Callable[[], object]) -> bool:
    """What it raises is told and goes no further: the message would come back without end, and then be forgotten."""
    try:
        with telling_of_storage():
            act()
    except StorageUnavailable:
        return False
    except Exception as exc:  # noqa: BLE001 - see above
        _tell_of_defect(exc)
        return False
    return True


def _tell_of_defect(exc: Exception) -> None:
    log.event("poison.failed", level=logging.ERROR, error=type(exc).__name__, reason=log.mask_numbers(str(exc)))


def _keep(letter: Letter, keeper: PoisonKeeper) -> Letter | None:
    """:returns: what could not be recorded; None: all of it is"""
    if isinstance(letter, Unreadable):
        return None if _is_done(lambda: _keep_unreadable(letter, keeper)) else letter
    if keeper.rules is None:
        return letter
    left = list(letter.records)
    _is_done(partial(_keep_calls, letter.records, left, keeper, keeper.rules))
    return letter.only(left) if left else None


def _keep_calls(
    records: Sequence[CallRecord], left: MutableSequence[CallRecord], keeper: PoisonKeeper, rules: CallRules
) -> None:
    """Each of them, also after one that cannot be kept now; what is kept is ``left`` no more."""
    for record in records:
        if _keep_call_or_say_why(record, keeper, rules):
            left.remove(record)


def _keep_unreadable(letter: Unreadable, keeper: PoisonKeeper) -> None:
    settlement = Settlement(State.REJECTED, Reason.GAVE_UP, f"given up after too many deliveries; {letter.problem}")
    keeper.ledger.record(letter.key, letter, settlement, keeper.clock.now())
    log.event("poison.kept", level=logging.ERROR, call=letter.key.name, detail=log.mask_numbers(settlement.detail))


def _keep_call_or_say_why(record: CallRecord, keeper: PoisonKeeper, rules: CallRules) -> bool:
    try:
        return _keep_call(job_of(record, rules), keeper)
    except StorageUnavailable:
        raise  # the others would only wait for it as long
    except Exception as exc:  # noqa: BLE001 - a defect that one call meets is none of the others'
        _tell_of_defect(exc)
        return False


def _keep_call(job: Job, keeper: PoisonKeeper) -> bool:
    """Not under a claim: to make one may be just what the workers die of. One that a worker has is left to him."""
    ledger = keeper.ledger
    detail = f"given up after too many deliveries; last: {ledger.last_error(job.key) or 'no error recorded'}"
    # Asked for now that storage has told what time it is: by a clock far ahead no claim would go on any more.
    now = keeper.clock.now()
    settlement = Settlement(State.REJECTED, Reason.GAVE_UP, detail)
    match ledger.record(job.key, Message((job.record,)), settlement, now):
        case Held():
            return False
        case AlreadySubmitted() as found:
            record_repeated(job, found, ledger, now)
        case Recorded():
            log.event("poison.kept", level=logging.ERROR, **report.fields_of(job), detail=log.mask_numbers(detail))
    return True


def _put_back(letter: Letter, keeper: PoisonKeeper) -> None:
    keeper.poison_queue.send_later(letter, RETURN_DELAY)
    why = "the ledger or the configuration is not usable, or a worker has the call"
    log.event("poison.returned", level=logging.WARNING, reason=why)
