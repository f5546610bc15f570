"""Each function once through, called as the worker does, between real parts. What it decides is tested below."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cdr.calls.message import Message
from cdr.edges.storage.account import StorageAccount
from cdr.wiring.parts import Parts
from cdr.wiring.ports import POISON_QUEUE
from local.call_logger.faults import Fault, FaultKind
from shared.clock import SystemClock
from tests.fakes.clock import HandMovedClock
from tests.functions.group_surroundings import Members, clear_groups, with_groups
from tests.functions.loaded_app import ROOT, LoadedApp
from tests.functions.surroundings import SECRETS, TOKEN, RecordingCallLogger, Storage
from tests.support.factories import OUTSIDE, make_message, make_raw_row, make_record
from tests.systems.phone_systems import SqlitePhoneSystem
from tests.systems.storage import Line

PLAIN = "0000017F-7-7"
"""The plain row's pbxCallId."""

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = {"from": "2026-11-22", "to": "2026-11-22"}
BROKEN = "calls: {phone_format: wrong}\nunknown_section: {}\n"
HTTP_FUNCTIONS = {
    "health": ("GET", {}),
    "status": ("GET", {}),
    "openapi": ("GET", {}),
    "rejected": ("GET", {}),
    "calls": ("GET", {"call": "C-1"}),
    "preview": ("GET", {}),
    "reconcile": ("GET", DAY),
    "trigger_poll": ("POST", {}),
    "trigger_start_over": ("POST", {"from": "now"}),
    "trigger_alerts": ("POST", {}),
    "trigger_replay": ("POST", {"all": "true"}),
    "trigger_reconcile": ("POST", DAY),
}

Events = Callable[..., list[dict[str, Any]]]


def names(events: Events) -> list[str]:
    return [event["event"] for event in events()]


@pytest.fixture
def broken(storage: Storage, config_file: Path) -> LoadedApp:
    """The functions with two mistakes in their configuration."""
    config_file.write_text(config_file.read_text() + BROKEN)
    return LoadedApp()


# Timers


def test_poll_cdr_queues_calls_that_ended_and_says_in_one_line_how_it_failed(
    app: LoadedApp, phone_system: SqlitePhoneSystem, storage: Storage, events: Events
) -> None:
    app.run_by(HandMovedClock(NOON), dict(os.environ))
    phone_system.insert(*(make_raw_row(id=n, call_id=f"C{n}", ended_at=None if n == 2 else NOON) for n in (1, 2, 3)))
    assert app.tick("poll_cdr") is None
    assert sorted(json.loads(text)["row"]["call_id"] for text in storage.take()) == ["C1", "C3"]
    phone_system.sql("ALTER TABLE CallLog RENAME TO Elsewhere")
    assert app.tick("poll_cdr") is None
    phone_system.sql("ALTER TABLE Elsewhere RENAME TO CallLog")
    phone_system.sql("UPDATE CallLog SET EndTime = '2026-11-22 10:05:00' WHERE Id = 2")
    app.tick("poll_cdr")
    assert [json.loads(text)["row"]["id"] for text in storage.take()] == [2]
    failed, mended = ["source.vanished", "poll.failed"], ["source.recovered", "poll.finished"]
    assert names(events) == ["poll.finished", *failed, *mended]
    assert events("poll.failed")[0]["reason"].startswith("check 3cx.schema: ")
    waiting = [(line["queue_depth"], line["poison_depth"], line["lag_s"]) for line in events("poll.finished")]
    assert waiting == [(2, 0, 0), (1, 0, 0)]
    assert (storage.position, storage.lease_is_free) == (3, True)


