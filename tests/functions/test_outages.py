"""What people are told while a part hangs: within three seconds, and which part it is."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import azure.functions as func
import pytest

from cdr.web import routes
from local.azurite import ACCOUNT, ACCOUNT_KEY
from shared.config.phone_system import CdrDatabase
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import RecordingCallLogger, Storage, write_config

WITHIN_S = 3.8
"""Three, and what a busy machine takes beside; two looks one after the other would be four."""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def asked(app: LoadedApp) -> list[str]:
    """What the status says to a program and to a person who ask at once; both in time, once everything is loaded."""
    assert app.parts.overview
    with ThreadPoolExecutor() as people:
        said = list(people.map(lambda accept: _asked(app, accept), ("*/*", "text/html")))
    assert all(took < WITHIN_S for _, took in said)
    return [text for text, _ in said]


def _asked(app: LoadedApp, accept: str) -> tuple[str, float]:
    """What it says, and after how long."""
    request = func.HttpRequest("GET", "https://example.com/status", headers={"Accept": accept}, params={}, body=b"")
    begun = time.monotonic()
    response = routes.status(request, app.parts)
    return response.get_body().decode(), time.monotonic() - begun


def test_storage_that_hangs_is_named_in_time(
    config_file: Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{silent_port}/{ACCOUNT}"
    account = f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};TableEndpoint={address};QueueEndpoint={address}"
    monkeypatch.setenv("AzureWebJobsStorage", f"DefaultEndpointsProtocol=http;{account}")
    told, shown = asked(LoadedApp())
    assert '"part": "storage"' in told
    assert "The storage account does not do its work" in shown


def test_a_database_that_hangs_is_named_in_time_and_what_else_is_known_beside_it(
    config_file: Path, silent_port: int, storage: Storage, call_logger: RecordingCallLogger
) -> None:
    database = CdrDatabase(
        engine="mysql", host="127.0.0.1", port=silent_port, database="pbx", username="cdr", password="c"
    )
    write_config(config_file, database, call_logger.base_url)
    told, shown = asked(LoadedApp())
    assert (json.loads(told)["flow"]["part"], json.loads(told)["queue"]) == ("database", {"waiting": 0, "poison": 0})
    assert "cannot be read" in shown
