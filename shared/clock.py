"""Time, as a thing that can be handed in: the real one, and one that tests move by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Protocol

SECOND = timedelta(seconds=1)


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, in UTC."""

    def sleep(self, seconds: float) -> None: ...


def moment_in(text: object) -> datetime | None:
    """Aware and in UTC, which is also what a time without an offset is taken for; None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def ticks() -> float:
    """Seconds since some moment, by a clock that nobody sets, and that goes on while a machine is suspended."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(boottime) if boottime is not None else time.monotonic()


def _wall() -> datetime:
    return datetime.now(UTC)


class SystemClock:
    """The real time: what the system's clock said at the start, and what has passed since. It never goes back.

    It goes by another clock from the first time that it hears of it, so that all who hear the same one agree, however
    wrong their own are. That one is believed at once; later each word of it moves the time by a second at most, so that
    a single wrong one does no harm.
    """

    def __init__(self, wall: Callable[[], datetime] = _wall, elapsed_s: Callable[[], float] = ticks) -> None:
        self._lock = Lock()
        self._elapsed_s = elapsed_s
        self._origin = wall() - timedelta(seconds=elapsed_s())
        self._last = self._origin
        self._has_heard = False

    def now(self) -> datetime:
        with self._lock:
            self._last = max(self._last, self._reckoned())
            return self._last

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @property
    def has_heard(self) -> bool:
        return self._has_heard

    def hear(self, said: datetime, took: timedelta) -> None:
        """Another clock, which names whole seconds, said this while a question and its answer took so long."""
        with self._lock:
            here = self._reckoned()
            believed = min(max(here, said), said + SECOND + took)
            by = believed - here
            if self._has_heard:
                by = min(max(by, -SECOND), SECOND)
            elif by < timedelta():
                self._last = believed  # nobody has gone by the time before yet
            self._origin += by
            self._has_heard = True

    def _reckoned(self) -> datetime:
        return self._origin + timedelta(seconds=self._elapsed_s())