def test_check_call_groups_raises_an_alert_tells_of_it_and_resolves_it(
    storage: Storage, config_file: Path, call_logger: RecordingCallLogger, tmp_path: Path, events: Events
) -> None:
    clear_groups(storage)
    members, clock = Members(tmp_path), HandMovedClock(NOON)
    members.put("800", e101=True)
    config_file.write_text(with_groups(config_file.read_text(), members))
    app = LoadedApp()
    app.run_by(clock, dict(os.environ))
    for available, active in ((True, []), (False, [True]), (False, [True]), (True, [False])):
        members.put("801", e103=available)
        assert app.tick("check_call_groups") is None
        assert [alert["isActive"] for alert in call_logger.alerts] == active
        clock.move(timedelta(minutes=5))
    assert [event["group"] for name in ("alert.raised", "alert.resolved") for event in events(name)] == ["801"] * 2
    members.select.unlink()
    restarted = LoadedApp()
    restarted.run_by(clock, dict(os.environ))
    assert restarted.tick("check_call_groups") is None
    assert "call_groups.members.select" in events("groups.unknown")[0]["reason"]
    states = {group["id"]: group["state"] for group in restarted.status["monitored_groups"]}
    assert states == {"800": "unknown", "801": "unknown"}


def test_learn_extensions_brings_the_calls_of_a_new_extension_back_without_a_deployment(
    storage: Storage,
    config_file: Path,
    phone_system: SqlitePhoneSystem,
    call_logger: RecordingCallLogger,
    events: Events,
) -> None:
    phone_system.sql("CREATE TABLE people (extension, email)")
    phone_system.sql("INSERT INTO people VALUES ('101', 'other@example.com'), ('103', NULL)")
    select = config_file.with_name("people.sql")
    select.write_text("SELECT extension, email FROM people")
    asked = f"extension_mapping_from: {{source: database, select: {select}}}\n"
    config_file.write_text(config_file.read_text() + asked)
    clock, app = HandMovedClock(NOON), LoadedApp()
    app.run_by(clock, dict(os.environ))
    app.deliver("submit_call", make_message(id=1, extension="103"))
    assert (storage.states(), storage.depth()) == (["claimed"], 1), "nobody knows yet whose it is"
    assert app.tick("learn_extensions") is None
    clock.move(timedelta(minutes=1))
    app.deliver("submit_call", make_message(id=1, extension="103"))
    assert "103 has no address in extension_mapping, and has no e-mail address" in storage.ledger()[0].detail
    phone_system.sql("UPDATE people SET email = 'carol@example.com' WHERE extension = '103'")
    clock.move(timedelta(minutes=15))
    app.tick("learn_extensions")
    app.submit_all(storage)
    assert [body["callOwnerEmail"] for body in call_logger.bodies] == ["carol@example.com"]
    assert [event["queued"] for event in events("extensions.learned")] == [1]
    assert [event["problems"] for event in events("directory.problems")] == [
        ["extension 103 has no e-mail address in the phone system"]
    ]
    extensions = app.status["extensions"]
    assert (extensions["in_file"], extensions["elsewhere"], extensions["phone_book"]["age_seconds"]) == (3, 1, 0)


@pytest.mark.parametrize(("days", "left"), [(89, 3), (91, 1), (366, 0)])
def test_clean_ledger_removes_what_is_older_than_the_configuration_says(
    app: LoadedApp, storage: Storage, days: int, left: int
) -> None:
    for n, row in enumerate(({}, {"answered": 0}, {"extension": "199"})):
        app.deliver("submit_call", make_message(id=n, **row))
    app.run_by(HandMovedClock(datetime.now(UTC) + timedelta(days=days)), dict(os.environ))
    assert app.tick("clean_ledger") is None
    assert len(storage.ledger()) == left


def test_reconcile_calls_queues_what_is_missing_of_the_last_days_unless_it_is_switched_off(
    storage: Storage, phone_system: SqlitePhoneSystem, config_file: Path, events: Events
) -> None:
    app = LoadedApp()
    phone_system.insert(make_raw_row(ended_at=datetime.now(UTC)))
    app.tick("poll_cdr")
    list(storage.take())
    config_file.write_text(config_file.read_text() + "reconcile: {every: never}\n")
    assert LoadedApp().tick("reconcile_calls") is None
    assert (storage.depth(), events("reconcile.finished")) == (0, [])
    assert app.tick("reconcile_calls") is None
    assert (storage.depth(), events("reconcile.finished")[0]["missing"]) == (1, 1)


