"""The MariaDB and PostgreSQL servers of the tests are real ones, private, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.requirements import need
from tests.systems import mariadb, postgresql
from tests.systems.mariadb import MariaDb
from tests.systems.postgresql import PostgreSql

Server = MariaDb | PostgreSql


@pytest.fixture(scope="module", params=[mariadb, postgresql], ids=["MariaDB", "PostgreSQL"])
def program(request: pytest.FixtureRequest) -> Any:
    need(request.param.is_installed())
    return request.param


@pytest.fixture(scope="module")
def running(program: Any) -> Iterator[tuple[Server, ExitStack]]:
    """The server, and what ends it."""
    with ExitStack() as end:
        started = end.enter_context(program.start())
        started.sql("CREATE TABLE kept (i int, t varchar(20))")
        started.sql("INSERT INTO kept VALUES (%s, %s)", 7, "Zoë 漢字 😀")
        yield started, end


@pytest.fixture
def server(running: tuple[Server, ExitStack]) -> Server:
    return running[0]


def read(server: Server, sql: str, password: str = mariadb.PASSWORD) -> list[tuple[Any, ...]]:
    """What the reader gets, who is the same in both."""
    dialect = "mysql+pymysql" if isinstance(server, MariaDb) else "postgresql+psycopg"
    url = sa.URL.create(dialect, mariadb.READER, password, server.host, server.port, mariadb.DATABASE)
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def test_who_has_the_password_reads_every_table_and_writes_none(server: Server) -> None:
    assert read(server, "SELECT i, t FROM kept") == [(7, "Zoë 漢字 😀")]
    with pytest.raises(sa.exc.DBAPIError, match="denied"):
        read(server, "INSERT INTO kept VALUES (3, '')")
    with pytest.raises(sa.exc.DBAPIError, match=r"Access denied|password authentication failed"):
        read(server, "SELECT 1", password="wrong")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_committed_is_there_after_a_restart_on_the_same_port(server: Server, end: str) -> None:
    getattr(server, end)()
    with pytest.raises(sa.exc.OperationalError):
        read(server, "SELECT 1")
    server.restart()
    assert read(server, "SELECT i FROM kept") == [(7,)]


def test_at_its_end_nothing_is_left_behind(running: tuple[Server, ExitStack]) -> None:
    """The last test of each: a start takes longer than all the others."""
    server, end = running
    assert server.certificate.exists()
    end.close()
    assert not server.certificate.parent.exists()
    with pytest.raises(sa.exc.OperationalError):
        read(server, "SELECT 1")
