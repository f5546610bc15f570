"""The PostgreSQL server of the tests is a real one, private, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.requirements import need
from tests.systems import postgresql as program
from tests.systems.postgresql import PostgreSql


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    need(program.is_installed())
    with program.start() as running:
        yield running


def as_reader(server: PostgreSql, **changes: str) -> psycopg.Connection[tuple[object, ...]]:
    login = {"user": program.READER, "password": program.PASSWORD, "dbname": program.DATABASE}
    return psycopg.connect(host="localhost", port=server.port, **(login | changes))


def test_the_reader_reads_every_table_and_writes_none(server: PostgreSql) -> None:
    server.sql("CREATE TABLE seen (i int)")
    server.insert("seen", "i", [(1,), (2,)])
    with as_reader(server) as connection:
        assert connection.execute("SELECT i FROM seen").fetchall() == [(1,), (2,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO seen VALUES (3)")


def test_passwords_are_checked(server: PostgreSql) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        as_reader(server, password="wrong")


def test_it_speaks_tls_with_its_own_certificate(server: PostgreSql) -> None:
    with as_reader(server, sslmode="verify-full", sslrootcert=str(server.certificate)) as connection:
        assert connection.pgconn.ssl_in_use
    with as_reader(server, sslmode="disable") as connection:
        assert not connection.pgconn.ssl_in_use


@pytest.mark.parametrize("end", [PostgreSql.stop, PostgreSql.kill])
def test_what_was_committed_is_there_after_a_restart_on_the_same_port(server: PostgreSql, end: object) -> None:
    server.sql("DROP TABLE IF EXISTS kept")
    server.sql("CREATE TABLE kept (i int)")
    server.sql("INSERT INTO kept VALUES (%s)", 7)
    port = server.port
    end(server)
    with pytest.raises(psycopg.OperationalError):
        as_reader(server)
    server.restart()
    assert server.port == port
    assert server.sql("SELECT i FROM kept") == [(7,)]


def test_nothing_is_left_behind() -> None:
    need(program.is_installed())
    with program.start() as running:
        folder = Path(running.certificate).parent
        process = running._process
    assert not folder.exists()
    assert process.poll() is not None
