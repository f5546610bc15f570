"""The outside systems as fixtures, for every folder: each server starts once, when the first test asks for it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local import azurite as azurite_program
from local.azurite import Azurite, AzuriteError
from tests.support.requirements import need
from tests.systems import mariadb as mariadb_program
from tests.systems import mssql as mssql_program
from tests.systems import postgresql as postgresql_program
from tests.systems.mariadb import MariaDb
from tests.systems.mssql import MsSql
from tests.systems.odbc import FREETDS, MICROSOFT, odbc_environment, why_unavailable
from tests.systems.phone_systems import (
    FakePhoneSystem,
    MariaDbPhoneSystem,
    MsSqlPhoneSystem,
    PhoneSystem,
    PostgreSqlPhoneSystem,
    SqlitePhoneSystem,
)
from tests.systems.postgresql import PostgreSql
from tests.systems.storage import NEVER_AGAIN, Line, Storage

# Here and not in a fixture: unixODBC may read its files only once, so this must be before anybody imports pyodbc.
_odbc_files = tempfile.TemporaryDirectory(prefix="odbc-")
os.environ.update(odbc_environment(Path(_odbc_files.name)))


def pytest_unconfigure() -> None:
    _odbc_files.cleanup()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    need(mariadb_program.is_installed())
    with mariadb_program.start() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    need(postgresql_program.is_installed())
    with postgresql_program.start() as server:
        yield server


@pytest.fixture(scope="session")
def mssql() -> Iterator[MsSql]:
    need(mssql_program.is_installed())
    with mssql_program.start() as server:
        yield server


MakePhoneSystem = Callable[[str], PhoneSystem]


@pytest.fixture
def make_phone_system(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakePhoneSystem:
    """Makes a phone system of a name, with an empty table of calls."""

    def make(name: str) -> PhoneSystem:
        match name:
            case "fake":
                return FakePhoneSystem()
            case "sqlite":
                return SqlitePhoneSystem(tmp_path / "pbx.db")
            case "mariadb":
                return MariaDbPhoneSystem(request.getfixturevalue("mariadb"))
            case "postgresql":
                return PostgreSqlPhoneSystem(request.getfixturevalue("postgresql"))
        driver = {"mssql-freetds": FREETDS, "mssql-microsoft": MICROSOFT}[name]
        need(why_unavailable(driver))
        import pyodbc

        monkeypatch.setattr(pyodbc, "drivers", lambda: [driver])
        return MsSqlPhoneSystem(request.getfixturevalue("mssql"))

    return make


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    try:
        server = azurite_program.start()
    except AzuriteError as exc:
        need(str(exc))
    with server:
        yield server


@pytest.fixture(scope="session")
def storage(azurite: Azurite) -> Storage:
    return Storage(azurite)


@pytest.fixture
def line(storage: Storage) -> Iterator[Line]:
    """The line to storage, sound until a test breaks it."""
    yield storage.line
    storage.line.forget()


@pytest.fixture
def no_second_try(storage: Storage) -> Iterator[None]:
    """The account gives up at the first failure."""
    usual, storage.account = storage.account, storage.account_with(NEVER_AGAIN)
    yield
    storage.account = usual
