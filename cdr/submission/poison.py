"""Use case: record in the ledger what the host gave up on."""

from __future__ import annotations

import logging
from datetime import timedelta

from cdr.calls.call import CallKey, CallRules, Settlement, State
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import decode_row
from cdr.calls.rules import call_key
from cdr.submission.ports import CallLedger
from cdr.submission.submit import garbage_key
from shared import log
from shared.clock import Clock
from shared.errors import InvalidMessage, StorageUnavailable

RETURN_DELAY = timedelta(minutes=5)
LONGEST_WAIT_S = 30.0


def keep_poisoned(
    message: str, *, ledger: CallLedger, poison_queue: CallQueue, clock: Clock, rules: CallRules | None
) -> None:
    """Record the message as rejected, unless the API has its call.

    The host has no poison queue for a poison queue: a message whose function failed would come back until its time to
    live ends, and be forgotten. So nothing is raised. Without the ledger, or without usable ``rules``, the message goes
    back on the poison queue, never to expire; without the queue either, this waits until one of the two is back.
    """
    wait_s = 1.0
    while not (_keep(message, ledger, clock, rules) or _put_back(message, poison_queue)):
        clock.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _keep(message: str, ledger: CallLedger, clock: Clock, rules: CallRules | None) -> bool:
    if rules is None:
        return False
    key, row_id = _place(message, rules)
    try:
        detail = f"given up after too many deliveries; last: {ledger.last_error(key) or 'no error recorded'}"
        kept = ledger.keep(key, row_id, message, Settlement(State.REJECTED, "gave_up", detail), clock.now())
    except StorageUnavailable as exc:
        log.event("storage.failed", level=logging.ERROR, reason=str(exc))
        return False
    if kept:
        log.event("poison.kept", level=logging.ERROR, call=key.name, row_id=row_id, detail=log.mask_numbers(detail))
    else:
        log.event("call.repeated", call=key.name, row_id=row_id)
    return True


def _place(message: str, rules: CallRules) -> tuple[CallKey, int | None]:
    try:
        row = decode_row(message)
    except InvalidMessage:
        return garbage_key(message), None
    return call_key(row, rules), row.id


def _put_back(message: str, poison_queue: CallQueue) -> bool:
    try:
        poison_queue.send_later(message, RETURN_DELAY)
    except StorageUnavailable as exc:
        log.event("storage.failed", level=logging.ERROR, reason=str(exc))
        return False
    log.event("poison.returned", level=logging.WARNING, reason="the ledger or the configuration is not usable")
    return True
