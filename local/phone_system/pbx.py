"""A phone system simulator: it writes the CallLog rows of a 3CX into an SQLite file while calls begin and end."""

import heapq
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

from local.phone_system.script import Leg, ScriptedCall, scripted_calls
from local.phone_system.writer import Writer, utc_now

CALLS_PER_MINUTE = 30.0
OPENING_GAP_S = 0.4

CREATE_CALL_LOG = """
CREATE TABLE IF NOT EXISTS CallLog (
    Id INTEGER PRIMARY KEY AUTOINCREMENT,
    CallId TEXT NOT NULL,
    StartTime TEXT NOT NULL,
    EndTime TEXT,
    Duration INTEGER NOT NULL,
    CallerNumber TEXT NOT NULL,
    DestNumber TEXT NOT NULL,
    Extension TEXT NOT NULL,
    CallType INTEGER NOT NULL,
    Answered INTEGER NOT NULL,
    HangupCause TEXT
)
"""
BEGIN_CALL = """
INSERT INTO CallLog (CallId, StartTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered)
VALUES (?, ?, 0, ?, ?, ?, ?, 0)
"""
END_CALL = "UPDATE CallLog SET EndTime = ?, Duration = ?, Answered = ?, HangupCause = ? WHERE Id = ?"


@dataclass(frozen=True, slots=True)
class RunningLeg:
    """A leg whose row has no end yet."""

    row_id: int
    call: ScriptedCall
    position: int
    started_at: datetime

    @property
    def leg(self) -> Leg:
        return self.call.legs[self.position]

    @property
    def is_last(self) -> bool:
        return self.position == len(self.call.legs) - 1


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A row that was just written: `at` is its StartTime or EndTime, in UTC."""

    change: Literal["began", "ended"]
    at: datetime
    row_id: int
    call: ScriptedCall
    leg: Leg
    duration_s: int = 0


def ignore(_: CallEvent) -> None:
    """For a phone system that nobody watches."""


class Pbx(Writer):
    """Writes calls into `file`, which gets a CallLog table if it has none.

    Times are stored as naive UTC text with whole seconds. `pace` stretches the seconds of scripted calls
    (0.01: a hundred times as fast).
    """

    def __init__(
        self,
        file: Path | str,
        *,
        rng: random.Random,
        now: Callable[[], datetime] = utc_now,
        pace: float = 1.0,
        on_event: Callable[[CallEvent], None] = ignore,
    ) -> None:
        super().__init__(file, CREATE_CALL_LOG, rng=rng, pace=pace, opening_gap_s=OPENING_GAP_S)
        self._calls = scripted_calls(rng)
        self._now = now
        self._on_event = on_event
        self._running: dict[int, RunningLeg] = {}

    def begin(self, call: ScriptedCall) -> RunningLeg:
        """Insert the row of the call's first leg."""
        return self._begin_leg(call, position=0)

    def end(self, running: RunningLeg) -> RunningLeg | None:
        """Complete the leg's row. Where the call goes on elsewhere, its next leg begins and is returned."""
        self._end_leg(running, running.leg.hangup_cause)
        return None if running.is_last else self._begin_leg(running.call, running.position + 1)

    def hang_up_all(self) -> None:
        """End every call that is still running; none is passed on any more."""
        for running in list(self._running.values()):
            self._end_leg(running, running.call.legs[-1].hangup_cause)

    def run(self, stop: threading.Event, *, calls_per_minute: float = CALLS_PER_MINUTE) -> None:
        """Let calls come and go until `stop` is set, then hang up on those still running."""
        ends: list[tuple[float, int]] = []
        begun = 0
        next_begin = time.monotonic()
        try:
            while not stop.wait(seconds_until(min([next_begin, *(due for due, _ in ends[:1])]))):
                while ends and ends[0][0] <= time.monotonic():
                    following = self.end(self._running[heapq.heappop(ends)[1]])
                    if following:
                        heapq.heappush(ends, self._due(following))
                if next_begin <= time.monotonic():
                    heapq.heappush(ends, self._due(self.begin(next(self._calls))))
                    begun += 1
                    next_begin = time.monotonic() + self._gap_s(begun, calls_per_minute)
        finally:
            self.hang_up_all()

    def _begin_leg(self, call: ScriptedCall, position: int) -> RunningLeg:
        leg, started_at = call.legs[position], self._now()
        values = (call.call_id, text_of(started_at), leg.caller_number, leg.dest_number, leg.extension, leg.call_type)
        row_id = cast("int", self._database.execute(BEGIN_CALL, values).lastrowid)
        self._running[row_id] = running = RunningLeg(row_id, call, position, started_at)
        self._on_event(CallEvent("began", started_at, row_id, call, leg))
        return running

    def _end_leg(self, running: RunningLeg, hangup_cause: str) -> None:
        ended_at, answered = self._now(), running.leg.answered
        duration_s = whole_seconds_between(running.started_at, ended_at) if answered else 0
        self._database.execute(END_CALL, (text_of(ended_at), duration_s, answered, hangup_cause, running.row_id))
        del self._running[running.row_id]
        self._on_event(CallEvent("ended", ended_at, running.row_id, running.call, running.leg, duration_s))

    def _due(self, running: RunningLeg) -> tuple[float, int]:
        return time.monotonic() + running.leg.seconds * self._pace, running.row_id


def seconds_until(moment: float) -> float:
    return max(0.0, moment - time.monotonic())


def text_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def whole_seconds_between(started_at: datetime, ended_at: datetime) -> int:
    """Between the times as they are stored, so that a row's start, end and duration agree."""
    return int((ended_at.replace(microsecond=0) - started_at.replace(microsecond=0)).total_seconds())
