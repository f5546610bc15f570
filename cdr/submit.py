"""Use case: submit one queued call, while no other worker can."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from cdr.mapping import UNDATED, call_key, to_call
from cdr.message import decode_row
from cdr.model import Accepted, Call, CallKey, CallRules, NotLogged, Outcome, Row, Settlement, State
from cdr.ports import CallApi, CallLedger, Claim, Settled
from shared import log
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    ClaimHeld,
    InvalidMessage,
    PermanentError,
    SubmissionUnknown,
)


@dataclass(frozen=True, slots=True)
class SubmitPlan:
    """``claim_lease`` is how long a call belongs to one worker; ``budget``, shorter, how long that worker may try."""

    rules: CallRules
    claim_lease: timedelta
    budget: timedelta


def submit_call(message: str, *, ledger: CallLedger, api: CallApi, clock: Clock, plan: SubmitPlan) -> Outcome:
    """Bring one call to the Call Logger, or its reason why not into the ledger.

    :raises TransientError, ApiDenied: the message must come again
    """
    try:
        row = decode_row(message)
    except InvalidMessage as exc:
        return _keep_garbage(message, exc, ledger=ledger, clock=clock)
    key = call_key(row, plan.rules)
    claimed_at = clock.now()
    try:
        claim = ledger.claim(key, row.id, message, claimed_at, plan.claim_lease)
    except ClaimHeld as exc:
        log.event("call.waiting", call=key.name, row_id=row.id, reason=str(exc))
        raise
    if isinstance(claim, Settled):
        return _repeated(row, key, claim, message, ledger=ledger, clock=clock)
    try:
        call = to_call(row, plan.rules)
        if isinstance(call, NotLogged):
            settlement = Settlement(State.SKIPPED, call.reason)
        else:
            accepted = _submit(call, claim, ledger=ledger, api=api, clock=clock, plan=plan)
            settlement = Settlement(
                State.SUBMITTED, "known_before" if accepted.earlier else "created", entry_id=accepted.entry_id
            )
    except PermanentError as exc:
        settlement = Settlement(State.REJECTED, exc.reason, str(exc))
    ledger.settle(claim, settlement, clock.now())
    _report(row, claim, settlement)
    return Outcome(settlement.state.value)


def _submit(call: Call, claim: Claim, *, ledger: CallLedger, api: CallApi, clock: Clock, plan: SubmitPlan) -> Accepted:
    """Give the claim back only when the call is certainly not on its way into the API any more."""
    give_up_at = claim.until - plan.claim_lease + plan.budget
    try:
        return api.submit(call, give_up_at=give_up_at)
    except SubmissionUnknown as exc:
        log.event("call.unsettled", level=logging.WARNING, call=claim.key.name, reason=str(exc), until=claim.until)
        raise
    except (ApiUnavailable, ApiDenied) as exc:
        ledger.give_back(claim, f"{type(exc).__name__}: {exc}", clock.now())
        if isinstance(exc, ApiDenied):
            log.event("api.denied", level=logging.ERROR, reason=str(exc))
        log.event("call.released", level=logging.WARNING, call=claim.key.name, attempts=claim.attempts, reason=str(exc))
        raise


def _repeated(row: Row, key: CallKey, settled: Settled, message: str, *, ledger: CallLedger, clock: Clock) -> Outcome:
    """The call is at the API. If another row of the same call brought it there, this one gets a record of its own."""
    if settled.row_id is not None and settled.row_id != row.id:
        own = CallKey(key.day, f"{key.name} row-{row.id}")
        reason = Settlement(State.SKIPPED, "same_pbx_call_id", f"row {settled.row_id} has the same pbxCallId")
        ledger.keep(own, row.id, message, reason, clock.now())
        log.event("call.skipped", call=key.name, row_id=row.id, reason="same_pbx_call_id")
        return Outcome.SKIPPED
    log.event("call.repeated", call=key.name, row_id=row.id)
    return Outcome.REPEATED


def _keep_garbage(message: str, exc: InvalidMessage, *, ledger: CallLedger, clock: Clock) -> Outcome:
    key = garbage_key(message)
    ledger.keep(key, None, message, Settlement(State.REJECTED, exc.reason, str(exc)), clock.now())
    log.event("call.rejected", level=logging.WARNING, call=key.name, reason=exc.reason, detail=str(exc))
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
        detail=log.mask_numbers(settlement.detail) or None,
        entry_id=settlement.entry_id,
    )
