"""The whole pipeline: a phone system's database, Azurite, the local host as a process, and the stand-in Call Logger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hosts import Hosts, hosts_between
from tests.functions.conftest import call_logger, storage_account
from tests.functions.surroundings import RecordingCallLogger, Storage
from tests.systems.mariadb import MariaDb
from tests.systems.phone_systems import MariaDbPhoneSystem, SqlitePhoneSystem, SqlPhoneSystem

__all__ = ["call_logger", "storage_account"]


@pytest.fixture
def storage(storage_account: Storage) -> Storage:
    storage_account.clear()
    return storage_account


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


@pytest.fixture
def start_host(tmp_path: Path, storage: Storage, call_logger: RecordingCallLogger) -> Iterator[Hosts]:
    with hosts_between(tmp_path, storage, call_logger) as hosts:
        yield hosts
