"""Looks at several things at once, each on a thread of its own: what hangs holds up nothing, and nobody for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock, Thread
from typing import Generic, TypeVar

from shared.errors import PipelineError, named

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not known, and since when this process has seen it so (aware, UTC; see Troubles)."""

    error: str
    since: datetime | None = field(default=None, compare=False)


class Later(Generic[Found]):
    """What a look will have found."""

    def __init__(self, look: Callable[[], Found], ends: float, within_s: float) -> None:
        """:param ends: when nobody waits for it any more, by the monotonic clock"""
        self._look = look
        self._ends = ends
        self._late = Problem(f"no answer within {within_s:g} s")
        self._found: list[Found | Problem] = []
        self._defect: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._look())
        except PipelineError as exc:
            self._found.append(Problem(named(exc)))
        except BaseException as exc:  # noqa: BLE001 - raised where somebody waits for it
            self._defect = exc

    def result(self) -> Found | Problem:
        """What was found, or why it was not; a defect is raised."""
        self._thread.join(max(0.0, self._ends - time.monotonic()))
        if self._defect is not None:
            raise self._defect
        return next(iter(self._found), self._late)


class SideBySide:
    """Looks that begin now, for all of which there is one deadline."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._ends = time.monotonic() + within_s

    def begin(self, look: Callable[[], Found]) -> Later[Found]:
        return Later(look, self._ends, self._within_s)


class Troubles:
    """Remembers, while the process lives, since when each look has found a Problem, or the same."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._values: dict[str, tuple[object, datetime]] = {}
        self._lock = Lock()

    def dated(self, name: str, found: Found | Problem, now: datetime) -> Found | Problem:
        """What was found; a Problem with the time of the first one in a row."""
        with self._lock:
            if isinstance(found, Problem):
                return replace(found, since=self._since.setdefault(name, now))
            self._since.pop(name, None)
            return found

    def unchanged_since(self, name: str, value: object, now: datetime) -> datetime:
        """Since when each look has found this value."""
        with self._lock:
            known, since = self._values.get(name, (None, now))
            since = since if known == value else now
            self._values[name] = (value, since)
            return since
