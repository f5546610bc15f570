"""Two brakes that a worker process keeps for itself: when the API is down, and when too much is being rejected."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from threading import Lock

PROBE_EVERY = timedelta(seconds=5)
FORGET_AFTER = timedelta(minutes=6)
"""Longer than any message stays put back: a failure that nobody has seen again since says nothing about now."""


class ApiWatch:
    """Remembers that the API is down, so that not every message has to find out by waiting for its time-outs.

    While it is down one message at a time, every few seconds, may try; the first that succeeds opens the way for all.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failed_at: datetime | None = None
        self._probed_at: datetime | None = None
        self._last_failure = ""

    def may_try(self, now: datetime) -> bool:
        """Whether a message may go to the API now. While the API is down, True makes the caller the one that probes."""
        with self._lock:
            if not self._is_down(now):
                return True
            if self._probed_at is not None and now - self._probed_at < PROBE_EVERY:
                return False
            self._probed_at = now
            return True

    def is_down(self, now: datetime) -> bool:
        with self._lock:
            return self._is_down(now)

    def failed(self, now: datetime, why: str) -> None:
        with self._lock:
            self._failed_at = self._probed_at = now
            self._last_failure = why

    def succeeded(self) -> None:
        with self._lock:
            self._failed_at = self._probed_at = None

    @property
    def last_failure(self) -> str:
        """What was wrong with the API when it was last seen to be down: the reason of every call that has to wait."""
        with self._lock:
            return self._last_failure

    def _is_down(self, now: datetime) -> bool:
        return self._failed_at is not None and now - self._failed_at < FORGET_AFTER


class RejectionLimit:
    """How many calls may be rejected in a minute before it is more likely that something else is wrong."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = Lock()
        self._recent: deque[datetime] = deque()

    def allows(self, now: datetime) -> bool:
        """Whether one more call may be rejected now; if so, it is counted."""
        with self._lock:
            while self._recent and now - self._recent[0] >= timedelta(minutes=1):
                self._recent.popleft()
            if len(self._recent) >= self._per_minute:
                return False
            self._recent.append(now)
            return True
