"""What all experiments came to, as a table in Markdown and as JSON."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from tests.faults.delays import percentile
from tests.faults.verdict import Verdict

HEADINGS = ("fault", "injections", "calls", "lost", "twice", "delay p99")
P99 = 0.99


@dataclass
class Line:
    injections: int = 0
    calls: int = 0
    lost: int = 0
    duplicated: int = 0
    delays_s: list[float] = field(default_factory=list)

    @property
    def delay_p99_s(self) -> float | None:
        """Of good calls, from being read to being entered, by the functions' clock; None: there were none."""
        return percentile(self.delays_s, P99)

    @property
    def cells(self) -> tuple[str, ...]:
        p99 = self.delay_p99_s
        shown = "" if p99 is None else f"{p99:.0f} s"
        return (*map(str, (self.injections, self.calls, self.lost, self.duplicated)), shown)


@dataclass
class Tally:
    """``failures`` has a report for every verdict that is not clean."""

    lines: dict[str, Line] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, verdict: Verdict, injections: int) -> None:
        with self._lock:
            line = self.lines.setdefault(name, Line())
            line.injections += injections
            line.calls += verdict.calls
            line.lost += verdict.lost
            line.duplicated += verdict.duplicated
            line.delays_s += verdict.delays_s
            if verdict.problems:
                self.failures.append(f"{name}: {'; '.join(verdict.problems)}\n{verdict.report}")

    def table(self) -> str:
        """In Markdown, with a sum at the end."""
        lines = {**self.lines, "**all**": self._sum()}
        rows = [HEADINGS, *((name, *line.cells) for name, line in lines.items())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        text = [_row(row, widths) for row in rows]
        rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
        return "\n".join([text[0], rule, *text[1:]])

    def json(self) -> str:
        """An object for each kind, in order."""
        found = [
            {
                "fault": name,
                "injections": line.injections,
                "calls": line.calls,
                "lost": line.lost,
                "twice": line.duplicated,
                "delay_p99_s": line.delay_p99_s,
            }
            for name, line in self.lines.items()
        ]
        return json.dumps(found, indent=2)

    def _sum(self) -> Line:
        every = list(self.lines.values())
        return Line(
            sum(line.injections for line in every),
            sum(line.calls for line in every),
            sum(line.lost for line in every),
            sum(line.duplicated for line in every),
            [delay for line in every for delay in line.delays_s],
        )


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"
