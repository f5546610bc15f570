"""Timer triggers: six-field NCRONTAB schedules, in UTC as in Azure.

Runs of one function never overlap. Ticks missed during a run are dropped, but for one late run at once. Nothing is kept
between two starts of the host, so no run is ever past due: as in Azure with schedules of less than a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

_FIELDS = 6  # second, minute, hour, day, month, day of week
# A sleeping laptop stops the clock that threads wait by; a look at the wall clock now and then notices.
_LONGEST_WAIT_SECONDS = 30


class Schedule:
    """Raises ValueError for what is no six-field NCRONTAB expression."""

    def __init__(self, expression: str) -> None:
        is_valid = croniter.is_valid(expression, second_at_beginning=True)
        if len(expression.split()) != _FIELDS or not is_valid:
            raise ValueError(f"its schedule {expression!r} is no NCRONTAB expression of six fields")
        self.expression = expression

    def after(self, moment: datetime) -> datetime:
        """The first tick later than `moment`."""
        # NCRONTAB wants day of month and day of week to fit, where Unix cron takes either.
        ticks = croniter(self.expression, moment, ret_type=datetime, second_at_beginning=True, day_or=False)
        tick: datetime = ticks.get_next()
        return tick


def next_run(schedule: Schedule, due: datetime, now: datetime) -> datetime:
    """When to run after the run of `due`, which ended just now: at the next tick, or at once if that was missed."""
    return max(schedule.after(due), now)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TimerListener:
    """Calls `run`, which must not raise, at each tick of `schedule`, on a thread of its own."""

    def __init__(
        self, name: str, schedule: Schedule, run: Callable[[], object], *, run_on_startup: bool = False
    ) -> None:
        self._schedule = schedule
        self._run = run
        self._run_on_startup = run_on_startup
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"timer-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more ticks; a run that has begun goes on."""
        self._stopping.set()

    def _listen(self) -> None:
        started = _utc_now()
        due = started if self._run_on_startup else self._schedule.after(started)
        while self._wait_until(due):
            self._run()
            due = next_run(self._schedule, due, _utc_now())

    def _wait_until(self, due: datetime) -> bool:
        while not self._stopping.is_set():
            remaining = (due - _utc_now()).total_seconds()
            if remaining <= 0:
                return True
            self._stopping.wait(min(remaining, _LONGEST_WAIT_SECONDS))
        return False
