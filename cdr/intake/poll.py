"""Use case: read new call detail records, queue each ended call, then move the checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from cdr.calls.call import RawRow
from cdr.calls.call_queue import CallQueue
from cdr.calls.message import encode_row
from cdr.intake.id_order import Checkpoint, Seen, advance, forget, look_again, overdue, to_look_at_again
from cdr.intake.ports import CdrReader, CdrSource, CheckpointLease, CheckpointStore, PollReport
from shared import log
from shared.clock import Clock
from shared.errors import LeaseHeld, LeaseLost, PipelineError

PAGE_SIZE = 500


@dataclass(frozen=True, slots=True)
class PollPlan:
    """The settings of a poll. ``start_from`` (a moment is aware) only matters while there is no checkpoint."""

    time_budget: timedelta
    lease: timedelta
    start_from: Literal["beginning", "now"] | int | datetime = "beginning"
    gap_wait: timedelta = timedelta(minutes=15)
    open_row_wait: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """What a poll did. ``caught_up`` is False where the time budget ended it."""

    result: Literal["finished", "held", "overtaken"]
    rows_read: int = 0
    queued: int = 0
    open_rows: int = 0
    missing_ids: int = 0
    position: int | None = None
    caught_up: bool = True


@dataclass
class _Poll:
    """A poll under way: the lease it has, and what it did so far."""

    queue: CallQueue
    checkpoints: CheckpointStore
    clock: Clock
    plan: PollPlan
    lease: CheckpointLease
    deadline: datetime
    rows_read: int = 0
    queued: int = 0
    checkpoint: Checkpoint = field(init=False)
    reader: CdrReader = field(init=False)

    def run(self) -> bool:
        """:returns: whether everything there is was read"""
        if self.lease.checkpoint is None:
            self._save(_first_checkpoint(self.reader, self.plan.start_from))
        else:
            self.checkpoint = self.lease.checkpoint
        looked_at_all = self._look_again()
        return self._read_on() and looked_at_all

    def _read_on(self) -> bool:
        """At least one page, however long the look at what is behind took: neither may starve the other."""
        while True:
            page = self.reader.rows_after(self.checkpoint.position, PAGE_SIZE)
            if page:
                seen = [Seen(row["id"], _has_ended(row)) for row in page]
                self._queue_and_save(page, seen, advance(self.checkpoint, seen, self.clock.now()))
            if len(page) < PAGE_SIZE:
                return True
            if self.clock.now() >= self.deadline:
                return False

    def _look_again(self) -> bool:
        """Ask again for the rows that had not ended and for the ids that were missing.

        What is overdue is judged once, before the look: a row that became so during it would be forgotten unseen.
        """
        began = self.clock.now()
        given_up = overdue(self.checkpoint, began, self.plan.open_row_wait)
        for page in self._pages_behind():
            seen = [Seen(row["id"], _has_ended(row) or row["id"] in given_up) for row in page]
            looked = look_again(self.checkpoint, seen, self.clock.now())
            if looked != self.checkpoint:
                self._queue_and_save(page, seen, looked)
            if self.clock.now() >= self.deadline:
                return False
        self._forget(began)
        return True

    def _pages_behind(self) -> Iterator[list[RawRow]]:
        ranges = to_look_at_again(self.checkpoint)
        after: int | None = None
        while ranges:
            page = self.reader.rows_in(ranges, after, PAGE_SIZE)
            yield page
            if len(page) < PAGE_SIZE:
                return
            after = page[-1]["id"]

    def _forget(self, looked_at: datetime) -> None:
        kept = forget(self.checkpoint, looked_at, self.plan.gap_wait, self.plan.open_row_wait)
        for row_id in sorted(self.checkpoint.open_rows.keys() - kept.open_rows.keys()):
            log.event("row.vanished", level=logging.WARNING, row_id=row_id)
        if kept != self.checkpoint:
            self._save(kept)

    def _queue_and_save(self, page: Sequence[RawRow], seen: Sequence[Seen], checkpoint: Checkpoint) -> None:
        """In this order: the other way round, a crash in between would lose the rows."""
        self.checkpoints.check_size(checkpoint)
        messages = [encode_row(row) for row, fact in zip(page, seen, strict=True) if fact.ended]
        self.queue.send_all(messages)
        self.rows_read += len(page)
        self.queued += len(messages)
        self._save(checkpoint)

    def _save(self, checkpoint: Checkpoint) -> None:
        self.lease = self.checkpoints.save(self.lease, checkpoint, self.clock.now(), self.plan.lease)
        self.checkpoint = checkpoint


def poll(
    *, source: CdrSource, queue: CallQueue, checkpoints: CheckpointStore, clock: Clock, plan: PollPlan
) -> PollOutcome:
    """Queue every call that ended since the last poll, until caught up or the time budget is spent.

    Whatever goes wrong leaves the checkpoint behind the last page that is wholly on the queue.

    :raises SourceUnavailable, SourceMisconfigured: from the database
    :raises StorageUnavailable, CheckpointFull: from queue and table
    """
    started = clock.now()
    try:
        lease = checkpoints.lease(uuid4().hex, started, plan.lease)
    except LeaseHeld as exc:
        log.event("poll.held", reason=str(exc))
        return PollOutcome("held")
    run = _Poll(queue, checkpoints, clock, plan, lease, deadline=started + plan.time_budget)
    try:
        with source.connect() as run.reader:
            caught_up = run.run()
    except LeaseLost:
        log.event("poll.overtaken", level=logging.WARNING, queued=run.queued)
        return PollOutcome("overtaken", run.rows_read, run.queued)
    except PipelineError as exc:
        _release(run, "failed", started, error=f"{type(exc).__name__}: {exc}")
        raise
    _release(run, "finished", started)
    return _finished(run, started, caught_up=caught_up)


def _finished(run: _Poll, started: datetime, *, caught_up: bool) -> PollOutcome:
    outcome = PollOutcome(
        "finished",
        rows_read=run.rows_read,
        queued=run.queued,
        open_rows=len(run.checkpoint.open_rows),
        missing_ids=sum(gap.last - gap.first + 1 for gap in run.checkpoint.gaps),
        position=run.checkpoint.position,
        caught_up=caught_up,
    )
    log.event("poll.finished", duration_ms=_milliseconds(run.clock.now() - started), **asdict(outcome))
    return outcome


def _release(run: _Poll, result: str, started: datetime, error: str | None = None) -> None:
    now = run.clock.now()
    run.checkpoints.release(run.lease, PollReport(now, result, run.queued, _milliseconds(now - started), error))


def _first_checkpoint(reader: CdrReader, start: Literal["beginning", "now"] | int | datetime) -> Checkpoint:
    if start == "beginning":
        return Checkpoint()
    if isinstance(start, int):
        return Checkpoint(start)
    newest = reader.newest_id()
    if isinstance(start, datetime):
        first = reader.first_id_since(start)
        return Checkpoint(first - 1 if first is not None else newest)
    return Checkpoint(newest if newest is not None else 0)


def _has_ended(row: RawRow) -> bool:
    """Total, so that a strange row cannot hold up the others: whether its end makes sense is judged by the worker."""
    return row.get("ended_at") is not None


def _milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