@pytest.mark.parametrize("timer", ["poll_cdr", "check_call_groups", "learn_extensions", "reconcile_calls"])
def test_a_timer_with_a_broken_configuration_says_every_mistake_and_does_nothing(
    broken: LoadedApp, storage: Storage, events: Events, timer: str
) -> None:
    assert broken.tick(timer) is None
    (event,) = events()
    assert (event["event"], event["count"]) == ("config.invalid", 2)
    assert [mistake.split(":")[0] for mistake in event["mistakes"]] == ["calls.phone_format", "unknown_section"]
    assert storage.position is None


# Queues


def test_submit_call_brings_a_call_to_the_call_logger_once_and_settles_it(
    app: LoadedApp, call_logger: RecordingCallLogger, storage: Storage
) -> None:
    for deliveries in (1, 2):
        assert app.deliver("submit_call", make_message(), deliveries) is None
    assert call_logger.bodies == [
        {
            "phoneNumber": "19075550142",
            "callDuration": 90,
            "callOwnerExtension": "101",
            "callOwnerEmail": "alice@example.com",
            "callDirection": "INBOUND",
            "callGroupId": None,
            "timestamp": "2026-11-22T10:01:30.000Z",
            "pbxCallId": PLAIN,
        }
    ]
    assert call_logger.faults.requests == 1
    (record,) = storage.ledger()
    assert (record.name, record.row_id, record.state, record.reason) == (PLAIN, "7", "submitted", "created")


def test_submit_call_knows_how_often_a_message_was_delivered(app: LoadedApp, storage: Storage) -> None:
    assert app.deliver("submit_call", make_message(), 3) is None
    assert (storage.depth(), storage.ledger()) == (1, []), "sent apart"


GARBAGE: dict[str, tuple[str | bytes, str]] = {
    "text": ("good day", "good day"),
    "not in Base64": (b"good day", "good day"),
    "another version": (b'{"version": 3}', '{"version": 3}'),
    "empty": (b"", ""),
    "no text": (b"\xff\xfe", "��"),
    "longer than there is room": (b"x" * 65_536, "x" * 60_000),
}


