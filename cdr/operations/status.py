"""Use cases: is everything usable (health), and how far along are we (status)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import Any

from cdr.calls.call_queue import CallQueue
from cdr.calls.message import decode_row, encode_row
from cdr.calls.rules import end_time
from cdr.intake.ports import CdrReader, CdrSource, CheckpointStore, PollReport
from cdr.submission.ports import CallLedger
from shared.clock import Clock
from shared.errors import ConfigError, InvalidRow, PipelineError

HEALTH_IS_FRESH_FOR = timedelta(seconds=10)
LONGEST_LOOK_S = 8.0
"""A part that needs longer is as good as unavailable: who asks has a time-out too, and holds a worker meanwhile."""

Check = Callable[[], None]
"""Returns if its part is usable, else raises a PipelineError."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """``state`` is ok, misconfigured or unavailable; no more, because anybody may ask."""

    state: str
    duration_ms: int


@dataclass
class HealthCheck:
    """Checks every part at once, and remembers the answer for some seconds so that nobody can hammer the parts."""

    checks: Mapping[str, Check]
    clock: Clock
    _lock: Lock = field(default_factory=Lock, repr=False)
    _checked_at: datetime | None = None
    _parts: Mapping[str, PartHealth] = field(default_factory=dict)

    def parts(self) -> Mapping[str, PartHealth]:
        with self._lock:
            now = self.clock.now()
            if self._checked_at is None or now - self._checked_at >= HEALTH_IS_FRESH_FOR:
                self._parts = self._look(now)
                self._checked_at = self.clock.now()
            return self._parts

    def _look(self, started: datetime) -> Mapping[str, PartHealth]:
        """Every part at once, each on a thread of its own: one that hangs is left behind, and holds up nothing."""
        found: dict[str, PartHealth] = {}

        def look(name: str, check: Check) -> None:
            found[name] = self._check(check)

        threads = [Thread(target=look, args=part, daemon=True) for part in self.checks.items()]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + LONGEST_LOOK_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = PartHealth("unavailable", self._milliseconds_since(started))
        return {name: found.get(name, late) for name in self.checks}

    def _check(self, check: Check) -> PartHealth:
        started = self.clock.now()
        try:
            check()
            state = "ok"
        except ConfigError:
            state = "misconfigured"
        except PipelineError:
            state = "unavailable"
        return PartHealth(state, self._milliseconds_since(started))

    def _milliseconds_since(self, started: datetime) -> int:
        return (self.clock.now() - started) // timedelta(milliseconds=1)


def progress(
    *,
    source: CdrSource,
    checkpoints: CheckpointStore,
    queue: CallQueue,
    poison_queue: CallQueue,
    ledger: CallLedger,
    clock: Clock,
    timezone: str,
) -> dict[str, Any]:
    """How far along the pipeline is. A part that cannot be read is reported as an error in its place."""
    checkpoint, report, unreadable = None, None, None
    answer: dict[str, Any] = {}
    try:
        checkpoint, report = checkpoints.read()
        answer["last_processed_cdr_id"] = checkpoint.position if checkpoint else None
        answer["open_rows"] = len(checkpoint.open_rows) if checkpoint else 0
        answer["missing_ids"] = sum(gap.last - gap.first + 1 for gap in checkpoint.gaps) if checkpoint else 0
    except PipelineError as exc:
        unreadable = answer["last_processed_cdr_id"] = _error(exc)
    answer["last_poll"] = unreadable or (_shown(report) if report else None)
    position = checkpoint.position if checkpoint else None
    answer["lag"] = unreadable or _or_error(lambda: _lag(source, position, clock, timezone))
    answer["queue"] = _or_error(lambda: {"waiting": queue.depth(), "poison": poison_queue.depth()})
    answer["ledger"] = _or_error(lambda: _states(ledger))
    return answer


def _shown(report: PollReport) -> dict[str, Any]:
    return {
        "at": report.at.isoformat(timespec="seconds"),
        "result": report.result,
        "queued": report.queued,
        "duration_ms": report.duration_ms,
        "error": report.error,
    }


def _lag(source: CdrSource, position: int | None, clock: Clock, timezone: str) -> dict[str, Any]:
    """How far the checkpoint is behind: in ids, and in seconds since the first row that waits had ended."""
    with source.connect() as reader:
        newest = reader.newest_id()
        waiting_since = _first_waiting(reader, position, timezone)
    behind = 0 if newest is None else newest - position if position is not None else newest
    seconds = (clock.now() - waiting_since).total_seconds() if waiting_since else 0
    return {"newest_cdr_id": newest, "ids_behind": max(0, behind), "seconds_behind": max(0, int(seconds))}


def _first_waiting(reader: CdrReader, position: int | None, timezone: str) -> datetime | None:
    for raw in reader.rows_after(position, 1):
        try:
            return end_time(decode_row(encode_row(raw)), timezone)
        except InvalidRow:
            return None
    return None


def _states(ledger: CallLedger) -> dict[str, Any]:
    counted = ledger.count_states()
    return {**{state.value: number for state, number in counted.counts.items()}, "complete": counted.complete}


def _or_error(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except PipelineError as exc:
        return _error(exc)


def _error(exc: PipelineError) -> dict[str, Any]:
    return {"error": f"{type(exc).__name__}: {exc}"}
