"""function_app as the worker has it, between real parts: Azurite, an SQLite file, the stand-in Call Logger."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.azurite import Azurite
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import RecordingCallLogger, Storage, write_config
from tests.systems.phone_systems import SqlitePhoneSystem


@pytest.fixture(scope="session")
def storage_account(azurite: Azurite) -> Iterator[Storage]:
    storage = Storage(azurite.connection_string)
    yield storage
    storage.close()


@pytest.fixture
def storage(storage_account: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """An account without calls, which the app uses."""
    storage_account.clear()
    monkeypatch.setenv("AzureWebJobsStorage", storage_account.connection_string)
    return storage_account


@pytest.fixture
def call_logger() -> Iterator[RecordingCallLogger]:
    with RecordingCallLogger() as running:
        yield running


@pytest.fixture
def phone_system(tmp_path: Path) -> SqlitePhoneSystem:
    return SqlitePhoneSystem(tmp_path / "calls.db")


@pytest.fixture
def config_file(
    tmp_path: Path,
    phone_system: SqlitePhoneSystem,
    call_logger: RecordingCallLogger,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    file = write_config(tmp_path / "config.yml", phone_system.settings(), call_logger.base_url)
    monkeypatch.setenv("CONFIG_FILE", str(file))
    return file


@pytest.fixture
def app(storage: Storage, config_file: Path) -> LoadedApp:
    """The functions with every part in order."""
    return LoadedApp()


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[..., list[dict[str, Any]]]:
    """The log's events so far, those of one name if it is given; a line that is none fails the test."""
    caplog.set_level(logging.INFO, "cdr")

    def logged(name: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "cdr"]
        return [line for line in lines if name in (None, line["event"])]

    return logged
