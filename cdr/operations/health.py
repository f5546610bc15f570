"""Use case: is everything usable?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Literal

from cdr.operations.side_by_side import Problem, SideBySide
from shared.clock import Clock
from shared.errors import ConfigError, PipelineError

Check = Callable[[], None]
"""Returns if its part is usable, else raises a PipelineError."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """No more than this, because anybody may ask."""

    state: Literal["ok", "misconfigured", "unavailable"]
    duration_ms: int


@dataclass
class HealthCheck:
    """Checks every part at once, and remembers the answer so that nobody can hammer the parts.

    A part that needs longer than ``longest_look_s`` is as good as unavailable: who asks has a time-out too, and holds a
    worker meanwhile.
    """

    checks: Mapping[str, Check]
    clock: Clock
    fresh_for: timedelta = timedelta(seconds=10)
    longest_look_s: float = 8.0
    _lock: Lock = field(default_factory=Lock, repr=False)
    _checked_at: datetime | None = None
    _parts: Mapping[str, PartHealth] = field(default_factory=dict)

    def parts(self) -> Mapping[str, PartHealth]:
        with self._lock:
            now = self.clock.now()
            if self._checked_at is None or now - self._checked_at >= self.fresh_for:
                self._parts = self._look(now)
                self._checked_at = self.clock.now()
            return self._parts

    def _look(self, started: datetime) -> Mapping[str, PartHealth]:
        looks = SideBySide(self.longest_look_s)
        begun = {name: looks.begin(partial(self._check, check)) for name, check in self.checks.items()}
        found = {name: later.result() for name, later in begun.items()}
        late = PartHealth("unavailable", self._milliseconds_since(started))
        return {name: late if isinstance(part, Problem) else part for name, part in found.items()}

    def _check(self, check: Check) -> PartHealth:
        started = self.clock.now()
        try:
            check()
        except ConfigError:
            return PartHealth("misconfigured", self._milliseconds_since(started))
        except PipelineError:
            return PartHealth("unavailable", self._milliseconds_since(started))
        return PartHealth("ok", self._milliseconds_since(started))

    def _milliseconds_since(self, started: datetime) -> int:
        return (self.clock.now() - started) // timedelta(milliseconds=1)
