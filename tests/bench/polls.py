"""Polls of a database: on a million rows beside a thousand, and with a checkpoint that has much to remember.

Storage and Call Logger are fakes here: what is measured is the database, and our own work on what it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from cdr.intake.poll import PollOutcome, poll
from cdr.wiring.parts import Parts
from shared.clock import SystemClock
from tests.bench.lab import LONG_INTERVAL_S, Lab
from tests.bench.results import Goal, Result, in_turns
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.functions.surroundings import write_config
from tests.support.factories import make_raw_row
from tests.systems import mariadb
from tests.systems.phone_systems import (
    CALLLOG,
    MariaDbPhoneSystem,
    PostgreSqlPhoneSystem,
    SqlitePhoneSystem,
    SqlPhoneSystem,
)
from tests.unit.web.asking import ask

NEW = 100
"""Rows that a poll finds."""

TIMES = 7
"""A poll is short: each turn takes the median of so many."""

FILL = """
INSERT INTO {table} (Id, CallId, StartTime, EndTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered)
SELECT n, 'call-' || n, at - interval '90 seconds', at, 90, '+19075550142', '101', '101', 0, 1
FROM (SELECT n, now() AT TIME ZONE 'UTC' - ({last} - n) * interval '20 seconds' AS at
      FROM generate_series({first}, {last}) AS n) AS rows
