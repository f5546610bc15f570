"""A database that does not do what the configuration asks: one clear line, nothing moved, and the next tick works."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from shared.config.phone_system import CdrDatabase
from tests.functions.loaded_app import ROOT, LoadedApp
from tests.functions.surroundings import SECRETS, write_config
from tests.support.factories import make_raw_row

CALLLOG = (ROOT / "config" / "schemas" / "calllog.sql").read_text()


@pytest.fixture
def polled_once(app, phone_system, storage):
    """A poll has been here before."""
    phone_system.insert(make_raw_row(id=1, call_id="C1"))
    app.tick("poll_cdr")
    assert storage.position == 1
    phone_system.insert(make_raw_row(id=2, call_id="C2"))
    return app


def rename(phone_system, old, new):
    phone_system.sql(f"ALTER TABLE CallLog RENAME {old} TO {new}")


def other_file(phone_system):
    return phone_system.file.with_name("elsewhere.db")


@contextmanager
def locked(phone_system) -> Iterator[None]:
    """Within: a writer keeps everybody out."""
    with closing(sqlite3.connect(phone_system.file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        yield


BREAK_AND_MEND = {
    "file missing": (
        lambda pbx: pbx.file.rename(other_file(pbx)),
        lambda pbx: other_file(pbx).rename(pbx.file),
        "check 3cx.cdr_database.database: the file cannot be opened as an SQLite database",
    ),
    "no database": (
        lambda pbx: (pbx.file.rename(other_file(pbx)), pbx.file.write_text("not a database, but many words " * 50)),
        lambda pbx: other_file(pbx).replace(pbx.file),
        "check 3cx.cdr_database.database: the file cannot be opened as an SQLite database",
    ),
    "table missing": (
        lambda pbx: rename(pbx, "", "CallLogOld"),
        lambda pbx: pbx.sql("ALTER TABLE CallLogOld RENAME TO CallLog"),
        "check 3cx.schema: the SELECT asks for a table or column that is not there",
    ),
    "column missing": (
        lambda pbx: rename(pbx, "DestNumber", "Destination"),
        lambda pbx: rename(pbx, "Destination", "DestNumber"),
        "check 3cx.schema: the SELECT asks for a table or column that is not there",
    ),
}


@pytest.mark.parametrize("wrong", BREAK_AND_MEND)
def test_one_line_names_the_setting_and_the_next_tick_after_mending_goes_on(
    polled_once, phone_system, storage, events, wrong
):
    app, (damage, mend, words) = polled_once, BREAK_AND_MEND[wrong]
    before = len(events())
    damage(phone_system)
    assert app.tick("poll_cdr") is None
    (event,) = events()[before:]
    assert (event["event"], event["error"]) == ("poll.failed", "SourceMisconfigured")
    assert event["reason"].startswith(words)
    assert "\n" not in event["reason"]
    assert (storage.position, storage.depth(), storage.lease_is_free) == (1, 1, True)
    mend(phone_system)
    app.tick("poll_cdr")
    assert (storage.position, storage.depth()) == (2, 2)


def test_a_locked_database_is_waited_for_by_the_next_tick(storage, phone_system, call_logger, config_file, events):
    settings = phone_system.settings(statement_timeout_seconds=1)
    write_config(config_file, settings, call_logger.base_url)
    app = LoadedApp()
    phone_system.insert(make_raw_row(id=1))
    with locked(phone_system):
        app.tick("poll_cdr")
    (event,) = events()
    assert (event["event"], event["error"]) == ("poll.failed", "SourceUnavailable")
    assert "check 3cx.cdr_database" in event["reason"]
    app.tick("poll_cdr")
    assert storage.position == 1


def test_a_server_that_cannot_be_reached_is_named_by_its_setting_without_its_password(
    storage, tmp_path, call_logger, monkeypatch, events
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        database = CdrDatabase(
            engine="mysql", host="127.0.0.1", port=port, database="cdr", username="cdr_reader", password="s3cret-42"
        )
        monkeypatch.setenv("CONFIG_FILE", str(write_config(tmp_path / "c.yml", database, call_logger.base_url)))
        assert LoadedApp().tick("poll_cdr") is None
    (event,) = events()
    assert (event["event"], event["error"]) == ("poll.failed", "SourceUnavailable")
    assert event["reason"].startswith("the database cannot be reached or took too long; check 3cx.cdr_database")
    assert not [secret for secret in ("s3cret-42", *SECRETS) if secret in str(event)]
    assert storage.position is None


@pytest.fixture
def own_schema(tmp_path, storage, config_file):
    """The path of a schema file that the configuration names, and that is not there yet."""
    file = tmp_path / "own.sql"
    config_file.write_text(config_file.read_text().replace("3cx:\n", f"3cx:\n  schema: {file}\n"))
    return file


def test_a_schema_file_is_named_while_it_is_missing_or_wrong_and_read_once_it_is_right(
    storage, phone_system, own_schema, events
):
    app = LoadedApp()
    phone_system.insert(make_raw_row(id=1))
    app.tick("poll_cdr")
    own_schema.write_text(CALLLOG + ";\nDELETE FROM CallLog")
    app.tick("poll_cdr")
    own_schema.write_text(CALLLOG)
    app.tick("poll_cdr")
    assert [event.get("reason") for event in events()] == [
        f"3cx.schema: {own_schema} cannot be read; known names: calllog",
        f"3cx.schema: {own_schema} must be one SELECT and nothing else",
        None,
    ]
    assert storage.position == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            ("AS hangup_cause", "AS why"), "3cx.schema: the SELECT yields no column hangup_cause", id="column not named"
        ),
        pytest.param(
            ("Id           AS id", "CallId AS id"),
            "3cx.schema: the column id must be a whole number, it holds '***17F-7'",
            id="id is text",
        ),
    ],
)
def test_a_schema_that_yields_something_else_is_named(phone_system, own_schema, events, change, reason):
    own_schema.write_text(CALLLOG.replace(*change))
    phone_system.insert(make_raw_row(id=1))
    LoadedApp().tick("poll_cdr")
    assert [event.get("reason") for event in events()] == [reason]
