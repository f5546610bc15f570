"""Is everything usable? Asked often, answered from what was looked at lately."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest

from cdr.operations.health import HealthCheck, PartHealth
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    InvalidConfig,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from tests.fakes.clock import HandMovedClock

SECOND = timedelta(seconds=1)
DOWN = SourceUnavailable("pbx.example.internal does not answer")


@dataclass
class Part:
    """Something to check: takes its time, fails with its error, and counts."""

    clock: HandMovedClock
    error: Exception | None = None
    takes: timedelta = timedelta()
    checked: int = 0

    def __call__(self) -> None:
        self.checked += 1
        self.clock.move(self.takes)
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "ok"),
        (DOWN, "unavailable"),
        (StorageUnavailable("503"), "unavailable"),
        (ApiUnavailable("503"), "unavailable"),
        (ApiDenied("api.auth: 401"), "misconfigured"),
        (SourceMisconfigured("3cx.cdr_database.password: refused"), "misconfigured"),
        (InvalidConfig(["api.base_url: missing"]), "misconfigured"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_part_has_its_own_state_and_how_long_it_took(
    clock: HandMovedClock, error: Exception | None, state: str
) -> None:
    slow = HealthCheck({"database": Part(clock, error, takes=timedelta(milliseconds=250))}, clock)
    assert slow.parts() == {"database": PartHealth(state, 250)}
    both = HealthCheck({"database": Part(clock, error), "storage": Part(clock)}, clock)
    assert both.parts() == {"database": PartHealth(state, 0), "storage": PartHealth("ok", 0)}


@pytest.mark.parametrize("error", [None, DOWN], ids=["ok", "unavailable"])
def test_an_answer_is_remembered_for_ten_seconds_from_its_end_on(
    clock: HandMovedClock, error: Exception | None
) -> None:
    database = Part(clock, error, takes=30 * SECOND)
    health = HealthCheck({"database": database}, clock)
    for _ in range(10):
        first = health.parts()
        clock.move(SECOND)
    assert database.checked == 1
    database.error = None if error else DOWN
    assert health.parts() != first
    assert database.checked == 2


def test_the_parts_are_looked_at_side_by_side(clock: HandMovedClock) -> None:
    together = Barrier(3)
    checks: dict[str, Callable[[], Any]] = dict.fromkeys(("database", "storage", "api"), lambda: together.wait(10))
    assert {part.state for part in HealthCheck(checks, clock).parts().values()} == {"ok"}


def test_a_part_that_hangs_is_unavailable_and_holds_nobody_up(clock: HandMovedClock) -> None:
    released = Event()
    checks = {"database": lambda: released.wait(60) and None, "storage": Part(clock)}
    health = HealthCheck(checks, clock, longest_look_s=0.3)
    assert {name: part.state for name, part in health.parts().items()} == {"database": "unavailable", "storage": "ok"}
    released.set()


def test_many_who_ask_at_once_share_one_look(clock: HandMovedClock) -> None:
    callers = 8
    arrived, may_end, looks = Barrier(callers + 1), Event(), []

    def look() -> None:
        looks.append(1)
        may_end.wait(timeout=10)

    health = HealthCheck({"database": look}, clock)

    def ask() -> Any:
        arrived.wait(timeout=10)
        return health.parts()

    with ThreadPoolExecutor(callers) as pool:
        answers = [pool.submit(ask) for _ in range(callers)]
        arrived.wait(timeout=10)
        may_end.set()
        assert [answer.result(timeout=10) for answer in answers] == [{"database": PartHealth("ok", 0)}] * callers
    assert len(looks) == 1
