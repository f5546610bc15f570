"""Whoever looks is answered soon, also where storage and database take connections and never say a word."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cdr.wiring.parts import Parts
from cdr.wiring.times import Times
from local.azurite import ACCOUNT_KEY
from tests.unit.web.asking import ask

CONFIG = """
3cx: {{cdr_database: {{engine: mysql, host: 127.0.0.1, port: {port}, database: cdr, username: u, password: p}}}}
api: {{base_url: "http://127.0.0.1:{port}/api"}}
call_groups: {{members: {{source: static}}, monitored_groups: [{{id: 800, members: [101]}}]}}
"""
STORAGE = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey={key};" + "".join(
    f"{service}Endpoint=http://127.0.0.1:{{port}}/a;" for service in ("Queue", "Table")
)

ROOT = Path(__file__).parents[2]
"""Where the schemas are, so that it is the database that does not answer."""

SOON_S = 3.8
"""Three, and what a busy machine takes beside; two looks one after the other would be four."""

pytestmark = pytest.mark.usefixtures("events")


@contextmanager
def parts_that_are(what: str, folder: Path) -> Iterator[Parts]:
    """Everything outside is at one port, at which connections are never answered, or refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if what == "refused":
            listener.close()
        config = folder / "config.yml"
        config.write_text(CONFIG.format(port=port))
        environment = {"CONFIG_FILE": str(config), "AzureWebJobsStorage": STORAGE.format(port=port, key=ACCOUNT_KEY)}
        yield Parts(environment, ROOT, times=Times(longest_look=timedelta(seconds=1)))


@pytest.fixture(params=["silent", "refused"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    with parts_that_are(request.param, tmp_path) as parts:
        yield parts


@pytest.fixture
def drivers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Loaded, by parts that fail at once."""
    with parts_that_are("refused", tmp_path_factory.mktemp("refused")) as parts:
        ask(parts, "status")


@pytest.mark.usefixtures("drivers")
def test_the_status_is_there_within_three_seconds_and_says_what_does_not_answer(parts: Parts) -> None:
    began = time.monotonic()
    answer = ask(parts, "status")
    assert time.monotonic() - began < SOON_S
    assert answer.status == 200
    silent = {name for name, value in answer.body.items() if isinstance(value, dict) and "error" in value}
    assert silent == {
        *("last_processed_cdr_id", "last_poll", "recent_polls", "source_watch", "lag", "queue", "monitored_groups"),
        *("ledger", "hours", "rejected_by_reason", "api"),
    }


ASKED: dict[str, dict[str, str]] = {"rejected": {}, "calls": {"call": "C-1"}, "preview": {}}


@pytest.mark.parametrize("function", ASKED)
def test_neither_storage_nor_the_database_is_waited_for_without_end(parts: Parts, function: str) -> None:
    began = time.monotonic()
    assert ask(parts, function, **ASKED[function]).status == 503
    assert time.monotonic() - began < SOON_S
