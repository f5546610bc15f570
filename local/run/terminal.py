"""The terminal of a run: coloured lines in columns; without a terminal the same lines, plain."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime

from rich.console import Console
from rich.text import Text

from local.run.lines import Line
from local.run.tally import Backend, Tally

LABEL_WIDTH = 14


def local_now() -> datetime:
    return datetime.now().astimezone()


def standard_output() -> Console:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows gets question marks, no traceback
    return Console(highlight=False)


class Terminal:
    def __init__(self, console: Console, now: Callable[[], datetime] = local_now) -> None:
        self._console = console
        self._now = now

    def call(self, line: Line) -> None:
        columns = f"{line.where:<13} {line.call:>5}  {line.what:<9} "
        self._print((f"{self._now():%H:%M:%S}  ", "dim"), (columns, line.style), line.detail)

    def say(self, text: str, style: str = "") -> None:
        self._print((text, style))

    def labelled(self, pairs: Iterable[tuple[str, str]]) -> None:
        for label, text in pairs:
            self._print((f"  {label:<{LABEL_WIDTH}}", "bold"), text)

    def summary(self, title: str, tally: Tally, backend: Backend | None) -> None:
        self.say(f"\n{title}", "bold")
        if backend:
            self.labelled([("phone system", f"{len(tally.numbers)} calls began, {len(tally.ended)} ended")])
        self.labelled([("queue", f"{tally.queued} queued")])
        if backend:
            self.labelled([("Call Logger", f"{backend.entries} entries ({tally.count('submitted')} submitted)")])
        else:
            self.labelled([("submitted", str(tally.count("submitted")))])
        self.labelled((outcome, _with_reasons(tally, outcome)) for outcome in ("skipped", "rejected"))
        if tally.alerts:
            self.labelled([("alerts", f"{tally.alerts['raised']} raised, {tally.alerts['resolved']} resolved")])
        self._judge(tally, backend)

    def _judge(self, tally: Tally, backend: Backend | None) -> None:
        mistakes = list(tally.mistakes(backend))
        for mistake in mistakes:
            self.say(f"  {mistake}", "bold red")
        if backend and not mistakes:
            sums = f"{backend.entries} entries + {tally.count('skipped')} skipped + {tally.count('rejected')} rejected"
            self.say(f"  {sums} = {len(tally.ended)} ended: every call is accounted for, none twice", "bold green")

    def _print(self, *parts: str | tuple[str, str]) -> None:
        # Soft wrap: how a long line is broken is the terminal's business, and in a file it stays one line.
        self._console.print(Text.assemble(*parts), soft_wrap=True)


def _with_reasons(tally: Tally, outcome: str) -> str:
    reasons = ", ".join(f"{reason.replace('_', ' ')}: {n}" for reason, n in tally.reasons(outcome).most_common())
    return f"{tally.count(outcome)} ({reasons})" if reasons else "0"
