"""Extension to e-mail address as phone systems have it: from 3CX's REST API and from its database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdr.edges.xapi.directory import XapiDirectory
from cdr.submission.directory import PhoneBook
from shared.clock import HandMovedClock
from shared.errors import SourceUnavailable
from tests.systems import xapi
from tests.systems.postgresql import PostgreSql
from tests.systems.switchboards import failure_of, xapi_client
from tests.systems.xapi import Fault

SELECT = Path(__file__).resolve().parents[2] / "config" / "directory" / "3cx-v20.sql"
PEOPLE = [("0101", "zero@example.com", True), ("102", "ada@example.com", False), ("103", "", True), ("104", None, True)]
"""Extension, address, and whether it is enabled."""
EXPECTED = PhoneBook.of((extension, address) for extension, address, _ in PEOPLE)


def test_the_rest_api_lists_everybody_also_who_is_disabled_and_what_is_missing(clock: HandMovedClock) -> None:
    with xapi.start(clock) as server:
        server.users = [
            {"Id": n, "Number": number, "EmailAddress": address, "Enabled": enabled}
            for n, (number, address, enabled) in enumerate(PEOPLE)
        ] + [{"Id": 99, "FirstName": "Nobody's"}]
        directory = XapiDirectory(xapi_client(server))
        assert directory.phone_book() == EXPECTED
        assert EXPECTED.problems.keys() == {"103", "104"}
        server.fail_next("data", Fault(500))
        failure_of(directory.phone_book, SourceUnavailable)


@pytest.mark.usefixtures("_tables")
def test_the_select_for_the_database_lists_the_same(postgresql: PostgreSql) -> None:
    for iddn, (number, address, enabled) in enumerate(PEOPLE, start=17):
        postgresql.insert("dn", "iddn, value", [(iddn, number)])
        postgresql.insert("users", "iduser, fkidextension", [(iddn + 100, iddn)])
        postgresql.insert("extension", "fkiddn, enabled", [(iddn, enabled)])
        if address is not None:
            postgresql.insert("voicemail", "fkiduser, email", [(iddn + 100, address)])
    postgresql.insert("dn", "iddn, value", [(50, "800")])  # a queue: nobody's
    assert PhoneBook.of(postgresql.sql(SELECT.read_text())) == EXPECTED


@pytest.fixture
def _tables(postgresql: PostgreSql) -> Iterator[None]:
    postgresql.sql("DROP TABLE IF EXISTS ringgroup2dn, ringgroup, queue2dn, queue, users, extension, dn")
    postgresql.sql("""
        CREATE TABLE dn (iddn integer PRIMARY KEY, value varchar(50) NOT NULL);
        CREATE TABLE extension (fkiddn integer PRIMARY KEY REFERENCES dn, enabled boolean);
        CREATE TABLE users (iduser integer PRIMARY KEY, fkidextension integer UNIQUE REFERENCES dn);
        CREATE TABLE voicemail (fkiduser integer REFERENCES users, email varchar(255));
    """)
    yield
    postgresql.sql("DROP TABLE voicemail, users, extension, dn")
