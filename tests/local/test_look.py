"""A look before anything is sent, as the terminal shows it."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local import call_logger
from local.look.__main__ import ROOT, main
from tests.support.factories import OUTSIDE, make_raw_row
from tests.systems.phone_systems import SqlitePhoneSystem

SECRETS = ("s3cret-of-the-api", "s3cret-of-the-webhook", "s3cret-of-the-account")
CONFIG = """
3cx: {{cdr_database: {{engine: sqlite, database: "${{CDR_DB_NAME}}"}}}}
api: {{base_url: "${{API_BASE_URL}}", auth: {{type: bearer, token: s3cret-of-the-api}}}}
business_hours: {{monday: {{start: "8:00", end: "17:00"}}}}
call_groups:
  members: {{source: static}}
  notify: [{{type: teams, url: "https://hooks.example/?sig=s3cret-of-the-webhook"}}]
  monitored_groups: [{{id: 800, name: Sales, members: [101]}}]
extension_mapping: {{101: alice@example.com}}
extension_mapping_from: {{source: database, select: people.sql, database: {{engine: sqlite, database: "{people}"}}}}
{more}
"""
ACCOUNT = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=s3cret-of-the-account;TableEndpoint=nowhere"

Look = Callable[..., tuple[int, str]]


@pytest.fixture
def pbx(tmp_path: Path) -> SqlitePhoneSystem:
    return SqlitePhoneSystem(tmp_path / "pbx.db")


@pytest.fixture
def project(tmp_path: Path, pbx: SqlitePhoneSystem) -> Path:
    """A copy of what is looked at of this project, with settings of one's own, and people."""
    shutil.copytree(ROOT / "config" / "schemas", tmp_path / "config" / "schemas")
    people = tmp_path / "people.db"
    with closing(sqlite3.connect(people)) as connection, connection:
        connection.execute("CREATE TABLE people (extension, email)")
        rows = [("102", "bob.with.quite.a.long.name@example.com"), ("103", None)]
        connection.executemany("INSERT INTO people VALUES (?, ?)", rows)
    (tmp_path / "people.sql").write_text("SELECT extension, email FROM people")
    write_config(tmp_path)
    values = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "CDR_DB_NAME": str(pbx.file)}
    write_settings(tmp_path, **values, API_BASE_URL="http://127.0.0.1:9/api")
    return tmp_path


def write_config(project: Path, more: str = "") -> None:
    text = CONFIG.format(people=project / "people.db", more=more)
    (project / "config" / "3cx-config.yml").write_text(text)


def write_settings(project: Path, **values: str) -> None:
    (project / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))


@pytest.fixture
def look(project: Path, capsys: pytest.CaptureFixture[str]) -> Look:
    """Its status and what it shows, of which no line is too long and none tells a secret."""

    def look(*arguments: str) -> tuple[int, str]:
        status = main(list(arguments), project)
        shown = capsys.readouterr()
        assert max(map(len, shown.out.splitlines()), default=0) <= 100
        assert not [secret for secret in SECRETS if secret in shown.out + shown.err]
        return status, shown.out + shown.err

    return look


def insert(pbx: SqlitePhoneSystem, **changed: Any) -> None:
    ended_at = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(minutes=3)
    times = {"ended_at": ended_at, "started_at": ended_at - timedelta(seconds=95)}
    pbx.insert(make_raw_row(**times | {"answered": 1} | changed))


def test_the_newest_calls_are_a_table_with_the_rules_that_decided(look: Look, pbx: SqlitePhoneSystem) -> None:
    insert(pbx, id=1, ended_at=datetime.fromisoformat("2026-11-22 10:01:30"), started_at=None)
    insert(pbx, id=2, extension="102", call_group_id=None)
    insert(pbx, id=3, extension="103")
    insert(pbx, id=4, answered=0)
    insert(pbx, id=5, duration_s=-1, ended_at=None)
    status, shown = look("preview")
    lines = shown.splitlines()
    assert (status, lines[0]) == (
        0,
        "The newest calls of the source calllog, as they would be submitted. Nothing is sent.",
    )
    assert lines[1].startswith("Addresses from database ")
    assert "2026-11-22 10:01:30 submitted inbound  ***42           0:01:30 101    alice@example.com" in lines
    assert [word in shown for word in ("bob.with.quite.a.long.…", "bob.with.quite.a.long.name@example.com")] == [
        True,
        True,
    ]
    assert [line.split()[2:] for line in lines if line[:2] == "20"][:2] == [
        ["skipped", "unanswered"],
        ["rejected", "unmapped_extension"],
    ]
    flowing = " ".join(shown.split())
    assert "people.db: 1" in flowing
    assert "and has no e-mail address in the phone system; owner: 103 is the record's extension" in flowing
    assert "address: from extension_mapping; direction: from outside, by call_type 0; group: none" in flowing


