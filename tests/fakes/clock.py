"""Time that a test moves by hand."""

from __future__ import annotations

from datetime import datetime, timedelta


class HandMovedClock:
    """A Clock: sleeping moves it at once."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.move(timedelta(seconds=seconds))

    def move(self, by: timedelta) -> None:
        self._now += by
