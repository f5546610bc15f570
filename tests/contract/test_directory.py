"""What every Directory does: 3CX's own tables, tables of one's own on three databases, and 3CX's REST API."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.sql.directory import SqlDirectory
from cdr.edges.xapi.directory import XapiDirectory
from cdr.submission.directory import PhoneBook
from cdr.submission.ports import Directory
from shared.config.extensions import ExtensionDatabase
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.systems import mariadb as mariadb_program
from tests.systems import postgresql as postgresql_program
from tests.systems import xapi
from tests.systems.mariadb import MariaDb
from tests.systems.postgresql import PostgreSql
from tests.systems.switchboards import failure_of, xapi_client
from tests.systems.xapi import Fault, Xapi

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = [("0101", "zero@example.com", True), ("102", "ada@example.com", False), ("103", "", True), ("104", None, True)]
"""Extension, address, and whether it is enabled."""
EXPECTED = PhoneBook.of((extension, address) for extension, address, _ in PEOPLE)
OWN_TABLE = "CREATE TABLE people (ext VARCHAR(20), mail VARCHAR(255))"
OWN_SELECT = "SELECT ext AS Extension, mail AS EMAIL FROM people"
ENDLESS = """
SELECT n.i AS extension, '' AS email FROM (
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000) SELECT i FROM n
) AS n
"""
SECRET = "hunter2-is-the-password"


@pytest.fixture
def pbx(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as server:
        server.users = [
            {"Id": n, "Number": number, "EmailAddress": address, "Enabled": enabled}
            for n, (number, address, enabled) in enumerate(PEOPLE)
        ] + [{"Id": 99, "FirstName": "Nobody's"}]
        yield server


@pytest.fixture
def postgres(postgresql: PostgreSql) -> Iterator[PostgreSql]:
    """With 3CX's own tables, and everybody in them."""
    postgresql.sql("DROP TABLE IF EXISTS ringgroup2dn, ringgroup, queue2dn, queue, users, extension, dn")
    postgresql.sql("""
        CREATE TABLE dn (iddn integer PRIMARY KEY, value varchar(50) NOT NULL);
        CREATE TABLE extension (fkiddn integer PRIMARY KEY REFERENCES dn, enabled boolean);
        CREATE TABLE users (iduser integer PRIMARY KEY, fkidextension integer UNIQUE REFERENCES dn);
        CREATE TABLE voicemail (fkiduser integer REFERENCES users, email varchar(255));
    """)
    for iddn, (number, address, enabled) in enumerate(PEOPLE, start=17):
        postgresql.insert("dn", "iddn, value", [(iddn, number)])
        postgresql.insert("users", "iduser, fkidextension", [(iddn + 100, iddn)])
        postgresql.insert("extension", "fkiddn, enabled", [(iddn, enabled)])
        if address is not None:
            postgresql.insert("voicemail", "fkiduser, email", [(iddn + 100, address)])
    postgresql.insert("dn", "iddn, value", [(50, "800")])  # a queue: nobody's
    yield postgresql
    postgresql.sql("DROP TABLE voicemail, users, extension, dn")


def server_settings(engine: str, server: PostgreSql | MariaDb, **changes: Any) -> ExtensionDatabase:
    program = postgresql_program if engine == "postgresql" else mariadb_program
    login = {"username": program.READER, "password": program.PASSWORD, "database": program.DATABASE}
    where = {"engine": engine, "host": server.host, "port": server.port, "trust_server_certificate": True}
    return ExtensionDatabase(**where | login | changes)


@pytest.fixture
def own_select(tmp_path: Path) -> Path:
    (tmp_path / "people.sql").write_text(f"-- mine\n{OWN_SELECT};\n")
    return tmp_path


