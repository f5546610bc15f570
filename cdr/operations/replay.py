"""Use case: bring rejected calls back once the cause is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from cdr.calls.call import Reason
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Letter, Message
from cdr.intake.ports import CallReader, CallSource
from cdr.operations.ports import LedgerRecords, RejectedCall, RejectedRecord
from cdr.operations.sum_up import Bookkeeper, sum_up
from shared import log
from shared.clock import Clock
from shared.errors import NoSuchCalls, PipelineError

UNDER_WAY_FOR = timedelta(minutes=10)
"""After that a replayed call that is still rejected may be replayed again: its message must have got lost."""

LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Replayer:
    """What calls are replayed with. From the ``source`` is read once more what its row made impossible. The ``keeper``
    sees to it that what earlier versions rejected is among the rejected calls; None: somebody else does."""

    records: LedgerRecords
    queue: CallQueue
    clock: Clock
    time_budget: timedelta
    source: CallSource | None = None
    keeper: Bookkeeper | None = None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What a replay did: calls put on the queue, calls of an earlier replay still on their way, and whether all were
    looked at: the time may have run out, or not all that an earlier version rejected be known yet (then ask again)."""

    queued: int
    under_way: int
    complete: bool


def replay(replayer: Replayer, *, reason: str | None = None, call: str | None = None) -> ReplayOutcome:
    """Send rejected calls through the queue and the ledger once more: all, those with a reason, or one by its name.

    Safe to repeat, and safe while the pipeline runs: a call is only ever submitted under a claim.

    :raises NoSuchCalls: nothing was rejected under this name, or for a reason that is none of ours
    :raises StorageUnavailable: what was queued until then is on its way
    """
    is_whole = replayer.keeper is None or sum_up(replayer.keeper)
    outcome = send_again(_chosen(replayer, reason, call), replayer)
    outcome = replace(outcome, complete=outcome.complete and is_whole)
    log.event("replay.finished", **asdict(outcome), reason=reason, call=call)
    return outcome


def send_again(calls: Iterable[RejectedRecord], replayer: Replayer) -> ReplayOutcome:
    """Put these calls on the queue, but for those that are on their way; raises as replay does."""
    records, clock = replayer.records, replayer.clock
    deadline = clock.now() + replayer.time_budget
    queued = under_way = 0
    complete = True
    with ExitStack() as stack:
        rows = _Rows(replayer.source, stack)
        for found in calls:
            rejected, letter = found.call, found.letter
            if clock.now() >= deadline:
                complete = False
                break
            if _is_under_way(rejected, clock.now()):
                under_way += 1
            elif letter is not None:
                replayer.queue.send_all([_as_replay(rows.as_they_are(letter, rejected), rejected)])
                records.mark_replayed(rejected.key, clock.now())
                queued += 1
    return ReplayOutcome(queued, under_way, complete)


class _Rows:
    """The phone system, connected to when it is first asked."""

    def __init__(self, source: CallSource | None, stack: ExitStack) -> None:
        self._source = source
        self._stack = stack
        self._reader: CallReader | None = None

    def as_they_are(self, letter: Letter, rejected: RejectedCall) -> Letter:
        """With the row as it is now, which may have been completed since; as it was if nobody can say."""
        if rejected.reason != Reason.INVALID_ROW or not isinstance(letter, Message) or self._source is None:
            return letter
        try:
            self._reader = self._reader or self._stack.enter_context(self._source.connect())
            now = {record.id: record for record in self._reader.again(letter.records[0])}
        except PipelineError as exc:
            log.event("row.unreadable", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
            return letter
        return letter.only([now.get(letter.records[0].id, letter.records[0])])


def still_rejected(calls: Iterable[RejectedCall], records: LedgerRecords) -> Iterator[RejectedRecord]:
    for call in calls:
        if (found := records.still_rejected(call)) is not None:
            yield found


def _chosen(replayer: Replayer, reason: str | None, call: str | None) -> Iterator[RejectedRecord]:
    """As they are found; if there are none, that is known when all were looked at."""
    records = replayer.records
    noted = records.rejected(reason) if call is None else records.rejected_as(call)
    is_any = False
    for found in still_rejected(noted, records):
        is_any = True
        yield found
    if is_any or (call is None and (reason is None or reason in set(Reason))):
        return
    there = records.counts(replayer.clock.now()).rejected
    if call is not None:
        raise NoSuchCalls(f"no call {call[:LONGEST_NAME]!r} was rejected", there)
    raise NoSuchCalls(f"no call was rejected with the reason {str(reason)[:LONGEST_NAME]!r}", there)


def _is_under_way(rejected: RejectedCall, now: datetime) -> bool:
    sent = rejected.replayed_at
    return sent is not None and sent >= rejected.settled_at and now - sent < UNDER_WAY_FOR


def _as_replay(letter: Letter, rejected: RejectedCall) -> Letter:
    """With a new life; garbage stays what it is."""
    if not isinstance(letter, Message):
        return letter
    return replace(letter, tries=0, first_tried_at=None, replay_of=rejected.key)
