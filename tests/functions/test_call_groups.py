"""check_call_groups and trigger_alerts between real parts: Azurite, a database of members, the stand-in Call Logger."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.groups import TableGroupStore
from cdr.groups.check import LEASE
from cdr.wiring.parts import GROUPS_TABLE
from shared.clock import HandMovedClock
from tests.functions.group_surroundings import Backend, Members, Receiver, clear_groups, kept_records, with_groups
from tests.functions.loaded_app import LoadedApp

SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOBODY = "NO_ASSIGNED_USERS"
MINIMAL = "3cx: {cdr_database: {engine: sqlite, database: calls.db}}\napi: {base_url: 'http://127.0.0.1:1/api'}\n"


@pytest.fixture
def clock():
    return HandMovedClock(SUNDAY)


@pytest.fixture
def members(tmp_path):
    members = Members(tmp_path)
    members.put("800", e101=True, e102=False)
    members.put("801", e103=True)
    return members


@pytest.fixture
def backend(call_logger):
    return Backend.behind(call_logger)


@pytest.fixture
def load(storage, config_file, members, backend, clock):
    """The functions with groups to check, on a clock that a test moves."""
    clear_groups(storage)
    plain = config_file.read_text()

    def load(more: str = "", **options: str) -> LoadedApp:
        config_file.write_text(with_groups(plain, members, more, **options))
        app = LoadedApp()
        app.run_by(clock, dict(os.environ))
        return app

    return load


def check(app):
    answer = app.ask("trigger_alerts", "POST")
    assert answer.status == 200, answer.text
    return {group["id"]: group for group in answer.body["groups"]}


class TestDeclarations:
    def bindings(self, name):
        return [json.loads(text) for text in LoadedApp().declared[name].get_raw_bindings()]

    @pytest.mark.parametrize(
        ("minutes", "schedule"),
        [
            (None, "0 */5 * * * *"),
            ("1", "0 */1 * * * *"),
            ("7", "0 */6 * * * *"),  # 7 does not divide an hour
            ("15", "0 */15 * * * *"),
            ("59", "0 */30 * * * *"),
            ("60", "0 0 * * * *"),
        ],
    )
    def test_groups_are_checked_every_interval(self, monkeypatch, tmp_path, minutes, schedule):
        (tmp_path / "config.yml").write_text(MINIMAL)
        monkeypatch.setenv("CONFIG_FILE", str(tmp_path / "config.yml"))
        if minutes:
            monkeypatch.setenv("ALERT_CHECK_INTERVAL_MINUTES", minutes)
        (trigger,) = self.bindings("check_call_groups")
        assert (trigger["type"], trigger["schedule"], trigger["runOnStartup"]) == ("timerTrigger", schedule, False)

    def test_with_a_broken_configuration_at_the_default_interval(self, monkeypatch, tmp_path):
        (tmp_path / "config.yml").write_text("call_groups: {alert_check_interval_minutes: 1}")
        monkeypatch.setenv("CONFIG_FILE", str(tmp_path / "config.yml"))
        assert self.bindings("check_call_groups")[0]["schedule"] == "0 */5 * * * *"

    def test_a_check_can_be_asked_for_with_the_function_key(self):
        trigger, answer = self.bindings("trigger_alerts")
        assert (trigger["type"], trigger["route"], trigger["authLevel"]) == (
            "httpTrigger",
            "trigger/alerts",
            "FUNCTION",
        )
        assert "POST" in trigger["methods"]
        assert answer["type"] == "http"


class TestTriggerAlerts:
    def test_answers_with_what_it_saw_and_did(self, load, members, backend):
        members.put("801")
        answer = load().ask("trigger_alerts", "POST")
        assert (answer.status, answer.body) == (
            200,
            {
                "result": "finished",
                "groups": [
                    {
                        "id": "800",
                        "name": "Sales",
                        "state": "ok",
                        "members": 2,
                        "available": 1,
                        "problem": None,
                        "done": [],
                    },
                    {
                        "id": "801",
                        "name": "Support",
                        "state": "alerted",
                        "members": 0,
                        "available": 0,
                        "problem": None,
                        "done": [f"raised {NOBODY}"],
                    },
                ],
            },
        )
        assert backend.every_alert == [("801", NOBODY, True)]

    def test_names_a_group_that_does_not_exist(self, load, members):
        members.remove("801")
        found = check(load())["801"]
        assert (found["state"], found["problem"]) == ("unknown", "the group does not exist in the phone system")

    def test_says_why_nothing_is_known(self, load, members, backend):
        members.break_down()
        found = check(load())
        assert {group["state"] for group in found.values()} == {"unknown"}
        assert all("call_groups.members.select" in group["problem"] for group in found.values())
        assert backend.every_alert == []

    def test_says_which_column_a_select_of_ones_own_lacks(self, load, members):
        members.select.write_text("SELECT group_id, extension FROM member")
        assert "call_groups.members.select: it yields no column available" in check(load())["800"]["problem"]

    def test_is_refused_with_409_while_another_check_is_at_work(self, load, clock, backend, members):
        members.put("800")
        store = TableGroupStore(StorageAccount(os.environ), GROUPS_TABLE)
        store.lease("another instance", clock.now(), LEASE)
        app = load()
        answer = app.ask("trigger_alerts", "POST")
        assert (answer.status, answer.body) == (409, {"result": "held", "groups": []})
        assert backend.every_alert == []
        clock.move(LEASE)  # that one has died
        assert app.ask("trigger_alerts", "POST").status == 200

    def test_is_unavailable_with_a_broken_configuration_and_says_every_mistake(self, storage, config_file):
        config_file.write_text(config_file.read_text() + "business_hours: {timezone: Nowhere, moonday: null}\n")
        answer = LoadedApp().ask("trigger_alerts", "POST")
        assert (answer.status, len(answer.body["mistakes"])) == (503, 2)

    def test_knows_nothing_of_any_group_without_the_select_that_the_configuration_names(self, load, members):
        """So that after a while an alert says so."""
        members.select.unlink()
        answer = load().ask("trigger_alerts", "POST")
        assert (answer.status, {group["state"] for group in answer.body["groups"]}) == (200, {"unknown"})
        assert all(group["problem"].startswith("call_groups.members.select: ") for group in answer.body["groups"])

    def test_is_unavailable_without_storage(self, load, monkeypatch, clock):
        app = load()
        app.run_by(clock, {**os.environ, "AzureWebJobsStorage": "no connection string"})
        answer = app.ask("trigger_alerts", "POST")
        assert (answer.status, "AzureWebJobsStorage" in answer.body["error"]) == (503, True)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_takes_nothing_but_post(self, load, method):
        answer = load().ask("trigger_alerts", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    def test_takes_no_parameters(self, load):
        assert load().ask("trigger_alerts", "POST", {"group": "800"}).status == 400

    def test_has_nothing_to_report_where_nobody_says_who_is_there(self, app, storage):
        clear_groups(storage)
        assert app.ask("trigger_alerts", "POST").body == {"result": "finished", "groups": []}


class TestTheTimer:
    def test_raises_an_alert_and_resolves_it_when_somebody_is_back(self, load, members, backend, events, clock):
        app = load()
        for available, expected in (
            (True, []),
            (False, [("801", NOBODY, True)]),
            (False, [("801", NOBODY, True)]),
            (True, [("801", NOBODY, False)]),
        ):
            members.put("801", e103=available)
            assert app.tick("check_call_groups") is None
            assert backend.every_alert == expected
            clock.move(timedelta(minutes=5))
        assert [event["group"] for name in ("alert.raised", "alert.resolved") for event in events(name)] == ["801"] * 2

    def test_resolves_it_when_the_hours_end(self, load, members, backend, clock):
        app = load(hours='  sunday: {start: "12:00", end: "12:05"}\n')
        members.put("801")
        for expected in (True, False, False):
            app.tick("check_call_groups")
            assert backend.every_alert == [("801", NOBODY, expected)]
            clock.move(timedelta(minutes=5))

    def test_writes_down_why_it_could_do_nothing(self, load, members, events):
        members.select.unlink()
        assert load().tick("check_call_groups") is None
        (failed,) = events("groups.unknown")
        assert "call_groups.members.select" in failed["reason"]

    def test_tells_webhooks_and_keeps_their_address_to_itself(self, load, members, backend, events, caplog):
        members.put("801")
        with Receiver() as good, Receiver() as bad:
            bad.status = 500
            hooks = ", ".join(f"{{type: json, url: '{receiver.url}'}}" for receiver in (bad, good))
            app = load(f"  notify: [{hooks}]\n")
            done = check(app)["801"]["done"]
            assert done == [f"raised {NOBODY}", "not told: the json webhook answered 500"]
            assert [(told["event"], told["groupId"], told["alertType"]) for told in good.told] == [
                ("raised", "801", NOBODY)
            ]
            assert check(app)["801"]["done"] == []
        assert backend.every_alert == [("801", NOBODY, True)]
        assert events("notice.failed")
        assert "webhook-s3cret" not in caplog.text

    def test_leaves_no_alert_behind_when_a_group_is_no_longer_monitored(self, load, members, backend, storage):
        members.put("800")
        load().tick("check_call_groups")
        assert kept_records(storage)["800"]["alert"]["id"]
        other = load()
        other.module.pipeline._settings = other.pipeline.settings.model_copy(
            update={
                "call_groups": other.pipeline.settings.call_groups.model_copy(
                    update={"monitored_groups": other.pipeline.settings.call_groups.monitored_groups[1:]}
                )
            }
        )
        other.tick("check_call_groups")
        assert backend.every_alert == [("800", NOBODY, False)]
        assert kept_records(storage).keys() == {"801"}

    def test_a_restarted_app_remembers(self, load, members, backend):
        members.put("801")
        for _ in range(3):
            load().tick("check_call_groups")
        assert backend.every_alert == [("801", NOBODY, True)]


class TestStatus:
    def test_shows_hours_with_their_next_change(self, load):
        body = load(hours='  sunday: {start: "08:00", end: "17:00"}\n').ask("status").body
        assert body["business_hours"] == {"open": True, "changes_at": "2026-11-22T17:00+00:00", "timezone": "UTC"}

    def test_shows_groups_with_state_members_alert_and_last_check(self, load, members, backend, clock):
        app = load()
        assert app.ask("status").body["monitored_groups"] == [
            {"id": "800", "name": "Sales", "state": "not checked yet"},
            {"id": "801", "name": "Support", "state": "not checked yet"},
        ]
        members.put("801", e103=False)
        app.tick("check_call_groups")
        clock.move(timedelta(minutes=5))
        app.tick("check_call_groups")
        (alert,) = backend.alerts
        assert app.ask("status").body["monitored_groups"] == [
            {
                "id": "800",
                "name": "Sales",
                "state": "ok",
                "since": "2026-11-22T12:00:00+00:00",
                "members": 2,
                "available": 1,
                "alert_id": None,
                "last_check": "2026-11-22T12:05:00+00:00",
            },
            {
                "id": "801",
                "name": "Support",
                "state": "alerted",
                "since": "2026-11-22T12:00:00+00:00",
                "members": 1,
                "available": 0,
                "alert_id": alert["id"],
                "last_check": "2026-11-22T12:05:00+00:00",
            },
        ]

    def test_says_that_groups_are_not_checked_without_members(self, app):
        (group,) = app.ask("status").body["monitored_groups"]
        assert group["state"] == "not checked: call_groups.members.source is none"
