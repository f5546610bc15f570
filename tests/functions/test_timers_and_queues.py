"""The functions without an HTTP answer, called with trigger objects between real parts."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from cdr.wiring.parts import POISON_QUEUE
from local.call_logger import Fault, FaultKind
from shared.clock import HandMovedClock
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import TOKEN
from tests.support.factories import make_message, make_raw_row

PLAIN = "0000017F-7-7"
"""The plain row's pbxCallId."""


@pytest.fixture
def broken_config(config_file):
    """A configuration with two mistakes."""
    config_file.write_text(config_file.read_text() + "calls: {phone_format: wrong}\nunknown_section: {}\n")
    return config_file


class TestPollCdr:
    def test_queues_ended_calls_and_moves_the_checkpoint(self, app, phone_system, storage, events):
        phone_system.insert(*(make_raw_row(id=number, call_id=f"C{number}") for number in (1, 2, 3)))
        assert app.tick("poll_cdr") is None
        assert sorted(json.loads(text)["row"]["call_id"] for text in storage.take()) == ["C1", "C2", "C3"]
        assert storage.position == 3
        assert [event["queued"] for event in events("poll.finished")] == [3]

    def test_a_second_tick_queues_nothing_twice(self, app, phone_system, storage):
        phone_system.insert(make_raw_row(id=1))
        app.tick("poll_cdr")
        app.tick("poll_cdr")
        assert storage.depth() == 1

    def test_a_row_without_an_end_is_passed_and_queued_when_it_has_ended(self, app, phone_system, storage):
        phone_system.insert(make_raw_row(id=1, ended_at=None), make_raw_row(id=2))
        app.tick("poll_cdr")
        assert [json.loads(text)["row"]["id"] for text in storage.take()] == [2]
        phone_system.sql("UPDATE CallLog SET EndTime = '2026-11-22 10:05:00' WHERE Id = 1")
        app.tick("poll_cdr")
        assert [json.loads(text)["row"]["id"] for text in storage.take()] == [1]

    def test_with_a_broken_configuration_it_says_every_mistake_and_does_nothing(self, storage, broken_config, events):
        assert LoadedApp().tick("poll_cdr") is None
        (event,) = events()
        assert (event["event"], event["count"]) == ("config.invalid", 2)
        assert [mistake.split(":")[0] for mistake in event["mistakes"]] == ["calls.phone_format", "unknown_section"]
        assert storage.position is None

    def test_without_storage_it_says_so_in_one_line(self, app, monkeypatch, events):
        monkeypatch.setenv("AzureWebJobsStorage", "no connection string")
        assert LoadedApp().tick("poll_cdr") is None
        (event,) = events()
        assert event["event"] == "poll.failed"
        assert "the app setting AzureWebJobsStorage is no connection string" in event["reason"]


class TestSubmitCall:
    def test_brings_a_call_to_the_call_logger_and_settles_it(self, app, call_logger, storage):
        assert app.deliver("submit_call", make_message()) is None
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
        (record,) = storage.ledger()
        assert (record.name, record.row_id, record.state, record.reason) == (PLAIN, 7, "submitted", "created")

    def test_a_message_that_comes_twice_is_submitted_once(self, app, call_logger, storage):
        for deliveries in (1, 2):
            assert app.deliver("submit_call", make_message(), deliveries) is None
        assert call_logger.call_ids == [PLAIN]
        assert call_logger.faults.requests == 1
        assert storage.states() == ["submitted"]

    @pytest.mark.parametrize(
        ("row", "settlement"),
        [
            ({"answered": 0}, ("skipped", "unanswered")),
            ({"extension": "199"}, ("rejected", "unmapped_extension")),
            ({"duration_s": -1}, ("rejected", "invalid_row")),
        ],
    )
    def test_a_call_that_is_not_submitted_is_in_the_ledger_with_its_reason(
        self, app, call_logger, storage, row, settlement
    ):
        assert app.deliver("submit_call", make_message(**row)) is None
        assert [(record.row_id, record.state, record.reason) for record in storage.ledger()] == [(7, *settlement)]
        assert call_logger.faults.requests == 0

    @pytest.mark.parametrize(
        ("body", "raw_text"),
        [
            ("good day", "good day"),
            (b"good day", "good day"),
            (b"[1, 2]", "[1, 2]"),
            (b'{"version": 2}', '{"version": 2}'),
            (b"", ""),
            (b"\xff\xfe", "��"),
        ],
    )
    def test_garbage_is_kept_in_the_ledger_with_its_text(self, app, storage, body, raw_text):
        assert app.deliver("submit_call", body) is None
        (record,) = storage.ledger()
        assert (record.state, record.reason, record.message) == ("rejected", "invalid_message", raw_text)
        assert storage.depth() == 0

    def test_while_the_api_is_down_the_message_goes_back_to_the_queue(self, app, call_logger, storage, events):
        call_logger.faults.stand(Fault(kind=FaultKind.ANSWER, status=401))
        assert app.deliver("submit_call", make_message()) is None
        assert (storage.depth(), storage.states()) == (1, ["claimed"])
        assert [event["event"] for event in events()] == ["api.denied", "call.put_back"]
        assert TOKEN not in json.dumps(events())

    def test_with_a_broken_configuration_the_message_goes_back_to_the_queue(self, storage, broken_config, events):
        assert LoadedApp().deliver("submit_call", make_message()) is None
        assert (storage.depth(), storage.ledger()) == (1, [])
        assert [event["event"] for event in events()] == ["config.invalid"]


class TestKeepPoisoned:
    def test_records_the_call_that_the_host_gave_up_on(self, app, storage, events):
        assert app.deliver("keep_poisoned", make_message()) is None
        (record,) = storage.ledger()
        assert (record.name, record.state, record.reason) == (PLAIN, "rejected", "gave_up")
        assert record.message == make_message()
        assert [event["event"] for event in events()] == ["poison.kept"]

    def test_leaves_a_call_alone_that_is_at_the_api(self, app, storage):
        app.deliver("submit_call", make_message())
        assert app.deliver("keep_poisoned", make_message()) is None
        assert storage.states() == ["submitted"]

    @pytest.mark.parametrize("body", [b"good day", b"\xff", b"", b'{"version": 1, "row": {"id": "x"}}'])
    def test_records_garbage_too(self, app, storage, body):
        assert app.deliver("keep_poisoned", body) is None
        assert [(record.state, record.reason) for record in storage.ledger()] == [("rejected", "gave_up")]

    def test_with_a_broken_configuration_the_message_goes_back_on_its_queue(self, storage, broken_config):
        assert LoadedApp().deliver("keep_poisoned", make_message()) is None
        assert (storage.depth(POISON_QUEUE), storage.ledger()) == (1, [])


class TestCleanLedger:
    @pytest.fixture
    def ledger_of_three(self, app):
        app.deliver("submit_call", make_message(id=1, call_id="A"))
        app.deliver("submit_call", make_message(id=2, call_id="B", answered=0))
        app.deliver("submit_call", make_message(id=3, call_id="C", extension="199"))

    @pytest.mark.parametrize(("days", "left"), [(89, ["A-1", "B-2", "C-3"]), (91, ["C-3"]), (364, ["C-3"]), (366, [])])
    def test_removes_what_is_older_than_the_configuration_says(self, app, storage, ledger_of_three, days, left):
        app.run_by(HandMovedClock(datetime.now(UTC) + timedelta(days=days)), dict(os.environ))
        assert app.tick("clean_ledger") is None
        assert [record.name for record in storage.ledger()] == left
