"""What all fakes have in common: each keeps the rules of the real thing, fails when told to, and shows what it holds.

    queue = InMemoryCallQueue(clock)
    queue.fail_at(3, StorageUnavailable("the line is dead"))
    queue.send_all([a, b, c])                                  # raises, and holds a and b

The suites in ``tests/contract`` run against the fakes and against what they stand for, so that the two cannot drift.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Failure:
    error: Exception
    answer_lost: bool


class Fake:
    """Counts its operations (``operations`` has their names, in order), and fails at those that a test has chosen."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self._failures: dict[int, _Failure] = {}
        self._one_at_a_time = threading.RLock()

    def fail_at(self, n: int, error: Exception, *, answer_lost: bool = False) -> None:
        """Let the n-th operation from now on raise this error; 1 is the next one.

        It has no effect then, unless only its answer is lost.
        """
        self._failures[len(self.operations) + n] = _Failure(error, answer_lost)

    @property
    def will_fail(self) -> bool:
        """Whether there are operations to come that fail."""
        return bool(self._failures)

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        with self._one_at_a_time:
            self.operations.append(name)
            failure = self._failures.pop(len(self.operations), None)
            if failure and not failure.answer_lost:
                raise failure.error
            yield
            if failure:
                raise failure.error
