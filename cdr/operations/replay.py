"""Use case: bring rejected calls back once the cause is gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Letter, Message
from cdr.operations.ports import LedgerRecords, RejectedCall
from shared import log
from shared.clock import Clock

UNDER_WAY_FOR = timedelta(minutes=10)
"""After that a replayed call that is still rejected may be replayed again: its message must have got lost."""


@dataclass(frozen=True, slots=True)
class Replayer:
    """What calls are replayed with."""

    records: LedgerRecords
    queue: CallQueue
    clock: Clock
    time_budget: timedelta


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a replay did: calls put on the queue, calls of an earlier replay still on their way, and whether the time
    ran out before all were looked at (then ask again)."""

    queued: int
    under_way: int
    complete: bool


def replay(replayer: Replayer, *, reason: str | None = None, call: str | None = None) -> ReplayOutcome:
    """Send rejected calls through the queue and the ledger once more: all, those with a reason, or one by its name.

    Safe to repeat, and safe while the pipeline runs: a call is only ever submitted under a claim.

    :raises StorageUnavailable: what was queued until then is on its way
    """
    outcome = send_again(_chosen(replayer.records, reason, call), replayer)
    log.event("replay.finished", **asdict(outcome), reason=reason, call=call)
    return outcome


def send_again(calls: Iterable[RejectedCall], replayer: Replayer) -> ReplayOutcome:
    """Put these calls on the queue, but for those that are on their way; raises as replay does."""
    records, clock = replayer.records, replayer.clock
    deadline = clock.now() + replayer.time_budget
    queued = under_way = 0
    complete = True
    for rejected in calls:
        if clock.now() >= deadline:
            complete = False
            break
        if _is_under_way(rejected, clock.now()):
            under_way += 1
        elif letter := records.letter(rejected.key):  # none: it was settled since we were told of it
            replayer.queue.send_all([_as_replay(letter, rejected)])
            records.mark_replayed(rejected.key, clock.now())
            queued += 1
    return ReplayOutcome(queued, under_way, complete)


def _chosen(records: LedgerRecords, reason: str | None, call: str | None) -> Iterator[RejectedCall]:
    for rejected in records.rejected():
        if reason in (None, rejected.reason) and call in (None, rejected.key.name):
            yield rejected


def _is_under_way(rejected: RejectedCall, now: datetime) -> bool:
    sent = rejected.replayed_at
    return sent is not None and sent >= rejected.settled_at and now - sent < UNDER_WAY_FOR


def _as_replay(letter: Letter, rejected: RejectedCall) -> Letter:
    """With a new life; garbage stays what it is."""
    if not isinstance(letter, Message):
        return letter
    return replace(letter, tries=0, first_tried_at=None, replay_of=rejected.key)
