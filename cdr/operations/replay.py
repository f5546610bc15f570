"""Use cases: what was rejected, and bringing it back once its cause is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cdr.calls.call import Travels
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import decode_row, with_travels
from cdr.submission.ports import CallLedger, RejectedCall
from shared import log
from shared.clock import Clock
from shared.errors import InvalidMessage

UNDER_WAY_FOR = timedelta(minutes=10)
"""After that a replayed call that is still rejected may be replayed again: its message must have got lost."""

NUMBERS = ("caller_number", "dest_number")
NEVER_NUMBERS = ("id", "call_id", "started_at", "ended_at")
"""Digits in a row that give nobody away, and look like phone numbers."""


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a replay did: calls put on the queue, calls of an earlier replay still on their way, and whether the time
    ran out before all were looked at (then ask again)."""

    queued: int
    under_way: int
    complete: bool


def replay(
    *,
    ledger: CallLedger,
    queue: CallQueue,
    clock: Clock,
    time_budget: timedelta,
    reason: str | None = None,
    call: str | None = None,
) -> ReplayOutcome:
    """Send rejected calls through the queue and the ledger once more: all, those with a reason, or one by its name.

    Safe to repeat, and safe while the pipeline runs: a call is only ever submitted under a claim.

    :raises StorageUnavailable: what was queued until then is on its way
    """
    deadline = clock.now() + time_budget
    queued = under_way = 0
    complete = True
    for rejected in _chosen(ledger, reason, call):
        if clock.now() >= deadline:
            complete = False
            break
        if _is_under_way(rejected, clock.now()):
            under_way += 1
        elif message := _message_of(rejected, ledger):  # none: it was settled since we were told of it
            queue.send_all([message])
            ledger.mark_replayed(rejected.key, clock.now())
            queued += 1
    log.event("replay.finished", queued=queued, under_way=under_way, complete=complete, reason=reason, call=call)
    return ReplayOutcome(queued, under_way, complete)


def _chosen(ledger: CallLedger, reason: str | None, call: str | None) -> Iterator[RejectedCall]:
    for rejected in ledger.rejected():
        if reason in (None, rejected.reason) and call in (None, rejected.key.name):
            yield rejected


def _is_under_way(rejected: RejectedCall, now: datetime) -> bool:
    sent = rejected.replayed_at
    return sent is not None and sent >= rejected.settled_at and now - sent < UNDER_WAY_FOR


def _message_of(rejected: RejectedCall, ledger: CallLedger) -> str:
    message = ledger.message(rejected.key)
    try:
        return with_travels(message, Travels(replay_of=rejected.key))
    except InvalidMessage:
        return message  # garbage stays what it is


@dataclass(frozen=True, slots=True)
class RejectedPage:
    calls: list[dict[str, Any]]
    next: str | None
    """Where the next page starts; None on the last one."""


def list_rejected(ledger: CallLedger, *, after: str | None, limit: int, reveal: bool) -> RejectedPage:
    """Rejected calls, the newest rejection first; phone numbers masked unless they are to be revealed."""
    ordered = sorted(ledger.rejected(), key=_place, reverse=True)
    left = [rejected for rejected in ordered if after is None or _place(rejected) < after]
    page = left[:limit]
    more = _place(page[-1]) if len(left) > limit else None
    return RejectedPage([_shown(rejected, ledger.message(rejected.key), reveal=reveal) for rejected in page], more)


def _place(rejected: RejectedCall) -> str:
    return f"{rejected.settled_at:%Y-%m-%dT%H:%M:%S.%fZ} {rejected.key.day} {rejected.key.name}"


def _shown(rejected: RejectedCall, message: str, *, reveal: bool) -> dict[str, Any]:
    return {
        "call": rejected.key.name,
        "reason": rejected.reason,
        "detail": rejected.detail if reveal else log.mask_numbers(rejected.detail),
        "rejected_at": rejected.settled_at.isoformat(timespec="seconds"),
        "replayed_at": rejected.replayed_at.isoformat(timespec="seconds") if rejected.replayed_at else None,
        "row": _row_of(message, reveal=reveal),
    }


def _row_of(message: str, *, reveal: bool) -> Any:
    try:
        values = dict(decode_row(message).values)
    except InvalidMessage:
        return message if reveal else log.mask_numbers(message)
    return values if reveal else {name: _masked(name, value) for name, value in values.items()}


def _masked(column: str, value: Any) -> Any:
    if column in NUMBERS:
        return log.mask_number(str(value)) if value else value
    return log.mask_numbers(value) if isinstance(value, str) and column not in NEVER_NUMBERS else value
