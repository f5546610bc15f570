"""What status, trigger_poll and the functions for rejected and missing calls answer, between real parts."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.positions import TableCheckpointStore
from cdr.wiring.parts import POISON_QUEUE, STATE_TABLE
from shared.clock import HandMovedClock
from tests.functions.loaded_app import LoadedApp
from tests.support.factories import OUTSIDE, make_message, make_raw_row

SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = {"from": "2026-11-22", "to": "2026-11-22"}


@pytest.fixture
def clock():
    return HandMovedClock(SUNDAY)


@pytest.fixture
def timed(app, clock):
    """The functions on a clock that a test moves."""
    app.run_by(clock, dict(os.environ))
    return app


def calls(*numbers, **changed):
    return [make_raw_row(id=number, call_id=f"C{number}", **changed) for number in numbers]


class TestTriggerPoll:
    def test_polls_now_and_answers_with_what_it_did(self, app, phone_system, storage):
        phone_system.insert(*calls(1, 2), *calls(4, ended_at=None), *calls(7))
        answer = app.ask("trigger_poll", "POST")
        assert (answer.status, answer.body) == (
            200,
            {
                "result": "finished",
                "rows_read": 4,
                "queued": 3,
                "open_rows": 1,
                "missing_ids": 3,
                "position": 7,
                "caught_up": True,
            },
        )
        assert storage.depth() == 3

    def test_is_refused_with_409_while_another_poll_holds_the_lease(self, app, phone_system, storage, events):
        phone_system.insert(*calls(1))
        store = TableCheckpointStore(StorageAccount(os.environ), STATE_TABLE)
        lease = store.lease("another worker", datetime.now(UTC), timedelta(seconds=60))
        answer = app.ask("trigger_poll", "POST")
        assert (answer.status, answer.body["result"], answer.body["queued"]) == (409, "held", 0)
        assert [event["event"] for event in events()] == ["poll.held"]
        assert storage.depth() == 0
        assert lease.checkpoint is None

    def test_works_again_when_the_lease_of_a_dead_poll_has_run_out(self, timed, clock, phone_system):
        phone_system.insert(*calls(1))
        TableCheckpointStore(StorageAccount(os.environ), STATE_TABLE).lease("dead", clock.now(), timedelta(seconds=60))
        clock.move(timedelta(seconds=59))
        assert timed.ask("trigger_poll", "POST").status == 409
        clock.move(timedelta(seconds=1))
        assert timed.ask("trigger_poll", "POST").status == 200

    def test_is_unavailable_without_the_database(self, app, phone_system):
        phone_system.file.unlink()
        answer = app.ask("trigger_poll", "POST")
        assert answer.status == 503
        assert "check 3cx.cdr_database.database" in answer.body["error"]

    def test_is_unavailable_without_storage(self, config_file, monkeypatch):
        monkeypatch.setenv("AzureWebJobsStorage", "")
        answer = LoadedApp().ask("trigger_poll", "POST")
        assert answer.status == 503
        assert "the app setting AzureWebJobsStorage is missing" in answer.body["error"]

    def test_is_unavailable_with_a_broken_configuration_and_says_every_mistake(self, storage, config_file):
        config_file.write_text(config_file.read_text() + "calls: {phone_format: wrong}\nunknown_section: {}\n")
        answer = LoadedApp().ask("trigger_poll", "POST")
        assert answer.status == 503
        assert answer.body["error"] == "the configuration is not usable"
        assert len(answer.body["mistakes"]) == 2


class TestStatus:
    def test_before_the_first_poll_there_is_nothing_to_tell(self, app):
        answer = app.ask("status")
        assert answer.status == 200
        assert answer.body["last_processed_cdr_id"] is None
        assert answer.body["last_poll"] is None
        assert answer.body["lag"] == {"newest_cdr_id": None, "ids_behind": 0, "seconds_behind": 0}
        assert answer.body["ledger"] == {"complete": True}

    def test_tells_how_far_along_everything_is(self, timed, clock, phone_system, storage):
        phone_system.insert(*calls(1, 2), *calls(3, ended_at=None), *calls(6))
        timed.ask("trigger_poll", "POST")
        for number, row in enumerate(({}, {"answered": 0}, {"extension": "199"}), start=1):
            timed.deliver("submit_call", make_message(id=number, call_id=f"C{number}", **row))
        storage.send("given up", POISON_QUEUE)
        clock.move(timedelta(hours=30))
        phone_system.insert(*calls(8, 9, ended_at="2026-11-23 17:59:30"))
        body = timed.ask("status").body
        last_poll, hours, groups = (body.pop(name) for name in ("last_poll", "business_hours", "monitored_groups"))
        assert body == {
            "version": "1.0.0",
            "uptime_seconds": 108_000,
            "last_processed_cdr_id": 6,
            "open_rows": 1,
            "missing_ids": 2,
            "lag": {"newest_cdr_id": 9, "ids_behind": 3, "seconds_behind": 30},
            "queue": {"waiting": 3, "poison": 1},
            "ledger": {"submitted": 1, "skipped": 1, "rejected": 1, "complete": True},
        }
        assert (hours["open"], hours["timezone"]) == (False, "UTC")
        assert [(group["id"], group["name"]) for group in groups] == [("800", "Sales")]
        assert last_poll.pop("duration_ms") >= 0
        assert last_poll == {"at": "2026-11-22T12:00:00+00:00", "result": "finished", "queued": 3, "error": None}

    def test_business_hours_are_those_of_their_own_time_zone(self, storage, config_file, clock):
        hours = 'business_hours: {timezone: America/Anchorage, sunday: {start: "03:00", end: "03:01"}}\n'
        config_file.write_text(config_file.read_text() + hours)
        app = LoadedApp()
        app.run_by(clock, dict(os.environ))
        now = app.ask("status").body["business_hours"]
        assert (now["open"], now["timezone"]) == (True, "America/Anchorage")
        clock.move(timedelta(minutes=1))
        assert app.ask("status").body["business_hours"]["open"] is False

    def test_says_how_a_failed_poll_failed(self, app, phone_system):
        phone_system.sql("DROP TABLE CallLog")
        app.tick("poll_cdr")
        answer = app.ask("status")
        assert answer.status == 200
        assert answer.body["last_poll"]["result"] == "failed"
        assert answer.body["last_poll"]["error"].startswith("SourceMisconfigured: check 3cx.schema")
        assert answer.body["lag"]["error"].startswith("SourceMisconfigured: check 3cx.schema")
        assert answer.body["queue"] == {"waiting": 0, "poison": 0}

    def test_needs_a_usable_configuration(self, storage, monkeypatch):
        monkeypatch.setenv("CONFIG_FILE", "/nowhere/config.yml")
        answer = LoadedApp().ask("status")
        assert (answer.status, answer.body["error"]) == (503, "the configuration is not usable")


class TestRejectedAndReplay:
    @pytest.fixture
    def rejected_three(self, app):
        for number, row in enumerate(({"extension": "199"}, {"extension": "198"}, {"duration_s": -1}), start=1):
            app.deliver("submit_call", make_message(id=number, call_id=f"C{number}", **row))

    def test_lists_rejected_calls_the_newest_first_with_masked_numbers(self, app, rejected_three):
        answer = app.ask("rejected")
        assert answer.status == 200
        assert [call["call"] for call in answer.body["calls"]] == ["C3-3", "C2-2", "C1-1"]
        newest = answer.body["calls"][0]
        assert (newest["reason"], newest["detail"]) == ("invalid_row", "duration_s: is negative")
        assert newest["row"]["caller_number"] == "***42"
        assert OUTSIDE not in answer.text

    def test_reveals_numbers_when_asked_to(self, app, rejected_three):
        calls_listed = app.ask("rejected", reveal="true").body["calls"]
        assert {call["row"]["caller_number"] for call in calls_listed} == {OUTSIDE}

    def test_pages_through_them(self, app, rejected_three):
        first = app.ask("rejected", limit="2").body
        second = app.ask("rejected", limit="2", after=first["next"]).body
        listed = [call["call"] for page in (first, second) for call in page["calls"]]
        assert (listed, second["next"]) == (["C3-3", "C2-2", "C1-1"], None)

    @pytest.mark.parametrize("wrong", [{"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"reveal": "perhaps"}])
    def test_a_wrong_value_is_refused_by_its_name(self, app, wrong):
        answer = app.ask("rejected", **wrong)
        assert answer.status == 400
        assert answer.body["error"].startswith(f"{next(iter(wrong))} must be")

    def test_a_call_that_was_mapped_meanwhile_reaches_the_call_logger_by_a_replay(
        self, app, storage, config_file, call_logger, rejected_three
    ):
        config_file.write_text(config_file.read_text() + "  199: carol@example.com\n")
        mended = LoadedApp()
        answer = mended.ask("trigger_replay", "POST", {"reason": "unmapped_extension"})
        assert (answer.status, answer.body) == (200, {"queued": 2, "under_way": 0, "complete": True})
        mended.submit_all(storage)
        assert [body["callOwnerEmail"] for body in call_logger.bodies] == ["carol@example.com"]
        assert storage.states() == ["submitted", "rejected", "rejected"]

    def test_replays_one_call_by_its_name_and_not_twice_at_once(self, app, storage, rejected_three):
        assert app.ask("trigger_replay", "POST", {"call": "C2-2"}).body["queued"] == 1
        assert app.ask("trigger_replay", "POST", {"call": "C2-2"}).body == {
            "queued": 0,
            "under_way": 1,
            "complete": True,
        }
        assert storage.depth() == 1

    @pytest.mark.parametrize(
        "body", [None, {}, {"all": False}, {"all": True, "reason": "x"}, {"call": ["x"]}, {"reason": 1}]
    )
    def test_a_replay_that_does_not_say_which_calls_is_refused(self, app, storage, rejected_three, body):
        assert app.ask("trigger_replay", "POST", body).status == 400
        assert storage.depth() == 0


class TestReconcile:
    @pytest.fixture
    def one_lost(self, app, phone_system, storage):
        """Three rows were polled, the message of the second got lost, and a fourth waits for the next poll."""
        phone_system.insert(*calls(1, 2, 3))
        app.tick("poll_cdr")
        for text in storage.take():
            if json.loads(text)["row"]["id"] != 2:
                app.deliver("submit_call", text)
        phone_system.insert(*calls(4))

    def test_tells_rows_that_have_no_record(self, app, storage, one_lost):
        answer = app.ask("reconcile", **DAY)
        assert (answer.status, answer.body) == (
            200,
            {
                "rows": 4,
                "recorded": 2,
                "not_polled_yet": 1,
                "missing": 1,
                "missing_ids": [2],
                "only_in_ledger": 0,
                "only_in_ledger_ids": [],
                "queued": 0,
            },
        )
        assert storage.depth() == 0

    def test_queues_them_when_triggered(self, app, storage, call_logger, one_lost):
        assert app.ask("trigger_reconcile", "POST", DAY).body["queued"] == 1
        app.submit_all(storage)
        assert call_logger.call_ids == ["C1-1", "C2-2", "C3-3"]
        assert app.ask("reconcile", **DAY).body["missing"] == 0

    @pytest.mark.parametrize(
        ("days", "reason"),
        [
            ({}, "from must be a day such as 2026-11-01"),
            ({"from": "2026-11-22"}, "to must be a day such as 2026-11-01"),
            ({"from": "yesterday", "to": "2026-11-22"}, "from must be a day such as 2026-11-01"),
            ({"from": "2026-11-22", "to": "2026-11-21"}, "from is after to"),
            ({"from": "2026-10-01", "to": "2026-11-01"}, "at most 31 days at a time"),
        ],
    )
    def test_days_that_make_no_sense_are_refused_with_a_reason(self, app, days, reason):
        answer = app.ask("reconcile", **days)
        assert (answer.status, answer.body) == (400, {"error": reason})
