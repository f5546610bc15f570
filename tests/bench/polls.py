"""Polls of a database: on a million rows beside a thousand, and with a checkpoint that has much to remember.

Storage and Call Logger are fakes here: what is measured is the database, and our own work on what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from cdr.intake.poll import PollOutcome, poll
from cdr.wiring.parts import Parts
from tests.bench.free_storage import parts_with_free_storage
from tests.bench.lab import Lab
from tests.bench.results import Goal, Result, in_turns, median_of
from tests.bench.tables import Table
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


def growth(lab: Lab) -> Iterator[Result]:
    few, many = lab.sizes.few_rows, lab.sizes.many_rows
    system = PostgreSqlPhoneSystem(lab.postgresql)
    system.sql("CREATE TABLE people (number TEXT PRIMARY KEY)")
    system.sql("INSERT INTO people VALUES ('101')")
    small, large = Table(system, "few_calls"), Table(system, "many_calls")
    for table, rows in ((small, few), (large, many)):
        table.add(rows)
        table.analyze()
    measures: dict[str, Callable[[Parts], None]] = {
        "idle poll": lambda parts: _expect(poll(parts.poller), 0),
        f"poll of {NEW} new rows": lambda parts: _expect(poll(parts.poller), NEW),
        "idle poll, JOIN": lambda parts: _expect(poll(parts.poller), 0),
        "/status": lambda parts: _answered(parts, "status"),
        "/health": lambda parts: _answered(parts, "health"),
    }
    for name, measure in measures.items():
        made = {
            table: parts_with_free_storage(lab, table.schema(joined="JOIN" in name), system) for table in (small, large)
        }

        def seconds(table: Table, name=name, measure=measure, made=made) -> float:
            def before() -> None:
                table.add(NEW if "new" in name else 0)
                if name == "/health":  # it remembers for a while what it found
                    made[table] = parts_with_free_storage(lab, table.schema(joined=False), system)

            return median_of(lab.sizes.polls, lambda: measure(made[table]), before=before)

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
            idle = parts_with_free_storage(lab, CALLLOG, system)
            worst = parts_with_free_storage(lab, CALLLOG, system, begin="beginning")
            outcome = poll(worst.poller)
            if outcome.open_rows != lab.sizes.running or not outcome.missing_ids:
                raise RuntimeError(f"the checkpoint is not what it should be: {outcome}")
            medians = in_turns(
                lab.sizes.rounds,
                idle=lambda: median_of(lab.sizes.polls, lambda: _expect(poll(idle.poller), 0)),  # noqa: B023 - called at once
                worst=lambda: median_of(lab.sizes.polls, lambda: _expect(poll(worst.poller), 0)),  # noqa: B023
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
    row_id, began = 1, datetime.now(UTC).replace(tzinfo=None)
    for number in range(running):
        yield make_raw_row(id=row_id, call_id=f"running-{number}", started_at=began, ended_at=None, answered=1)
        is_gap = number * gaps // running != (number + 1) * gaps // running
        row_id += 1 + (is_gap and (1 if number * gaps // running % 2 else 30))
    yield make_raw_row(id=row_id, call_id="over", answered=1)


def _expect(outcome: PollOutcome, queued: int) -> None:
    if (outcome.result, outcome.queued) != ("finished", queued):
        raise RuntimeError(f"{queued} calls were to be queued: {outcome}")


def _answered(parts: Parts, route: str) -> None:
    answer = ask(parts, route)
    if answer.status != 200:
        raise RuntimeError(f"{route}: {answer}")
