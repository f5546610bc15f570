"""What the tests of the use cases share: the fakes, a worker among them, and parts made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from cdr.wiring.parts import Parts
from cdr.wiring.times import Times
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryDirectory, InMemoryLookStore, InMemoryPhoneBookStore
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import CONFIG
from tests.support.workshop import Workshop


@pytest.fixture
def queue(clock: HandMovedClock) -> InMemoryCallQueue:
    return InMemoryCallQueue(clock)


@pytest.fixture
def ledger() -> InMemoryLedger:
    return InMemoryLedger()


@pytest.fixture
def api() -> InMemoryCallApi:
    return InMemoryCallApi()


@pytest.fixture
def shop(clock: HandMovedClock) -> Workshop:
    return Workshop(clock)


MAPPED = CONFIG + "extension_mapping: {101: alice@example.com}\n"


@pytest.fixture
def make_parts(tmp_path: Path, clock: HandMovedClock) -> Callable[..., Parts]:
    """Parts with this configuration file (None: there is none), and a fake for each port but those ``without``."""

    def make(
        config: str | bytes | None = MAPPED,
        *,
        without: Collection[str] = (),
        times: Times | None = None,
        directory: InMemoryDirectory | None = None,
        **env: str,
    ) -> Parts:
        (tmp_path / "config").mkdir(exist_ok=True)
        if config is not None:
            raw = config.encode() if isinstance(config, str) else config
            (tmp_path / "config" / "3cx-config.yml").write_bytes(raw)
        ledger = InMemoryLedger()
        fakes = {
            "source": InMemoryCallLog(InMemoryRowTable(), clock),
            "positions": InMemoryPositionStore(),
            "queue": InMemoryCallQueue(clock),
            "poison_queue": InMemoryCallQueue(clock),
            "ledger": ledger,
            "records": ledger,
            "api": InMemoryCallApi(),
            "members": InMemoryMemberSource(),
            "alerts": InMemoryAlertApi(),
            "notifier": InMemoryNotifier(),
            "group_store": InMemoryGroupStore(),
            "phone_books": InMemoryPhoneBookStore(),
            "looks": InMemoryLookStore(),
        }
        chosen: dict[str, Any] = {name: fake for name, fake in fakes.items() if name not in without}
        if directory is not None:
            chosen["directory"] = directory
        return Parts(env, tmp_path, clock=clock, times=times, **chosen)

    return make
