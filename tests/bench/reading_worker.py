"""A process that reads calls, in which neither queue nor ledger takes memory: what they are told or tell is forgotten.

python -m tests.bench.reading_worker poll             polls until caught up
python -m tests.bench.reading_worker reconcile N      reconciles the N days before today, of which all calls are in

Both print how many calls these were, and the most memory that it ever had, in MiB.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from cdr.calls.call import State
from cdr.calls.fingerprint import facts, fingerprint
from cdr.calls.message import Letter
from cdr.calls.rules import CallRules, call_key
from cdr.intake.poll import poll
from cdr.intake.ports import CallSource, StoredPosition
from cdr.operations.ports import LedgerEntry
from cdr.operations.reconcile import reconcile
from cdr.wiring.parts import Parts
from shared.clock import SystemClock
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore

DAY = timedelta(days=1)


class Forgetful(InMemoryCallQueue):
    def send_all(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            letter.to_text()


class AllIn(InMemoryLedger):
    """Has a record of every call of the source, made as it is asked for."""

    def __init__(self, source: CallSource, rules: CallRules) -> None:
        super().__init__()
        self._source, self._rules = source, rules

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        start = datetime.combine(date.fromisoformat(day), time(), UTC)
        with self._source.connect() as reader:
            for page in reader.ended_between(start, start + DAY) if state is None else ():
                for call in page:
                    told = {"call": fingerprint(call), "facts": facts(call), "ended_on": day}
                    yield LedgerEntry(call_key(call, self._rules), call.id, State.SUBMITTED, **told)


def main(use_case: str, days: int = 0) -> None:
    clock = SystemClock()
    positions = InMemoryPositionStore()
    parts = Parts(
        os.environ,
        Path.cwd(),
        positions=positions,
        queue=Forgetful(clock),
        poison_queue=Forgetful(clock),
        ledger=InMemoryLedger(),
        records=InMemoryLedger(),
    )
    calls = _polled(parts) if use_case == "poll" else _reconciled(parts, positions, days)
    sys.stdout.write(f"{calls} {_peak_mib():.1f}\n")


def _polled(parts: Parts) -> int:
    outcome = poll(parts.poller)
    calls = outcome.queued
    while not outcome.caught_up:
        outcome = poll(parts.poller)
        calls += outcome.queued
    return calls


def _reconciled(parts: Parts, positions: InMemoryPositionStore, days: int) -> int:
    with parts.source.connect() as reader:
        positions.stored = StoredPosition(parts.source.name, reader.begin("now"))
    reconciler = replace(parts.timed_reconciler, time_budget=DAY)
    reconciler = replace(reconciler, records=AllIn(parts.source, reconciler.rules))
    today = datetime.now(UTC).date()
    found = reconcile(reconciler, today - days * DAY, today - DAY)
    if (found.recorded, found.only_in_ledger, found.complete) != (found.rows, 0, True):
        raise RuntimeError(f"all calls were to be in: {found}")
    return found.rows


def _peak_mib() -> float:
    """A child begins with its parent's peak in what getrusage tells of it, so that of its own memory is taken."""
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
