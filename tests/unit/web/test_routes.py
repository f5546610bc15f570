"""What each route answers: its status codes, and the whole JSON of each once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cdr import __version__
from cdr.calls.body import body_of
from cdr.calls.call import CallKey, Reason, Settlement, State
from cdr.calls.message import Unreadable
from cdr.operations.learn_addresses import learn
from cdr.operations.verdict import verdict
from cdr.submission.submit import submit
from cdr.web.present import status_json
from cdr.wiring.parts import Parts
from shared.errors import ApiDenied, PipelineError, SourceUnavailable, StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryDirectory
from tests.support.events import Events
from tests.support.factories import OUTSIDE, make_call, make_message, make_raw_row
from tests.support.scenes import EVERY, NOW, STATUSES
from tests.support.workshop import NOON
from tests.unit.conftest import MAPPED
from tests.unit.web.asking import ask, described

MINUTE = timedelta(minutes=1)
DAY = {"from": "2026-11-22", "to": "2026-11-22"}
DOWN = StorageUnavailable("table CdrState: 503")
FORGOTTEN = "of days before 2026-08-25 nobody can know whether their calls are in"
GROUPS = MAPPED + (
    "call_groups:\n  members: {source: static}\n"
    "  monitored_groups: [{id: 800, name: Sales, members: [101]}, {id: 801, members: [102]}]\n"
    'business_hours: {timezone: Europe/Berlin, sunday: {start: "10:00", end: "14:00"}}\n'
)

pytestmark = pytest.mark.usefixtures("events")

MakeParts = Callable[..., Parts]


@pytest.fixture
def parts(make_parts: MakeParts) -> Parts:
    return make_parts()


# health


def test_health_says_of_each_part_only_whether_it_is_usable_and_how_long_that_took(parts: Parts) -> None:
    fine = {"state": "ok", "duration_ms": 0}
    names = ("configuration", "storage", "database", "source", "api")
    assert ask(parts, "health").body == {"status": "ok", "parts": dict.fromkeys(names, fine)}


@pytest.mark.parametrize(
    ("part", "error", "name", "state"),
    [
        ("source.table", SourceUnavailable("pbx.example.internal"), "database", "unavailable"),
        ("queue", DOWN, "storage", "unavailable"),
        ("positions", DOWN, "storage", "unavailable"),
        ("api", ApiDenied("401"), "api", "misconfigured"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_health_is_unavailable_with_one_part_that_is_not(
    parts: Parts, part: str, error: PipelineError, name: str, state: str
) -> None:
    fake: Any = parts.source.table if part == "source.table" else getattr(parts, part)
    fake.fail_at(1, error)
    answer = ask(parts, "health")
    assert (answer.status, answer.body["status"]) == (503, "unavailable")
    states = {key: value["state"] for key, value in answer.body["parts"].items()}
    assert states == dict.fromkeys(states, "ok") | {name: state}


def test_health_counts_the_mistakes_of_the_configuration_and_looks_at_storage_all_the_same(
    make_parts: MakeParts,
) -> None:
    answer = ask(make_parts(MAPPED + "unknown_section: {}\n"), "health")
    assert (answer.status, answer.body["configuration_mistakes"]) == (503, 1)
    states = {key: value["state"] for key, value in answer.body["parts"].items()}
    assert states == {"configuration": "misconfigured", "storage": "ok"}


def test_health_asks_the_api_itself_whatever_the_workers_remember(parts: Parts) -> None:
    parts.worker.api_breaker.failed(NOON, "503")
    assert ask(parts, "health").status == 200
    assert parts.api.operations == ["check_health"]


# status


def test_status_shows_everything_at_a_glance(make_parts: MakeParts, clock: HandMovedClock) -> None:
    parts = make_parts(GROUPS)
    parts.source.table.put(*(make_raw_row(id=n, ended_at=None if n == 3 else NOON - MINUTE) for n in (1, 3, 6)))
    ask(parts, "trigger_poll")
    submit(parts.queue.take(), parts.worker)
    parts.poison_queue.send_all([make_message()])
    parts.members.put("800", {"101": True})
    ask(parts, "trigger_alerts")
    clock.move(timedelta(hours=2))
    parts.source.table.put(make_raw_row(id=8, ended_at=NOON + 30 * MINUTE))
    checked = {"since": "2026-11-22T12:00:00+00:00", "last_check": "2026-11-22T12:00:00+00:00", "alert_id": None}
    poll = {"at": "2026-11-22T12:00:00+00:00", "result": "finished", "queued": 2, "duration_ms": 0, "error": None}
    body = ask(parts, "status").body
    assert [count for count in body.pop("hours") if count["submitted"]] == [
        {"hour": "2026-11-22T11:00:00+00:00", "submitted": 1, "skipped": 0, "rejected": 0}
    ]
    assert body == {
        "flow": {
            "state": "stopped",
            "part": "poll",
            "since": "2026-11-22T12:00:00+00:00",
            "why": "no poll has come to an end since",
        },
        "version": __version__,
        "uptime_seconds": 7200,
        "source": "calllog",
        "last_processed_cdr_id": 6,
        "open_rows": 1,
        "missing_ids": 3,
        "last_poll": poll,
        "recent_polls": [poll],
        "source_watch": [],
        "lag": {"newest_cdr_id": 8, "ids_behind": 2, "seconds_behind": 5400},
        "queue": {"waiting": 1, "poison": 1},
        "api": "ok",
        "ledger": {"submitted": 1, "complete": True},
        "rejected_by_reason": {},
        "extensions": {"in_file": 1, "elsewhere": 0, "phone_book": None},
        "business_hours": {"open": False, "changes_at": "2026-11-29T10:00+01:00", "timezone": "Europe/Berlin"},
        "monitored_groups": [
            {"id": "800", "name": "Sales", "state": "ok", "members": 1, "available": 1, **checked},
            {"id": "801", "name": "", "state": "unknown", "members": None, "available": None, **checked},
        ],
    }


def test_status_says_how_old_the_phone_systems_phone_book_is_and_what_is_wrong_with_it(
    make_parts: MakeParts, clock: HandMovedClock
) -> None:
    listed: dict[str, str | None] = {"102": "bob@example.com", **{f"2{n:02}": None for n in range(30)}}
    parts = make_parts(MAPPED, directory=InMemoryDirectory(listed))
    learn(parts.learner)
    clock.move(timedelta(hours=1))
    parts.directory.fail_at(1, SourceUnavailable("503"))
    learn(parts.learner)
    extensions = ask(parts, "status").body["extensions"]
    problems = extensions["phone_book"].pop("first_problems")
    assert extensions == {
        "in_file": 1,
        "elsewhere": 1,
        "phone_book": {
            "source": "REST API of pbx",
            "read_at": "2026-11-22T12:00:00+00:00",
            "age_seconds": 3600,
            "failed_at": "2026-11-22T13:00:00+00:00",
            "error": "SourceUnavailable: 503",
            "problems": 30,
        },
    }
    assert (len(problems), problems[0]) == (20, "extension 200 has no e-mail address in the phone system")


def test_status_before_anything_happened_and_without_anybody_to_ask_about_groups(make_parts: MakeParts) -> None:
    body = ask(make_parts(MAPPED + "call_groups: {monitored_groups: [{id: 800, name: Sales}]}\n"), "status").body
    empty = (body["last_processed_cdr_id"], body["last_poll"], body["open_rows"], body["missing_ids"])
    assert empty == (None, None, 0, 0)
    assert body["lag"] == {"newest_cdr_id": None, "ids_behind": 0, "seconds_behind": 0}
    assert body["business_hours"] == {"open": False, "changes_at": None, "timezone": "UTC"}
    not_checked = "not checked: call_groups.members.source is none"
    assert body["monitored_groups"] == [{"id": "800", "name": "Sales", "state": not_checked}]
    assert ask(make_parts(GROUPS), "status").body["monitored_groups"][0]["state"] == "not checked yet"


@pytest.mark.parametrize(
    ("part", "places"),
    [
        ("positions", ["last_processed_cdr_id", "last_poll", "recent_polls", "source_watch", "lag"]),
        ("queue", ["queue"]),
        ("records", ["ledger", "rejected_by_reason", "hours"]),
        ("group_store", ["monitored_groups"]),
    ],
)
def test_status_has_the_reason_in_the_place_of_what_cannot_be_read(
    make_parts: MakeParts, part: str, places: list[str]
) -> None:
    parts = make_parts(GROUPS)
    getattr(parts, part).fail_at(1, DOWN)
    answer = ask(parts, "status")
    problem = {"error": "StorageUnavailable: table CdrState: 503"}
    assert [name for name, value in answer.body.items() if value == problem] == places
    assert answer.status == 200


@pytest.mark.parametrize("name", STATUSES)
def test_whatever_there_is_to_tell_status_tells_it_as_it_is_described(name: str) -> None:
    status = STATUSES[name]
    shown = json.loads(json.dumps(status_json(status, verdict(status, NOW, EVERY))))
    described("status", 200).validate(shown)
    if name == "backlog":
        found = {"found": "stands_still", "detail": "no calls came where there usually are some"}
        assert shown["source_watch"] == [found | {"since": "2026-11-25T13:42:07+00:00"}]


# trigger_poll, trigger_alerts


def test_a_poll_tells_what_it_did_and_whether_another_one_is_at_work(parts: Parts, clock: HandMovedClock) -> None:
    parts.source.table.put(*(make_raw_row(id=n, ended_at=None if n == 4 else NOON) for n in (1, 2, 4, 7)))
    done = {"rows_read": 4, "queued": 3, "open_rows": 1, "missing_ids": 3, "position": 7, "caught_up": True}
    answer = ask(parts, "trigger_poll")
    assert (answer.status, answer.body) == (200, {"result": "finished"} | done)
    parts.positions.lease("another", clock.now(), MINUTE)
    answer = ask(parts, "trigger_poll")
    assert (answer.status, answer.body["result"], answer.body["queued"]) == (409, "held", 0)
    assert answer.body["until"] == "2026-11-22T12:01:00+00:00"
    clock.move(MINUTE)
    parts.source.table.fail_at(1, SourceUnavailable("the server does not answer"))
    answer = ask(parts, "trigger_poll")
    assert (answer.status, answer.body) == (503, {"error": "the server does not answer"})


def test_a_check_of_groups_tells_what_it_saw_and_did_and_whether_another_one_is_at_work(
    make_parts: MakeParts, clock: HandMovedClock
) -> None:
    parts = make_parts(GROUPS)
    parts.members.put("800", {"101": True, "102": False})
    parts.members.put("801", {})
    sales = {"id": "800", "name": "Sales", "state": "ok", "members": 2, "available": 1, "problem": None, "done": []}
    other = {"id": "801", "name": "", "state": "alerted", "members": 0, "available": 0, "problem": None}
    answer = ask(parts, "trigger_alerts")
    done = ["raised NO_ASSIGNED_USERS", "told (raised)"]
    assert (answer.status, answer.body) == (200, {"result": "finished", "groups": [sales, other | {"done": done}]})
    parts.group_store.lease("another", clock.now(), MINUTE)
    answer = ask(parts, "trigger_alerts")
    assert (answer.status, answer.body) == (409, {"result": "held", "groups": []})
    clock.move(MINUTE)
    parts.group_store.fail_at(1, DOWN)
    assert ask(parts, "trigger_alerts").status == 503
    assert ask(make_parts(), "trigger_alerts").body == {"result": "finished", "groups": []}, "nobody says who is there"


# trigger_start_over


@pytest.mark.parametrize(
    ("start", "position"),
    [("beginning", None), ("now", 7), (3, 3), ("3", 3), ("2026-11-22", 0), ("2026-11-22T13:00", 7)],
    ids=str,
)
def test_reading_starts_over_at_a_point_of_ones_choice(parts: Parts, start: object, position: int | None) -> None:
    parts.source.table.put(*(make_raw_row(id=n) for n in (1, 4, 7)))
    ask(parts, "trigger_poll")
    answer = ask(parts, "trigger_start_over", {"from": start})
    before = {"source_before": "calllog", "position_before": 7}
    assert (answer.status, answer.body) == (200, {"source": "calllog", "position": position} | before)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "from must be beginning, now, an id"),
        ({"from": True}, "from must be beginning, now, an id"),
        ({"from": "yesterday"}, "from is none of the allowed values"),
        ({"from": "20261101"}, "from is it a day or an id? write 2026-11-01 for a day, 020261101 for the id"),
        ({"from": 5}, "5 is beyond the ids of the source: the newest one is 4"),
    ],
    ids=str,
)
def test_a_point_that_makes_no_sense_is_refused_with_a_reason(parts: Parts, body: object, reason: str) -> None:
    parts.source.table.put(make_raw_row(id=4))
    answer = ask(parts, "trigger_start_over", body)
    assert (answer.status, answer.body["error"].startswith(reason)) == (400, True)
    assert parts.positions.stored is None


def test_reading_does_not_start_over_while_a_poll_is_at_work(parts: Parts, clock: HandMovedClock) -> None:
    parts.positions.lease("another", clock.now(), MINUTE)
    answer = ask(parts, "trigger_start_over", {"from": "now"})
    held = {"error": "another poll holds the lease until 12:01:00 UTC", "until": "2026-11-22T12:01:00+00:00"}
    assert (answer.status, answer.body) == (409, held)


# rejected, trigger_replay


@pytest.fixture
def rejecting(parts: Parts, clock: HandMovedClock) -> Parts:
    """Three calls are rejected, one a second."""
    for n, row in enumerate(({"extension": "199"}, {"extension": "198"}, {"duration_s": -1}), start=1):
        submit(make_message(id=n, call_id="call", hangup_cause=f"to {OUTSIDE}", **row), parts.worker)
        clock.sleep(1)
    return parts


def test_rejected_calls_are_listed_page_by_page_with_masked_numbers_the_newest_first(rejecting: Parts) -> None:
    first = ask(rejecting, "rejected", limit="2").body
    second = ask(rejecting, "rejected", limit="2", after=first["next"]).body
    assert [call["call"] for page in (first, second) for call in page["calls"]] == ["call-3", "call-2", "call-1"]
    assert (first["next"] is None, second["next"]) == (False, None)
    assert first["calls"][0] == {
        "call": "call-3",
        "reason": "invalid_row",
        "detail": "duration_s: is negative",
        "rejected_at": "2026-11-22T12:00:02+00:00",
        "replayed_at": None,
        "row": {
            "id": 3,
            "call_id": "call",
            "started_at": "2026-11-22T10:00:00",
            "ended_at": "2026-11-22T10:01:30",
            "duration_s": -1,
            "caller_number": "***42",
            "dest_number": "***",
            "extension": "101",
            "call_type": 0,
            "answered": True,
            "hangup_cause": "to ***42",
            "call_group_id": None,
        },
    }


def test_numbers_are_shown_only_on_demand_wherever_they_stand(parts: Parts) -> None:
    submit(make_message(extension=OUTSIDE, hangup_cause=f"transferred to {OUTSIDE}"), parts.worker)
    submit(Unreadable(f"garbage about {OUTSIDE}", "the message is not JSON"), parts.worker)
    assert "0142" not in str(ask(parts, "rejected", reveal="false").body)
    call, garbage = sorted(ask(parts, "rejected", reveal="true").body["calls"], key=lambda call: call["call"])
    assert (call["row"]["caller_number"], call["row"]["extension"]) == (OUTSIDE, OUTSIDE)
    assert OUTSIDE in call["detail"]
    assert (garbage["reason"], garbage["row"]) == ("invalid_message", f"garbage about {OUTSIDE}")


def test_a_rejected_call_whose_message_is_gone_has_an_empty_row(parts: Parts) -> None:
    parts.ledger.record(CallKey("2026-11-22", "call"), None, Settlement(State.REJECTED, Reason.GAVE_UP), NOON)
    assert [call["row"] for call in ask(parts, "rejected").body["calls"]] == [""]


# calls


def test_a_call_is_told_with_masked_numbers_unless_they_are_to_be_revealed(parts: Parts) -> None:
    submit(make_message(call_id="C", duration_s=f"{OUTSIDE} s", extension="102"), parts.worker)
    answer = ask(parts, "calls", call="C-7", day="2026-11-22")
    (call,) = answer.body["calls"]
    assert call.pop("row")["caller_number"] != OUTSIDE
    assert call == {
        "call": "C-7",
        "day": "2026-11-22",
        "row_id": "7",
        "state": "rejected",
        "reason": "unmapped_extension",
        "detail": "extension 102 has no address in extension_mapping",
        "extension": "102",
        "attempts": 1,
        "first_claimed_at": "2026-11-22T12:00:00+00:00",
        "claimed_until": None,
        "settled_at": "2026-11-22T12:00:00+00:00",
        "replayed_at": None,
        "entry_id": None,
        "last_error": None,
    }
    assert (answer.body["days"], answer.body["complete"]) == (["2026-11-22", "undated"], True)
    (revealed,) = ask(parts, "calls", row="7", reveal="true").body["calls"]
    assert revealed["row"]["caller_number"] == OUTSIDE
    assert ask(parts, "calls", extension="999").body["calls"] == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, "say which calls: call, row or extension, and if you know it the day"),
        ({"call": "C", "row": "7"}, "say which calls: call, row or extension, and if you know it the day"),
        ({"call": " "}, "say which calls: call, row or extension, and if you know it the day"),
        ({"call": "C", "day": "today"}, "day must be a day such as 2026-11-01"),
        ({"call": "C", "day": "1969-12-31"}, "day must be within 1970-01-01 and 2999-12-31"),
    ],
    ids=str,
)
def test_a_search_that_makes_no_sense_is_refused_with_a_reason(
    parts: Parts, wrong: dict[str, str], reason: str
) -> None:
    answer = ask(parts, "calls", **wrong)
    assert (answer.status, answer.body) == (400, {"error": reason})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"limit": "0"}, "limit must be a number from 1 to 500"),
        ({"limit": "501"}, "limit must be a number from 1 to 500"),
        ({"limit": "x"}, "limit must be a number from 1 to 500"),
        ({"reason": "x" * 1_001}, "reason has 1001 characters, at most 1000 are taken"),
        ({"limit": "1" * 10}, "limit must be a number from 1 to 500"),
        ({"reveal": "perhaps"}, "reveal must be true or false"),
        ({"after": 7}, "after must be text"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_name(parts: Parts, wrong: dict[str, Any], reason: str) -> None:
    answer = ask(parts, "rejected", wrong)
    assert (answer.status, answer.body) == (400, {"error": reason})


@pytest.mark.parametrize(
    ("chosen", "queued"), [({"all": True}, 3), ({"reason": "unmapped_extension"}, 2), ({"call": "call-3"}, 1)], ids=str
)
def test_a_replay_tells_how_many_calls_are_on_the_queue_again(
    rejecting: Parts, chosen: dict[str, Any], queued: int
) -> None:
    answer = ask(rejecting, "trigger_replay", chosen)
    assert (answer.status, answer.body) == (200, {"queued": queued, "under_way": 0, "complete": True})
    assert ask(rejecting, "trigger_replay", chosen).body == {"queued": 0, "under_way": queued, "complete": True}
    listed = ask(rejecting, "rejected").body["calls"]
    assert [call["replayed_at"] for call in listed if call["replayed_at"]] == ["2026-11-22T12:00:03+00:00"] * queued


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "say which calls"),
        ({"all": False}, "say which calls"),
        ({"all": True, "reason": "x"}, "say which calls"),
        ({"all": "perhaps"}, "all must be true or false"),
        ({"call": ["x"]}, "call must be text, a number, true or false"),
        ({"reason": 1}, "reason must be text"),
    ],
    ids=str,
)
def test_a_replay_that_does_not_say_which_calls_is_refused(rejecting: Parts, body: object, reason: str) -> None:
    answer = ask(rejecting, "trigger_replay", body)
    assert (answer.status, answer.body["error"].startswith(reason)) == (400, True)
    assert rejecting.queue.texts == []


def test_a_replay_of_what_nobody_knows_tells_what_there_is(rejecting: Parts) -> None:
    answer = ask(rejecting, "trigger_replay", {"reason": "unmapped"})
    there = {"unmapped_extension": 2, "invalid_row": 1}
    error = "no call was rejected with the reason 'unmapped'"
    assert (answer.status, answer.body) == (404, {"error": error, "rejected": there})


# preview


def test_the_newest_calls_are_shown_as_they_would_be_submitted_with_masked_numbers(make_parts: MakeParts) -> None:
    parts = make_parts(MAPPED, directory=InMemoryDirectory({"103": None}))
    learn(parts.learner)
    parts.source.table.put(make_raw_row(), make_raw_row(id=8, extension="103", caller_number=OUTSIDE))
    parts.source.table.put(*(make_raw_row(id=n) for n in range(1, 7)))
    body = ask(parts, "preview", limit="2").body
    read = {"source": "REST API of pbx", "read_at": "2026-11-22T12:00:00+00:00", "error": None}
    assert (body["source"], body["phone_book"]) == ("calllog", read)
    nobodys, alices = body["calls"]
    assert alices == {
        "id": "7",
        "ended_at": "2026-11-22T10:01:30",
        "outcome": "submitted",
        "reason": None,
        "detail": "",
        "field": None,
        "call": body_of(make_call()) | {"phoneNumber": "***42"},
        "because": {
            "owner": "101 is the record's extension",
            "address": "from extension_mapping",
            "direction": "from outside, by call_type 0",
            "group": "none",
        },
    }
    assert (nobodys["outcome"], nobodys["reason"], nobodys["call"]) == ("rejected", "unmapped_extension", None)
    assert "has no e-mail address in the phone system" in nobodys["detail"]


def test_a_preview_shows_numbers_only_on_demand_and_leaves_everything_as_it_was(parts: Parts) -> None:
    parts.source.table.put(make_raw_row(), make_raw_row(id=8, extension=OUTSIDE))
    assert "0142" not in str(ask(parts, "preview").body)
    shown = ask(parts, "preview", reveal="true").body["calls"]
    assert shown[1]["call"]["phoneNumber"] == "19075550142"
    assert OUTSIDE in shown[0]["detail"]
    assert (parts.queue.texts, parts.ledger.records, parts.api.submitted) == ([], {}, [])
    assert parts.positions.operations == []


def test_a_preview_needs_a_phone_system_and_a_limit_that_makes_sense(parts: Parts) -> None:
    assert ask(parts, "preview").body == {"source": "calllog", "phone_book": None, "calls": []}
    answer = ask(parts, "preview", limit="201")
    assert (answer.status, answer.body) == (400, {"error": "limit must be a number from 1 to 200"})
    parts.source.table.fail_at(1, SourceUnavailable("no answer"))
    assert (ask(parts, "preview").status, ask(parts, "preview").status) == (503, 200)


# reconcile, trigger_reconcile


def test_missing_rows_are_told_and_when_triggered_queued(parts: Parts) -> None:
    parts.source.table.put(*(make_raw_row(id=n) for n in (1, 2)))
    ask(parts, "trigger_poll")
    submit(parts.queue.take(), parts.worker)
    parts.queue.take()
    parts.source.table.put(make_raw_row(id=3))
    submit(make_message(id=9), parts.worker)
    found = {
        "rows": 3,
        "recorded": 1,
        "not_polled_yet": 1,
        "before_start": 0,
        "may_be_queued": 0,
        "missing": 1,
        "missing_ids": [2],
        "changed": 0,
        "changed_ids": [],
        "again": 0,
        "again_ids": [],
        "changed_late": 0,
        "changed_late_ids": [],
        "only_in_ledger": 1,
        "only_in_ledger_ids": [9],
        "queued": 0,
        "complete": True,
    }
    answer = ask(parts, "reconcile", **DAY)
    assert (answer.status, answer.body, parts.queue.texts) == (200, found, [])
    assert ask(parts, "trigger_reconcile", DAY).body == found | {"queued": 1}
    submit(parts.queue.take(), parts.worker)
    assert ask(parts, "reconcile", **DAY).body["missing"] == 0


def test_ids_that_are_texts_are_told_as_such(parts: Parts) -> None:
    message = make_message().only([replace(make_message().records[0], id="a7")])
    submit(message, parts.worker)
    assert ask(parts, "reconcile", **DAY).body["only_in_ledger_ids"] == ["a7"]


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ({}, "from must be a day such as 2026-11-01"),
        ({"from": "2026-11-22"}, "to must be a day such as 2026-11-01"),
        ({"from": "yesterday", "to": "2026-11-22"}, "from must be a day such as 2026-11-01"),
        ({"from": "2026-11-22", "to": "2026-11-21"}, "from is after to"),
        ({"from": "2026-10-01", "to": "2026-11-01"}, "at most 31 days at a time"),
        ({"from": "1969-12-31", "to": "1970-01-01"}, "from and to must be within 1970-01-01 and 2999-12-31"),
        (DAY | {"again": "bored"}, f"again must be a reason: {', '.join(sorted(Reason))}"),
        (
            {"from": "2026-08-24", "to": "2026-08-25"},
            f"records are kept for 90 days (ledger.keep_days): {FORGOTTEN}",
        ),
        ({"from": "2999-12-31", "to": "3000-01-01"}, "from and to must be within 1970-01-01 and 2999-12-31"),
    ],
    ids=str,
)
def test_days_that_make_no_sense_are_refused_with_a_reason(parts: Parts, days: dict[str, str], reason: str) -> None:
    answer = ask(parts, "reconcile", **days)
    assert (answer.status, answer.body) == (400, {"error": reason})


# Defects


@pytest.mark.parametrize(
    ("name", "use_case"), [("reconcile", "compare_days"), ("rejected", "list_rejected"), ("preview", "newest_calls")]
)
def test_a_defect_is_answered_and_told_of_once_without_a_word_of_what_it_held(
    parts: Parts, events: Events, monkeypatch: pytest.MonkeyPatch, name: str, use_case: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError(f"sig=secret {OUTSIDE}")

    monkeypatch.setattr(f"cdr.web.routes.{use_case}", fail)
    answer = ask(parts, name, **(DAY if name == "reconcile" else {}))
    assert (answer.status, answer.body) == (500, {"error": "a defect of the app (KeyError); its log has more"})
    told = events.only("request.failed")
    assert (told["path"], told["error"], told["level"]) == (name, "KeyError", "ERROR")
    assert "routes.py:" in told["where"]
    assert "secret" not in str(told)
