"""The whole pipeline: a phone system's database, Azurite, the local host as a process, and the stand-in Call Logger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import azurite
from local.azurite import AzuriteError
from shared.log import EVENTS
from tests.e2e.host_process import HostProcess
from tests.functions.surroundings import SECRETS, RecordingCallLogger, Storage, write_config
from tests.support.requirements import need
from tests.systems import mariadb as mariadb_program
from tests.systems.mariadb import MariaDb
from tests.systems.phone_systems import MariaDbPhoneSystem, SqlitePhoneSystem, SqlPhoneSystem


@pytest.fixture(scope="session")
def storage_account() -> Iterator[Storage]:
    try:
        server = azurite.start()
    except AzuriteError as exc:
        need(str(exc))
    with server:
        storage = Storage(server.connection_string)
        yield storage
        storage.close()


@pytest.fixture
def storage(storage_account: Storage) -> Storage:
    storage_account.clear()
    return storage_account


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    need(mariadb_program.is_installed())
    with mariadb_program.start() as server:
        yield server


@pytest.fixture
def call_logger() -> Iterator[RecordingCallLogger]:
    with RecordingCallLogger() as running:
        yield running


@pytest.fixture
def sqlite_system(tmp_path: Path) -> SqlitePhoneSystem:
    return SqlitePhoneSystem(tmp_path / "calls.db")


@pytest.fixture
def mariadb_system(mariadb: MariaDb) -> MariaDbPhoneSystem:
    return MariaDbPhoneSystem(mariadb)


@pytest.fixture(params=["sqlite", "mariadb"])
def phone_system(request: pytest.FixtureRequest) -> SqlPhoneSystem:
    """Each engine in turn."""
    system: SqlPhoneSystem = request.getfixturevalue(f"{request.param}_system")
    return system


class Hosts:
    """Hosts between one account and one Call Logger, each for a phone system."""

    def __init__(self, folder: Path, storage: Storage, call_logger: RecordingCallLogger) -> None:
        self._folder = folder
        self._storage = storage
        self._call_logger = call_logger
        self._started: list[tuple[HostProcess, SqlPhoneSystem]] = []

    def __call__(
        self,
        system: SqlPhoneSystem,
        *functions: str,
        hasty: bool = False,
        interval_s: int = 5,
        more: str = "",
        **database: Any,
    ) -> HostProcess:
        """Start one, with these functions or all, ``more`` of a configuration, and changed settings of the database."""
        file = write_config(
            self._folder / "config.yml",
            system.settings(**database),
            self._call_logger.base_url,
            interval_s=interval_s,
            more=more,
        )
        environment = {"CONFIG_FILE": str(file), "AzureWebJobsStorage": self._storage.connection_string}
        host = HostProcess(environment, *functions, hasty=hasty)
        self._started.append((host, system))
        return host

    def end(self) -> None:
        """Every host that still runs must end in order, and none may have told what is nobody's business."""
        statuses = [host.end() for host, _ in self._started if host.is_running]
        assert statuses == [0] * len(statuses)
        for host, system in self._started:
            assert {event["event"] for event in host.events} <= EVENTS.keys()
            assert "Traceback" not in host.output
            private = (*SECRETS, mariadb_program.PASSWORD, *numbers_of(system))
            assert not [told for told in private if told in host.output]

    def kill(self) -> None:
        for host, _ in self._started:
            host.kill()
            print(host.output, "\n")  # noqa: T201 - pytest shows it of a test that failed


@contextmanager
def hosts_between(folder: Path, storage: Storage, call_logger: RecordingCallLogger) -> Iterator[Hosts]:
    hosts = Hosts(folder, storage, call_logger)
    try:
        yield hosts
        hosts.end()
    finally:
        hosts.kill()


@pytest.fixture
def start_host(tmp_path: Path, storage: Storage, call_logger: RecordingCallLogger) -> Iterator[Hosts]:
    with hosts_between(tmp_path, storage, call_logger) as hosts:
        yield hosts


def numbers_of(system: SqlPhoneSystem) -> set[str]:
    """Every phone number in the table, as it is written and as bare digits; an extension is none."""
    written = {str(cell) for row in system.sql("SELECT CallerNumber, DestNumber FROM CallLog") for cell in row}
    spelled = written | {re.sub("[^0-9]", "", number) for number in written}
    return {number for number in spelled if len(re.sub("[^0-9]", "", number)) > 5}
