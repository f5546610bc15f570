"""The real servers of the contract tests: each starts once, when the first test asks for it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

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
    MariaDbPhoneSystem,
    MsSqlPhoneSystem,
    PhoneSystem,
    PostgreSqlPhoneSystem,
    SqlitePhoneSystem,
    TwinPhoneSystem,
)
from tests.systems.postgresql import PostgreSql
from tests.systems.storage import Line, Storage

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


@pytest.fixture
def make_phone_system(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], PhoneSystem]:
    """Makes a phone system of a name, with an empty table of calls."""

    def make(name: str) -> PhoneSystem:
        match name:
            case "twin":
                return TwinPhoneSystem()
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
    need(_why_no_azurite())
    with azurite_program.start() as storage:
        yield storage


@pytest.fixture(scope="session")
def storage(azurite: Azurite) -> Storage:
    return Storage(azurite)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """The line to storage, sound until a test breaks it. Second tries follow at once."""
    line = Line(HTTPAdapter.send)

    def send(adapter: HTTPAdapter, request: PreparedRequest, **options: Any) -> Response:
        return line.send(adapter, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    monkeypatch.setattr("azure.core.pipeline.transport.HttpTransport.sleep", lambda *_: None)
    return line


@pytest.fixture
def no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage clients made in this test give up at the first failure."""
    monkeypatch.setattr("cdr.edges.storage.account.PATIENCE", {"retry_total": 0})


def _why_no_azurite() -> str | None:
    try:
        azurite_program._program()
    except AzuriteError as exc:
        return str(exc)
    return None
