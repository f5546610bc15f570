"""What was measured, beside what it is to reach."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound: ``most`` for what should be small, ``least`` for what should be large."""

    kind: Literal["most", "least"]
    value: float

    def is_met(self, value: float) -> bool:
        return value <= self.value if self.kind == "most" else value >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.kind == 'most' else '≥'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Result:
    """A measured figure. ``behind`` says by name what it was made of: the medians, with their units in the names."""

    name: str
    value: float
    unit: str
    goal: Goal | None
    behind: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return "" if self.goal is None else "yes" if self.goal.is_met(self.value) else "no"

    def as_json(self) -> dict[str, Any]:
        goal = {"goal": str(self.goal), "reached": self.goal.is_met(self.value)} if self.goal else {}
        return {key: value for key, value in asdict(self).items() if key != "goal"} | goal


def in_turns(rounds: int, **contenders: Callable[[], float]) -> dict[str, float]:
    """The median of each, which take turns, so that whatever else the machine does hits all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            taken[name].append(measure())
    return {name: median(values) for name, values in taken.items()}


def median_of(
    times: int,
    measure: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
    *,
    before: Callable[[], None] = lambda: None,
) -> float:
    """Of what is short the median in seconds, by the clock or of CPU; what comes ``before`` each does not count.

    Garbage is collected before, or what others left would be collected during one of them, and mostly the same one.
    """
    taken = []
    for _ in range(times):
        before()
        gc.collect()
        began = clock()
        measure()
        taken.append(clock() - began)
    return median(taken)


HEADER = ("figure", "measured", "to reach", "reached", "behind it")


def as_table(results: Sequence[Result], *, markdown: bool) -> str:
    rows = [HEADER, *map(_cells, results)]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|---" * len(HEADER) + "|", *lines[1:]])
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(result: Result) -> tuple[str, ...]:
    behind = "; ".join(f"{name} {_shown(value)}" for name, value in result.behind.items())
    goal = str(result.goal) if result.goal else ""
    return result.name, f"{_shown(result.value)} {result.unit}".strip(), goal, result.verdict, behind


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