"""
JOINED = "{table} INNER JOIN people ON people.number = {table}.Extension"

_numbers = count(1)


def growth(lab: Lab) -> Iterator[Result]:
    few, many = lab.sizes.few_rows, lab.sizes.many_rows
    system = PostgreSqlPhoneSystem(lab.postgresql)
    system.sql("CREATE TABLE people (number TEXT PRIMARY KEY)")
    system.sql("INSERT INTO people VALUES ('101')")
    small, large = Table(system, "few_calls"), Table(system, "many_calls")
    small.fill(few)
    large.fill(many)
    measures: dict[str, Callable[[Parts], None]] = {
        "idle poll": lambda parts: _expect(poll(parts.poller), 0),
        f"poll of {NEW} new rows": lambda parts: _expect(poll(parts.poller), NEW),
        "idle poll, JOIN": lambda parts: _expect(poll(parts.poller), 0),
        "/status": lambda parts: _answered(parts, "status"),
        "/health": lambda parts: _answered(parts, "health"),
    }
    for name, measure in measures.items():
        made = {table: _parts(lab, table.schema(joined="JOIN" in name), system) for table in (small, large)}

        def seconds(table: Table, name=name, measure=measure, made=made) -> float:
            def before() -> None:
                table.fill(NEW if "new" in name else 0)
                if name == "/health":  # it remembers for a while what it found
                    made[table] = _parts(lab, table.schema(joined=False), system)

            return _median(lambda: measure(made[table]), before)

        medians = in_turns(lab.sizes.rounds, few=lambda: seconds(small), many=lambda: seconds(large))
        yield Result(
            f"{name}, on {many:,} rows over {few:,}",
            medians["many"] / medians["few"],
            "",
            Goal("most", 1.1),
            {f"ms at {few:,}": medians["few"] * 1e3, f"ms at {many:,}": medians["many"] * 1e3},
        )


def worst_checkpoint(lab: Lab) -> Iterator[Result]:
    """Every poll looks again for all that is open or missing."""
    with mariadb.start() as server:
        systems: dict[str, SqlPhoneSystem] = {
            "PostgreSQL": PostgreSqlPhoneSystem(lab.postgresql),
            "MariaDB": MariaDbPhoneSystem(server),
            "SQLite": SqlitePhoneSystem(lab.folder / "checkpoint.db"),
        }
        for name, system in systems.items():
            system.insert(*_rows_of_worst(lab.sizes.running, lab.sizes.gaps))
            idle = _parts(lab, CALLLOG, system)
            worst = _parts(lab, CALLLOG, system, begin="beginning")
            outcome = poll(worst.poller)
            if outcome.open_rows != lab.sizes.running or not outcome.missing_ids:
                raise RuntimeError(f"the checkpoint is not what it should be: {outcome}")
            medians = in_turns(
                lab.sizes.rounds,
                idle=lambda: _median(lambda: _expect(poll(idle.poller), 0)),  # noqa: B023 - called at once
                worst=lambda: _median(lambda: _expect(poll(worst.poller), 0)),  # noqa: B023
            )
            yield Result(
                f"worst checkpoint on {name}, beyond the idle one",
                medians["worst"] - medians["idle"],
                "s",
                Goal("most", 0.1),
                {"ms idle": medians["idle"] * 1e3, "ms worst": medians["worst"] * 1e3},
            )


def _rows_of_worst(running: int, gaps: int) -> Iterator[dict[str, Any]]:
    """Calls under way, with gaps between them: every other one of a single id, the others of thirty."""
    row_id = 1
    for number in range(running):
        yield make_raw_row(id=row_id, call_id=f"running-{number}", ended_at=None, answered=1)
        is_gap = number * gaps // running != (number + 1) * gaps // running
        row_id += 1 + (is_gap and (1 if number * gaps // running % 2 else 30))
    yield make_raw_row(id=row_id, call_id="over", answered=1)


@dataclass(frozen=True)
class Table:
    """A table of calls on PostgreSQL."""

    system: PostgreSqlPhoneSystem
    name: str

    def __post_init__(self) -> None:
        self.system.sql(f"CREATE UNLOGGED TABLE {self.name} (LIKE CallLog INCLUDING ALL)")

    def fill(self, rows: int) -> None:
        """So many more rows, the newest of which ended just now."""
        if rows:
            ((last,),) = self.system.sql(f"SELECT coalesce(max(Id), 0) FROM {self.name}")
            self.system.sql(FILL.format(table=self.name, first=last + 1, last=last + rows))
            self.system.sql(f"ANALYZE {self.name}")

    def schema(self, *, joined: bool) -> str:
        table = JOINED.format(table=self.name) if joined else self.name
        return CALLLOG.replace("FROM CallLog", f"FROM {table}")


def _parts(lab: Lab, schema: str, system: SqlPhoneSystem, begin: str = "now") -> Parts:
    """An app between that database and fakes, which begins there."""
    folder = lab.folder / f"polls-{next(_numbers)}"
    folder.mkdir()
    (folder / "own.sql").write_text(schema, encoding="utf-8")
    changes = {} if system.engine == "sqlite" else {"encrypt": False}
    settings = system.settings(**changes)
    file = write_config(folder / "config.yml", settings, "http://127.0.0.1:1/api", interval_s=LONG_INTERVAL_S)
    file.write_text(file.read_text("utf-8").replace("3cx:\n", "3cx:\n  schema: own.sql\n"), encoding="utf-8")
    parts = _with_free_storage(folder)
    answer = ask(parts, "trigger_start_over", {"from": begin})
    if answer.status != 200:
        raise RuntimeError(f"it does not begin: {answer}")
    return parts


def _with_free_storage(folder: Path) -> Parts:
    ledger, clock = InMemoryLedger(), SystemClock()
    return Parts(
        {"CONFIG_FILE": "config.yml"},
        folder,
        clock=clock,
        positions=InMemoryPositionStore(),
        queue=InMemoryCallQueue(clock),
        poison_queue=InMemoryCallQueue(clock),
        ledger=ledger,
        records=ledger,
        api=InMemoryCallApi(),
    )


def _median(measure: Callable[[], None], before: Callable[[], None] = lambda: None) -> float:
    taken = []
    for _ in range(TIMES):
        before()
        began = time.perf_counter()
        measure()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _expect(outcome: PollOutcome, queued: int) -> None:
    if (outcome.result, outcome.queued) != ("finished", queued):
        raise RuntimeError(f"{queued} calls were to be queued: {outcome}")


def _answered(parts: Parts, route: str) -> None:
    answer = ask(parts, route)
    if answer.status != 200:
        raise RuntimeError(f"{route}: {answer}")
