"""The app's parts with fakes for storage and Call Logger, which cost next to nothing: what is left is the phone system,
and our own work on what it says."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from cdr.intake.poll import poll
from cdr.wiring.parts import Parts
from shared.clock import SystemClock
from tests.bench.lab import LONG_INTERVAL_S, Lab
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.functions.surroundings import write_config
from tests.systems.phone_systems import CALLLOG, SqlPhoneSystem
from tests.unit.web.asking import ask

_numbers = count(1)


def packed(lab: Lab, system: SqlPhoneSystem) -> list[str]:
    """The messages that a poll makes of all of its calls."""
    parts = parts_with_free_storage(lab, CALLLOG, system, begin="beginning")
    while not poll(parts.poller).caught_up:
        pass
    queue = parts.queue
    assert isinstance(queue, InMemoryCallQueue)
    return queue.texts


def parts_with_free_storage(lab: Lab, schema: str, system: SqlPhoneSystem, begin: str = "now") -> Parts:
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
