"""What all experiments came to, as a table: fault, injections, calls, lost, duplicated."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.faults.verdict import Verdict

HEADINGS = ("fault", "injections", "calls", "lost", "duplicated")


@dataclass
class Line:
    injections: int = 0
    calls: int = 0
    lost: int = 0
    duplicated: int = 0


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
            if verdict.problems:
                self.failures.append(f"{name}: {'; '.join(verdict.problems)}\n{verdict.report}")

    def table(self) -> str:
        """In Markdown, with a sum at the end."""
        lines = {**self.lines, "**all**": self._sum()}
        rows = [HEADINGS, *((name, *map(str, vars(line).values())) for name, line in lines.items())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        text = [_row(row, widths) for row in rows]
        rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
        return "\n".join([text[0], rule, *text[1:]])

    def _sum(self) -> Line:
        every = list(self.lines.values())
        return Line(
            sum(line.injections for line in every),
            sum(line.calls for line in every),
            sum(line.lost for line in every),
            sum(line.duplicated for line in every),
        )


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"