def test_numbers_are_shown_on_demand_and_as_many_calls_as_are_asked_for(look: Look, pbx: SqlitePhoneSystem) -> None:
    for n in range(1, 30):
        insert(pbx, id=n)
    assert look("preview")[1].count("submitted inbound") == 20
    shown = look("preview", "--limit", "3", "--reveal")[1]
    assert shown.count("19075550142") == 3
    assert OUTSIDE[-8:] not in look("preview")[1]


def test_without_calls_and_with_a_phone_system_that_does_not_tell_a_preview_says_so(
    look: Look, pbx: SqlitePhoneSystem, project: Path
) -> None:
    (project / "people.sql").unlink()
    status, shown = look("preview")
    assert (status, "There is no call that is over." in shown) == (0, True)
    assert "none: SourceMisconfigured: extension_mapping_from.select: people.sql cannot be read" in " ".join(
        shown.split()
    )
    insert(pbx, extension="102")
    assert "waits     unmapped_extension" in look("preview")[1]
    pbx.sql("DROP TABLE CallLog")
    status, shown = look("preview")
    assert (status, "no such table" in shown, "dev.py check-config" in shown) == (1, True, True)


def test_a_setup_in_which_everything_is_right_says_what_it_found(
    look: Look, pbx: SqlitePhoneSystem, project: Path
) -> None:
    insert(pbx)
    with call_logger.start(credential=call_logger.Credential.bearer("s3cret-of-the-api")) as running:
        write_settings(
            project,
            AzureWebJobsStorage="UseDevelopmentStorage=true",
            CDR_DB_NAME=str(pbx.file),
            API_BASE_URL=running.base_url,
        )
        status, shown = look("check-config")
    heads = {line[:14].strip(): line[14:24].strip() for line in shown.splitlines() if line[:14].strip()}
    assert (status, heads) == (
        0,
        {
            "configuration": "fine",
            "phone system": "fine",
            "storage": "not tried",
            "Call Logger": "fine",
            "extensions": "look",
            "call groups": "fine",
            "alerts": "fine",
            "webhooks": "not tried",
        },
    )
    assert "source calllog: SQLite 3." in shown
    assert "3 minutes ago" in shown
    assert "extension 103 has no e-mail address in the phone system" in shown


def test_what_is_wrong_is_said_with_what_to_do_about_it(look: Look, pbx: SqlitePhoneSystem, project: Path) -> None:
    pbx.sql("ALTER TABLE CallLog RENAME TO cdroutput")
    write_settings(
        project, AzureWebJobsStorage=ACCOUNT, CDR_DB_NAME=str(pbx.file), API_BASE_URL="http://127.0.0.1:9/api"
    )
    status, shown = look("check-config")
    flowing = " ".join(shown.split())
    assert status == 1
    assert "phone system wrong source calllog: SQLite" in flowing
    assert "→ there is cdroutput: set 3cx.source to v20" in flowing
    assert "Call Logger wrong the API was not reached" in flowing
    assert "→ check api.base_url" in flowing
    assert "storage wrong" in flowing


@pytest.mark.parametrize("command", ["preview", "check-config"])
def test_every_mistake_of_the_configuration_is_named_and_nothing_is_tried(
    look: Look, project: Path, command: str
) -> None:
    write_config(project, "calls: {phone_format: wrong}\nunknown_section: {}\n")
    (project / "local.settings.json").unlink()
    status, shown = look(command)
    assert status == 1
    named = ("3cx.cdr_database.database: missing", "api.base_url: missing", "calls.phone_format", "unknown_section")
    assert [name for name in named if name not in " ".join(shown.split())] == []
    assert "there is no local.settings.json: copy local.settings.example.json" in shown
    assert not re.search("^phone system", shown, re.MULTILINE)


def test_settings_that_cannot_be_read_are_one_line(look: Look, project: Path) -> None:
    (project / "local.settings.json").write_text("{")
    status, shown = look("preview")
    assert (status, shown.startswith("local.look: local.settings.json is no valid JSON")) == (1, True)


def test_what_goes_to_the_log_elsewhere_does_not_disturb_the_terminal(look: Look, pbx: SqlitePhoneSystem) -> None:
    logging.getLogger("cdr").setLevel(logging.INFO)
    insert(pbx)
    assert '{"event"' not in look("preview")[1]
