"""Use case: read what has finished since the last poll, queue each call, then move the position."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

from cdr.calls.call_queue import CallQueue
from cdr.calls.packing import Packing
from cdr.intake.poll_history import LONGEST_LAST_ERROR, PollReport
from cdr.intake.ports import (
    Batch,
    CallReader,
    CallSource,
    Lag,
    Memory,
    Position,
    PositionLease,
    PositionStore,
    Progress,
    SourceWatch,
    StartFrom,
    StoredPosition,
)
from shared import log
from shared.clock import Clock
from shared.errors import LeaseHeld, LeaseLost, PipelineError, PositionOfAnotherSource, StorageUnavailable, named


@dataclass(frozen=True, slots=True)
class Poller:
    """What a poll works with. ``start_from`` only matters while there is no position.

    ``seen_queue`` and ``poison_queue`` are looked at for the log's sake; they should not be waited for.
    """

    source: CallSource
    queue: CallQueue
    positions: PositionStore
    clock: Clock
    time_budget: timedelta
    lease: timedelta
    start_from: StartFrom
    watch: SourceWatch
    packing: Packing
    seen_queue: CallQueue
    poison_queue: CallQueue


@dataclass(frozen=True, slots=True)
class PollOutcome:
    """What a poll did. ``caught_up`` is False where the time budget ended it; until ``held_until`` another has the
    lease."""

    result: Literal["finished", "held", "overtaken"]
    rows_read: int = 0
    queued: int = 0
    open_rows: int = 0
    missing_ids: int = 0
    position: int | str | None = None
    caught_up: bool = True
    held_until: datetime | None = None


@dataclass
class _Poll:
    """A poll under way: the lease it has, and what it did so far."""

    poller: Poller
    lease: PositionLease
    started: datetime
    rows_read: int = 0
    queued: int = 0
    memory: Memory | None = None
    lag: Lag | None = None
    """Where not everything was read, and the source says."""

    def run(self, reader: CallReader) -> bool:
        """:returns: whether everything there is was read"""
        position = self._position()
        if position is None:
            position = self._begin(reader)
        caught_up = self._read(reader, position)
        if not caught_up and self.lease.stored is not None:
            with suppress(PipelineError):
                self.lag = reader.lag(self.lease.stored.text)
        self.memory = self.poller.watch.look(reader, position, self.lease.memory, self.queued)
        return caught_up

    def _read(self, reader: CallReader, position: Position) -> bool:
        for batch in reader.batches(position):
            self._take(batch)
            if batch.is_news and self.poller.clock.now() - self.started >= self.poller.time_budget:
                return False
        return True

    def _position(self) -> Position | None:
        stored, name = self.lease.stored, self.poller.source.name
        if stored is not None and stored.source != name:
            raise PositionOfAnotherSource(
                f"3cx.source is {name}, but the stored position is of {stored.source}: set it back, or start over at a "
                "point of your choice"
            )
        return stored.text if stored is not None else None

    def _begin(self, reader: CallReader) -> Position:
        position = reader.begin(self.poller.start_from)
        self._save(StoredPosition(self.poller.source.name, position, began=position))
        return position

    def _take(self, batch: Batch) -> None:
        """First the queue, then the position: the other way round, a crash in between would lose the calls."""
        self.poller.positions.check_size(batch.position)
        self.poller.queue.send_all(self.poller.packing.pack(batch.records))
        self.rows_read += batch.read
        self.queued += len(batch.records)
        began = self.lease.stored.began if self.lease.stored else None
        self._save(StoredPosition(self.poller.source.name, batch.position, began))

    def _save(self, stored: StoredPosition) -> None:
        self.lease = self.poller.positions.save(self.lease, stored, self.poller.clock.now(), self.poller.lease)

    def note(self, failure: Exception) -> None:
        """What a failure says of a source that was read before."""
        if self.lease.stored is not None and isinstance(failure, PipelineError):
            self.memory = self.poller.watch.failed(self.lease.memory, failure)

    def release(self, result: str, error: str | None = None) -> int:
        """:returns: how long the poll took, in milliseconds"""
        now = self.poller.clock.now()
        taken = (now - self.started) // timedelta(milliseconds=1)
        said = error[:LONGEST_LAST_ERROR] if error else None  # a defect may say more than the record has room for
        self.poller.positions.release(self.lease, PollReport(now, result, self.queued, taken, said), self.memory)
        return taken


def poll(poller: Poller) -> PollOutcome:
    """Queue every call that finished since the last poll, until caught up or the time budget is spent.

    Whatever goes wrong leaves the position behind the last batch that is wholly on the queue, and is one log line.

    :raises SourceUnavailable, SourceMisconfigured, PositionUnreadable: from the phone system
    :raises StorageUnavailable, PositionFull: from queue and table
    """
    try:
        return _poll(poller)
    except Exception as exc:
        log.event("poll.failed", level=logging.ERROR, error=type(exc).__name__, reason=log.mask_numbers(str(exc)))
        raise


def _poll(poller: Poller) -> PollOutcome:
    started = poller.clock.now()
    try:
        lease = poller.positions.lease(uuid4().hex, started, poller.lease)
    except LeaseHeld as exc:
        log.event("poll.held", reason=str(exc))
        return PollOutcome("held", held_until=exc.until)
    run = _Poll(poller, lease, started)
    try:
        with poller.source.connect() as reader:
            caught_up = run.run(reader)
    except LeaseLost:
        log.event("poll.overtaken", level=logging.WARNING, queued=run.queued)
        return PollOutcome("overtaken", run.rows_read, run.queued)
    except Exception as exc:
        # Also what should not be: a defect must not keep the lease, or hide behind a storage that failed as well.
        run.note(exc)
        with suppress(StorageUnavailable):
            run.release("failed", named(exc) if isinstance(exc, PipelineError) else log.mask_numbers(named(exc)))
        raise
    duration_ms = run.release("finished")
    outcome = _outcome(run, poller.source, caught_up=caught_up)
    lag = _lag(run, outcome)
    log.event(
        "poll.finished",
        duration_ms=duration_ms,
        lag_s=_seconds_since(lag.waiting_since, poller.clock.now()) if lag else None,
        newest=lag.newest if lag else None,
        queue_depth=_depth(poller.seen_queue),
        poison_depth=_depth(poller.poison_queue),
        **asdict(outcome),
    )
    return outcome


def _lag(run: _Poll, outcome: PollOutcome) -> Lag | None:
    """None where it is not known. Without a question where everything was read."""
    return Lag(outcome.position, 0, None) if outcome.caught_up else run.lag


def _seconds_since(moment: datetime | None, now: datetime) -> int:
    return max(0, round((now - moment).total_seconds())) if moment else 0


def _depth(queue: CallQueue) -> int | None:
    """None where it is not told: that is no failure of the poll."""
    with suppress(StorageUnavailable):
        return queue.depth()
    return None


def _outcome(run: _Poll, source: CallSource, *, caught_up: bool) -> PollOutcome:
    stored = run.lease.stored
    progress = source.progress(stored.text) if stored else Progress()
    return PollOutcome(
        "finished",
        rows_read=run.rows_read,
        queued=run.queued,
        open_rows=progress.open_calls,
        missing_ids=progress.missing_ids,
        position=progress.position,
        caught_up=caught_up,
    )
