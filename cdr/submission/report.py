"""What is written to the log of a call's way to the Call Logger."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdr.calls.call import Job, Reason, Settlement, State
from cdr.calls.message import Unreadable
from cdr.submission.ports import Claim, Held, Visit
from shared import log
from shared.errors import ApiDenied, PipelineError, SubmissionUnknown, TakenElsewhere, TooManyRejections

Fields = dict[str, str | int | None]
"""Fields of a log line."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a line says of the way so far: when it is written, and what the API took of it; nothing where it was not
    asked, or not even tried."""

    now: datetime
    visit: Visit | None = None


def fields_of(job: Job) -> Fields:
    """What every line of a call has, so that it is found by whatever is known of it."""
    about = job.outline
    return {
        "call": job.key.name,
        "row_id": job.record.written_id,
        "extension": _masked(about.extension or ""),
        "direction": about.direction,
        "group": _masked(about.group or ""),
        "ended_at": about.ended_at.isoformat(timespec="seconds") if about.ended_at else None,
    }


def _effort_of(job: Job, effort: Effort) -> Fields:
    """``waited_s`` is since the call's end; below zero it tells of a wrong time zone, or of clocks that differ."""
    ended_at, visit = job.outline.ended_at, effort.visit if effort.visit and effort.visit.tries else None
    return {
        "waited_s": round((effort.now - ended_at).total_seconds()) if ended_at else None,
        "tries": visit.tries if visit else None,
        "api_ms": visit.took // timedelta(milliseconds=1) if visit else None,
    }


def settled(job: Job, claim: Claim, settlement: Settlement, effort: Effort, *, is_told: bool) -> None:
    """``is_told`` False: somebody has just been told of the like, and this line is for who searches the log."""
    log.event(
        f"call.{settlement.state}",
        level=_level(settlement) if is_told else logging.INFO,
        **fields_of(job),
        **_effort_of(job, effort),
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
        log.event("call.repeated", level=logging.INFO, **fields_of(job))
    else:
        log.event("call.skipped", level=logging.INFO, **fields_of(job), reason=Reason.SAME_PBX_CALL_ID)


def merged_late(job: Job, part: Job) -> None:
    log.event("call.merged_late", level=logging.WARNING, **fields_of(job), part=part.key.name)


def sent_apart(job: Job, now: datetime, tries: int, delay: timedelta) -> None:
    log.event(
        "call.put_back",
        level=logging.WARNING,
        **fields_of(job),
        **_effort_of(job, Effort(now)),
        reason="delivered several times without an outcome; tried again apart from the others",
        times=tries,
        delay_s=round(delay.total_seconds()),
    )


def put_back(job: Job, hindrance: PipelineError | Held, effort: Effort, tries: int, delay: timedelta) -> None:
    why = hindrance.why if isinstance(hindrance, Held) else str(hindrance)
    if isinstance(hindrance, ApiDenied | TakenElsewhere):
        log.event("api.denied", level=logging.ERROR, reason=_masked(why))
    if isinstance(hindrance, TooManyRejections):
        log.event("rejections.stopped", level=logging.ERROR, reason=_masked(why))
    log.event(
        "call.unsettled" if isinstance(hindrance, SubmissionUnknown) else "call.put_back",
        level=logging.INFO if isinstance(hindrance, Held) else logging.WARNING,
        **fields_of(job),
        **_effort_of(job, effort),
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
