"""A process that reads calls, in which neither queue nor ledger takes memory: what they are told or tell is forgotten.

python -m tests.bench.reading_worker poll CALLS             polls until caught up
python -m tests.bench.reading_worker reconcile CALLS DAYS   reconciles so many days before today; all calls are in

Both print how many calls these were, and the most memory in MiB that it ever had, after the first CALLS and at the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from cdr.calls.call import State
from cdr.calls.fingerprint import facts, fingerprint
from cdr.calls.message import Letter, Message
from cdr.calls.rules import CallRules, call_key
from cdr.intake.poll import poll
from cdr.intake.ports import CallSource, StoredPosition
from cdr.operations.ports import LedgerEntry
from cdr.operations.reconcile import reconcile
from cdr.wiring.parts import Parts
from shared.clock import Clock, SystemClock
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore

DAY = timedelta(days=1)


@dataclass
class Meter:
    """Looks at the peak once so many calls have come by."""

    calls: int
    seen: int = 0
    peak_mib: float = 0.0

    def count(self, calls: int) -> None:
        self.seen += calls
        if self.seen >= self.calls and not self.peak_mib:
            self.peak_mib = peak_mib()


class Forgetful(InMemoryCallQueue):
    def __init__(self, clock: Clock, meter: Meter) -> None:
        super().__init__(clock)
        self._meter = meter

    def send_all(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            letter.to_text()
            self._meter.count(len(letter.records) if isinstance(letter, Message) else 1)


class AllIn(InMemoryLedger):
    """Has a record of every call of the source, made as it is asked for."""

    def __init__(self, source: CallSource, rules: CallRules, meter: Meter) -> None:
        super().__init__()
        self._source, self._rules, self._meter = source, rules, meter

    def entries(self, day: str, state: State | None = None) -> Iterator[LedgerEntry]:
        start = datetime.combine(date.fromisoformat(day), time(), UTC)
        with self._source.connect() as reader:
            for page in reader.ended_between(start, start + DAY) if state is None else ():
                self._meter.count(len(page))
                for call in page:
                    told = {"call": fingerprint(call), "facts": facts(call), "ended_on": day}
                    yield LedgerEntry(call_key(call, self._rules), call.id, State.SUBMITTED, **told)


def main(use_case: str, calls: int, days: int = 0) -> None:
    clock, positions, meter = SystemClock(), InMemoryPositionStore(), Meter(calls)
    parts = Parts(
        os.environ,
        Path.cwd(),
        positions=positions,
        queue=Forgetful(clock, meter),
        poison_queue=InMemoryCallQueue(clock),
        ledger=InMemoryLedger(),
        records=InMemoryLedger(),
    )
    if use_case == "poll":
        while not poll(parts.poller).caught_up:
            pass
    else:
        _reconcile(parts, positions, meter, days)
    sys.stdout.write(f"{meter.seen} {meter.peak_mib:.1f} {peak_mib():.1f}\n")


def _reconcile(parts: Parts, positions: InMemoryPositionStore, meter: Meter, days: int) -> None:
    with parts.source.connect() as reader:
        positions.stored = StoredPosition(parts.source.name, reader.begin("now"))
    reconciler = replace(parts.timed_reconciler, time_budget=DAY)
    reconciler = replace(reconciler, records=AllIn(parts.source, reconciler.rules, meter))
    today = datetime.now(UTC).date()
    found = reconcile(reconciler, today - days * DAY, today - DAY)
    if (found.recorded, found.only_in_ledger, found.complete) != (found.rows, 0, True):
        raise RuntimeError(f"all calls were to be in: {found}")


def peak_mib() -> float:
    """A child begins with its parent's peak in what getrusage tells of it, so that of its own memory is taken."""
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
