"""What the tests of the use cases share: the fakes, a worker among them, and a reader of the log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdr.wiring.parts import Parts
from cdr.wiring.times import Times
from shared import log
from shared.clock import HandMovedClock
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.groups import InMemoryAlertApi, InMemoryGroupStore, InMemoryMemberSource, InMemoryNotifier
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.factories import CONFIG, OUTSIDE
from tests.support.workshop import Workshop

SECRETS = ("s3cret",)


class Events:
    """The log's lines as events, in order."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def _records(self) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if record.name == "cdr"]

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._records]

    @property
    def names(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.lines]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The fields of all events with this name, and their ``level``."""
        found = [(json.loads(record.getMessage()), record.levelname) for record in self._records]
        return [fields | {"level": level} for fields, level in found if fields["event"] == name]

    def only(self, name: str) -> dict[str, Any]:
        (event,) = self.named(name)
        return event


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    """Also checks in the end that no line gives away the outside party's number or a secret."""
    caplog.set_level(logging.INFO, logger="cdr")
    events = Events(caplog)
    yield events
    outside = re.sub("[^0-9]", "", OUTSIDE)[-10:]
    for line in events.lines:
        assert json.loads(line)["event"] in log.EVENTS
        assert outside not in re.sub("[^0-9]", "", line), line
        assert not any(secret in line for secret in SECRETS), line


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
        config: str | bytes | None = MAPPED, *, without: Collection[str] = (), times: Times | None = None, **env: str
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
        }
        chosen = {name: fake for name, fake in fakes.items() if name not in without}
        return Parts(env, tmp_path, clock=clock, times=times, **chosen)

    return make
