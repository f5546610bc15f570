"""Where else an extension's address may come from, and what that needs."""

from __future__ import annotations

from typing import Any

import pytest

from shared.config.extensions import DatabaseExtensions, NoExtensions, XapiExtensions
from tests.support.settings import parse_settings
from tests.unit.shared.config.reading import at, mistakes, read, text_with

FROM = "extension_mapping_from"
CLIENT = {"url": "https://pbx.example.com", "client_id": "a", "client_secret": "b"}


def test_without_it_the_file_is_all_there_is() -> None:
    assert at(parse_settings(text_with(), {}), FROM) == read(FROM, {"source": "none"}) == NoExtensions()


def test_the_database_is_postgresql_unless_it_is_said_otherwise_or_that_of_the_calls() -> None:
    assert read(FROM, {"source": "database"}) == DatabaseExtensions(source="database", select="3cx-v20")
    login = {"host": "pbx", "database": "database_single", "username": "a", "password": "b"}
    database = read(FROM, {"source": "database", "database": login}).database
    assert (database.engine, database.effective_port, database.SETTING) == (
        "postgresql",
        5432,
        "extension_mapping_from.database",
    )


def test_the_rest_api_is_that_of_the_phone_system() -> None:
    text = text_with(("3cx.xapi", CLIENT), (FROM, {"source": "xapi"}))
    assert at(parse_settings(text, {}), FROM) == XapiExtensions(source="xapi")


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ([(FROM, {"source": "xapi"})], "extension_mapping_from: names the REST API, and 3cx.xapi"),
        (
            [("3cx", {"source": "xapi", "xapi": CLIENT}), (FROM, {"source": "database"})],
            "extension_mapping_from: names no database, and there is no 3cx.cdr_database",
        ),
        ([(FROM, {"source": "database", "database": {"database": "x"}})], "extension_mapping_from.database.host: miss"),
        ([(FROM, {"source": "ldap"})], "extension_mapping_from: "),
        ([("3cx.xapi", CLIENT), (FROM, {"source": "xapi", **CLIENT})], "extension_mapping_from.url: unknown key"),
    ],
    ids=["no REST API", "no database", "no server", "no such source", "credentials of its own"],
)
def test_what_it_lacks_is_named(more: list[tuple[str, Any]], mistake: str) -> None:
    assert mistakes(text_with(*more))[0].startswith(mistake)
