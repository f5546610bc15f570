"""Two breakers that a worker process keeps for itself: when the API is down, and when too much is being rejected."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from cdr.calls.call import CallKey

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class ApiBreaker:
    """Remembers that the API is down, so that not every message has to find out by waiting for its time-outs.

    It is down when it was not reached, or says so itself, or failed at or refused ``strangers`` different calls in a
    row: one call that always fails says nothing about the others. While it is down one message every ``probe_every``
    may try; the first that succeeds opens the way for all. A failure that nobody has seen again for ``forget_after``
    says nothing more, be it of the API or at one call. For as long as the API asks not to be asked, it is not, whatever
    comes of what was on its way by then; but after ``longest_wait`` it is. For ``well_for`` after a success nobody need
    ask how it is.
    """

    probe_every: timedelta
    forget_after: timedelta
    longest_wait: timedelta
    strangers: int = 5
    well_for: timedelta = timedelta(minutes=1)
    _lock: Lock = field(default_factory=Lock, repr=False)
    _next_probe: datetime = LONG_AGO
    _forget_at: datetime = LONG_AGO
    _asked_for: datetime = LONG_AGO
    _succeeded_at: datetime = LONG_AGO
    _suspects: dict[CallKey, datetime] = field(default_factory=dict)
    _last_failure: str = ""

    def may_try(self, now: datetime) -> bool:
        """Whether a message may go to the API now. While the API is down, True makes the caller the one that probes."""
        with self._lock:
            if not self._is_down(now):
                return True
            if now < self._next_probe:
                return False
            self._next_probe = now + self.probe_every
            return True

    def is_down(self, now: datetime) -> bool:
        with self._lock:
            return self._is_down(now)

    def failed(self, now: datetime, why: str, *, wait: timedelta | None = None) -> None:
        """The API was not reached, or is busy; ``wait`` is how long it asked not to be asked."""
        with self._lock:
            self._fail(now, why, wait)

    def failed_at(self, call: CallKey, now: datetime, why: str, *, wait: timedelta | None = None) -> None:
        """The API failed at one call, refused it, or never answered: which of the two is at fault, others will tell."""
        with self._lock:
            self._suspects = {c: at for c, at in self._suspects.items() if now - at < self.forget_after} | {call: now}
            if len(self._suspects) >= self.strangers:
                self._fail(now, why, wait)

    def succeeded(self, now: datetime) -> None:
        with self._lock:
            self._succeeded_at = now
            self._next_probe, self._forget_at = self._asked_for, LONG_AGO
            self._suspects.clear()

    def has_just_succeeded(self, now: datetime) -> bool:
        """At some call: then what fails now is no outage, whatever the API says of itself."""
        with self._lock:
            return now - self._succeeded_at < self.well_for

    @property
    def last_failure(self) -> str:
        """What was wrong with the API when it was last seen to be down: the reason of every call that has to wait."""
        with self._lock:
            return self._last_failure

    def _fail(self, now: datetime, why: str, wait: timedelta | None) -> None:
        asked = min(wait or timedelta(), self.longest_wait)
        self._last_failure = why
        self._asked_for = max(self._asked_for, now + asked)
        self._next_probe = max(self._next_probe, now + max(self.probe_every, asked))
        self._forget_at = now + self.forget_after

    def _is_down(self, now: datetime) -> bool:
        return now < max(self._next_probe, self._forget_at)


class RejectionBreaker:
    """How many calls may be rejected in a minute before it is more likely that something else is wrong."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = Lock()
        self._recent: deque[datetime] = deque()

    def allows(self, now: datetime) -> bool:
        """Whether one more call may be rejected now; if so, it is counted."""
        with self._lock:
            while self._recent and now - self._recent[0] >= MINUTE:
                self._recent.popleft()
            if len(self._recent) >= self._per_minute:
                return False
            self._recent.append(now)
            return True


class OnceAMinute:
    """For what a person should be told of, but not a thousand times."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        with self._lock:
            if self._last is not None and now - self._last < MINUTE:
                return False
            self._last = now
            return True
