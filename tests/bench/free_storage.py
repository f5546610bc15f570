"""The app's parts with fakes for storage and Call Logger, which cost next to nothing: what is left is the phone system,
and our own work on what it says. Or with a fake for the Call Logger alone."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from cdr.intake.poll import poll
from cdr.wiring.parts import Parts
from shared.clock import SystemClock
from tests.bench.lab import LONG_INTERVAL_S, Account, Lab
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.functions.surroundings import write_config
from tests.systems.phone_systems import CALLLOG, SqlPhoneSystem
from tests.unit.web.asking import ask

_numbers = count(1)


def packed(lab: Lab, system: SqlPhoneSystem, schema: str = CALLLOG) -> list[str]:
    """The messages that a poll makes of all of its calls."""
    parts = parts_with_free_storage(lab, schema, system, begin="beginning")
    while not poll(parts.poller).caught_up:
        pass
    queue = parts.queue
    assert isinstance(queue, InMemoryCallQueue)
    return queue.texts


def parts_with_free_storage(lab: Lab, schema: str, system: SqlPhoneSystem, begin: str = "now") -> Parts:
    """An app between that database and fakes, which begins there."""
    ledger, clock = InMemoryLedger(), SystemClock()
    parts = Parts(
        {"CONFIG_FILE": "config.yml"},
        _folder_with_config(lab, schema, system),
        clock=clock,
        positions=InMemoryPositionStore(),
        queue=InMemoryCallQueue(clock),
        poison_queue=InMemoryCallQueue(clock),
        ledger=ledger,
        records=ledger,
        api=InMemoryCallApi(),
    )
    return _begun(parts, begin)


def parts_with_storage(lab: Lab, account: Account, schema: str, system: SqlPhoneSystem) -> Parts:
    """One between that database and that account, which begins behind what is there; only the Call Logger is a fake."""
    environment = {"CONFIG_FILE": "config.yml", "AzureWebJobsStorage": account.connection_string}
    return _begun(Parts(environment, _folder_with_config(lab, schema, system), api=InMemoryCallApi()), "now")


def _folder_with_config(lab: Lab, schema: str, system: SqlPhoneSystem) -> Path:
    folder = lab.folder / f"polls-{next(_numbers)}"
    folder.mkdir()
    (folder / "own.sql").write_text(schema, encoding="utf-8")
    changes = {} if system.engine == "sqlite" else {"encrypt": False}
    settings = system.settings(**changes)
    file = write_config(folder / "config.yml", settings, "http://127.0.0.1:1/api", interval_s=LONG_INTERVAL_S)
    file.write_text(file.read_text("utf-8").replace("3cx:\n", "3cx:\n  schema: own.sql\n"), encoding="utf-8")
    return folder


def _begun(parts: Parts, begin: str) -> Parts:
    answer = ask(parts, "trigger_start_over", {"from": begin})
    if answer.status != 200:
        raise RuntimeError(f"it does not begin: {answer}")
    return parts