@pytest.mark.parametrize(("body", "text"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_kept_in_the_ledger_with_its_text(
    app: LoadedApp, storage: Storage, body: str | bytes, text: str
) -> None:
    for function, reason in (("submit_call", "invalid_message"), ("keep_poisoned", "gave_up")):
        assert app.deliver(function, body) is None
        assert [(found.state, found.reason, found.message) for found in storage.ledger()] == [
            ("rejected", reason, text)
        ]
    assert storage.depth() == 0


def test_while_the_api_refuses_us_the_message_goes_back_to_the_queue(
    app: LoadedApp, call_logger: RecordingCallLogger, storage: Storage, events: Events
) -> None:
    call_logger.faults.stand(Fault(kind=FaultKind.ANSWER, status=401))
    assert app.deliver("submit_call", make_message()) is None
    assert (storage.depth(), storage.states()) == (1, ["claimed"])
    assert names(events) == ["api.denied", "call.put_back"]
    assert TOKEN not in json.dumps(events())


def test_while_storage_does_not_tell_what_time_it_is_messages_wait_and_none_is_given_up(
    app: LoadedApp, storage: Storage, events: Events
) -> None:
    timeless = StorageAccount(os.environ, transport=Line(), clock=SystemClock())  # whose Date nobody hears
    app.module.parts = Parts(os.environ, ROOT, account=timeless)
    assert app.deliver("submit_call", make_message(), 9) is None
    assert (storage.depth(), storage.ledger()) == (1, [])
    assert [(event["event"], "does not tell the time" in event["reason"]) for event in events()] == [
        ("storage.failed", True)
    ]


def test_keep_poisoned_records_what_the_host_gave_up_on_unless_the_api_has_it(
    app: LoadedApp, storage: Storage, events: Events
) -> None:
    app.deliver("submit_call", make_message(id=8))
    for row_id in (7, 8):
        assert app.deliver("keep_poisoned", make_message(id=row_id)) is None
    given_up, submitted = storage.ledger()
    assert (given_up.state, given_up.reason, given_up.message) == ("rejected", "gave_up", make_message().to_text())
    assert submitted.state == "submitted"
    assert names(events) == ["call.submitted", "poison.kept", "call.repeated"]


@pytest.mark.parametrize(
    ("function", "states"),
    [("submit_call", {"submitted": 2, "rejected": 1}), ("keep_poisoned", {"rejected": 3})],
)
def test_a_record_that_cannot_be_read_costs_no_other_of_its_message(
    app: LoadedApp, storage: Storage, function: str, states: dict[str, int]
) -> None:
    body = json.loads(Message((make_record(id=1), make_record(id=2))).to_text())
    body["records"].insert(1, {"row": "by a newer version"})
    assert app.deliver(function, json.dumps(body)) is None
    assert Counter(storage.states()) == states


@pytest.mark.parametrize(("function", "queue"), [("submit_call", "cdr-calls"), ("keep_poisoned", POISON_QUEUE)])
def test_with_a_broken_configuration_a_message_goes_back_on_its_queue(
    broken: LoadedApp, storage: Storage, function: str, queue: str
) -> None:
    assert broken.deliver(function, make_message()) is None
    assert (storage.depth(queue), storage.ledger()) == (1, [])


# HTTP


def test_an_http_function_answers_its_own_method_and_no_other(app: LoadedApp, phone_system: SqlitePhoneSystem) -> None:
    phone_system.insert(make_raw_row())
    for function, (method, query) in HTTP_FUNCTIONS.items():
        answer = app.ask(function, method, **query)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store"), function
        refused = app.ask(function, "DELETE", **query)
        assert (refused.status, refused.headers["Allow"]) == (405, method), function
        assert not [secret for secret in SECRETS if secret in answer.text], function


def test_preview_shows_what_would_become_of_calls_and_does_nothing_about_it(
    app: LoadedApp, phone_system: SqlitePhoneSystem, storage: Storage, call_logger: RecordingCallLogger
) -> None:
    phone_system.insert(*(make_raw_row(id=n, extension="103" if n == 3 else "101") for n in range(1, 4)))
    shown = app.ask("preview", limit="2").body["calls"]
    assert [(each["id"], each["outcome"]) for each in shown] == [("3", "rejected"), ("2", "submitted")]
    assert OUTSIDE[-4:] not in str(shown)
    assert (storage.depth(), storage.ledger(), storage.position, call_logger.bodies) == (0, [], None, [])


def test_what_was_rejected_and_what_is_missing_is_listed_and_brought_back(
    app: LoadedApp,
    phone_system: SqlitePhoneSystem,
    storage: Storage,
    call_logger: RecordingCallLogger,
    config_file: Path,
) -> None:
    phone_system.insert(*(make_raw_row(id=n, call_id="C", extension="199" if n == 1 else "101") for n in (1, 2)))
    assert app.ask("trigger_poll", "POST").body["queued"] == 2
    for text in storage.take():
        if json.loads(text)["row"]["id"] == 1:
            app.deliver("submit_call", text)
    listed = app.ask("rejected")
    assert [call["reason"] for call in listed.body["calls"]] == ["unmapped_extension"]
    assert OUTSIDE not in listed.text
    config_file.write_text(config_file.read_text() + "  199: carol@example.com\n")
    mended = LoadedApp()
    assert mended.ask("trigger_replay", "POST", {"reason": "unmapped_extension"}).body["queued"] == 1
    assert mended.ask("reconcile", **DAY).body["may_be_queued"] == 1, "who knows whose message that is"
    mended.submit_all(storage)
    assert mended.ask("reconcile", **DAY).body["missing_ids"] == [2]
    assert mended.ask("trigger_reconcile", "POST", DAY).body["queued"] == 1
    mended.submit_all(storage)
    assert call_logger.call_ids == ["C-1", "C-2"]
    assert mended.status["ledger"] == {"submitted": 2, "complete": True}