def own_on_sqlite(folder: Path) -> SqlDirectory:
    with closing(sqlite3.connect(folder / "people.db")) as connection, connection:
        connection.execute(OWN_TABLE)
        connection.executemany("INSERT INTO people VALUES (?, ?)", [person[:2] for person in PEOPLE])
    database = ExtensionDatabase(engine="sqlite", database=str(folder / "people.db"))
    return SqlDirectory(database, "people.sql", folder)


def own_on_mariadb(folder: Path, server: MariaDb) -> SqlDirectory:
    server.sql("DROP TABLE IF EXISTS people")
    server.sql(OWN_TABLE)
    for person in PEOPLE:
        server.sql("INSERT INTO people VALUES (%s, %s)", *person[:2])
    return SqlDirectory(server_settings("mysql", server), "people.sql", folder)


@pytest.mark.parametrize("kind", ["xapi", "3cx-v20 on postgresql", "own on sqlite", "own on mariadb"])
def test_it_lists_everybody_also_who_is_disabled_and_what_is_missing(
    request: pytest.FixtureRequest, own_select: Path, kind: str
) -> None:
    server = request.getfixturevalue
    kinds: dict[str, Callable[[], Directory]] = {
        "xapi": lambda: XapiDirectory(xapi_client(server("pbx"))),
        "3cx-v20 on postgresql": lambda: SqlDirectory(
            server_settings("postgresql", server("postgres")), "3cx-v20", ROOT
        ),
        "own on sqlite": lambda: own_on_sqlite(own_select),
        "own on mariadb": lambda: own_on_mariadb(own_select, server("mariadb")),
    }
    directory = kinds[kind]()
    assert directory.phone_book() == directory.phone_book() == EXPECTED
    assert EXPECTED.problems.keys() == {"103", "104"}


def test_a_rest_api_that_fails_halfway_tells_nothing(pbx: Xapi) -> None:
    pbx.fail_next("data", Fault(500))
    failure_of(XapiDirectory(xapi_client(pbx)).phone_book, SourceUnavailable)


def test_numbers_are_extensions_without_a_point(own_select: Path) -> None:
    directory = own_on_sqlite(own_select)
    (own_select / "people.sql").write_text("SELECT 101.0 AS extension, 'a@example.com' AS email")
    assert directory.phone_book() == PhoneBook({"101": "a@example.com"})


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (None, "people.sql cannot be read"),
        ("DELETE FROM people", "must be one SELECT"),
        ("SELECT ext AS extension FROM people", "yields no column email"),
        ("SELECT ext AS extension, moon AS email FROM people", "moon"),
        (ENDLESS, "more than 50000 rows"),
    ],
    ids=["no file", "no SELECT", "no column", "no such column", "no end"],
)
def test_what_is_wrong_with_the_select_names_the_setting_and_can_be_mended(
    own_select: Path, select: str | None, words: str
) -> None:
    directory, file = own_on_sqlite(own_select), own_select / "people.sql"
    file.write_text(select) if select else file.unlink()
    with pytest.raises(SourceMisconfigured, match=r"extension_mapping_from\.select") as refused:
        directory.phone_book()
    assert words in str(refused.value)
    file.write_text(OWN_SELECT)
    assert directory.phone_book() == EXPECTED


def test_a_wrong_password_names_the_settings_of_the_login_and_not_the_secret(postgres: PostgreSql) -> None:
    directory = SqlDirectory(server_settings("postgresql", postgres, password=SECRET), "3cx-v20", ROOT)
    with pytest.raises(
        SourceMisconfigured, match=r"extension_mapping_from\.database\.username and password"
    ) as refused:
        directory.phone_book()
    assert SECRET not in str(refused.value)


def test_a_server_that_is_not_there_is_unavailable(own_select: Path) -> None:
    away = ExtensionDatabase(host="127.0.0.1", port=1, database="x", username="x", password="x")
    with pytest.raises(SourceUnavailable, match=r"extension_mapping_from\.database"):
        SqlDirectory(away, "people.sql", own_select).phone_book()
