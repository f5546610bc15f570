"""What is written to the log of a call's way to the Call Logger."""

from __future__ import annotations

import logging
from datetime import timedelta

from cdr.calls.call import Job, Reason, Settlement, State
from cdr.calls.message import Unreadable
from cdr.submission.ports import Claim, Held
from shared import log
from shared.errors import ApiDenied, PipelineError, SubmissionUnknown, TooManyRejections


def named(error: PipelineError) -> str:
    return f"{type(error).__name__}: {error}"


def settled(job: Job, claim: Claim, settlement: Settlement, *, is_told: bool) -> None:
    """``is_told`` False: somebody has just been told of the like, and this line is for who searches the log."""
    log.event(
        f"call.{settlement.state}",
        level=_level(settlement) if is_told else logging.INFO,
        call=claim.key.name,
        row_id=job.record.written_id,
        attempts=claim.attempts,
        reason=settlement.reason,
        detail=_masked(settlement.detail),
        entry_id=settlement.entry_id,
    )


def is_warning(settlement: Settlement) -> bool:
    return _level(settlement) == logging.WARNING


def _level(settlement: Settlement) -> int:
    if settlement.reason is Reason.GAVE_UP:
        return logging.ERROR
    return logging.WARNING if settlement.state is State.REJECTED else logging.INFO


def repeated(job: Job, *, is_own: bool) -> None:
    if is_own:
        log.event("call.repeated", call=job.key.name, row_id=job.record.written_id)
    else:
        log.event("call.skipped", call=job.key.name, row_id=job.record.written_id, reason=Reason.SAME_PBX_CALL_ID)


def merged_late(job: Job, part: Job) -> None:
    row_id = job.record.written_id
    log.event("call.merged_late", level=logging.WARNING, call=job.key.name, row_id=row_id, part=part.key.name)


def sent_apart(job: Job, tries: int, delay: timedelta) -> None:
    log.event(
        "call.put_back",
        level=logging.WARNING,
        call=job.key.name,
        row_id=job.record.written_id,
        reason="delivered several times without an outcome; tried again apart from the others",
        times=tries,
        delay_s=round(delay.total_seconds()),
    )


def put_back(job: Job, hindrance: PipelineError | Held, tries: int, delay: timedelta) -> None:
    why = hindrance.why if isinstance(hindrance, Held) else str(hindrance)
    if isinstance(hindrance, ApiDenied):
        log.event("api.denied", level=logging.ERROR, reason=_masked(why))
    if isinstance(hindrance, TooManyRejections):
        log.event("rejections.stopped", level=logging.ERROR, reason=_masked(why))
    log.event(
        "call.unsettled" if isinstance(hindrance, SubmissionUnknown) else "call.put_back",
        level=logging.INFO if isinstance(hindrance, Held) else logging.WARNING,
        call=job.key.name,
        row_id=job.record.written_id,
        error=type(hindrance).__name__,
        reason=_masked(why),
        times=tries,
        delay_s=round(delay.total_seconds()),
    )


def unreadable_kept(letter: Unreadable) -> None:
    reason, detail = Reason.INVALID_MESSAGE, _masked(letter.problem)
    log.event("call.rejected", level=logging.WARNING, call=letter.key.name, reason=reason, detail=detail)


def unreadable_put_back(letter: Unreadable, why: str) -> None:
    log.event("call.put_back", level=logging.ERROR, call=letter.key.name, reason=_masked(why))


def _masked(text: str) -> str | None:
    return log.mask_numbers(text) or None
