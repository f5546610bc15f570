"""The stand-in for the Call Logger: its rules, its race, its faults, and its end."""

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests
from werkzeug import Response
from werkzeug.test import Client

from local.call_logger import CallLogger, Credential, Fault, FaultKind, FaultPlan, start
from local.call_logger.faults import FaultyApp
from local.call_logger.rules import ALERT_RULES, CALL_RULES, violations
from local.call_logger.store import new_entry
from tests.support.ports import lasting_port
from tests.support.waiting import wait_until

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
TIMEOUT_S = 10
LONG_S = 60.0
CALLS, ALERTS = "/calls/from-pbx", "/alerts/call-groups"
JSON = "application/json"
CALL = {
    "phoneNumber": "12025550123",
    "callDuration": 95,
    "callOwnerExtension": "101",
    "callOwnerEmail": "ann@example.com",
    "callDirection": "INBOUND",
    "callGroupId": "800",
    "timestamp": "2026-03-02T11:00:00.000Z",
    "pbxCallId": "A1-1",
}
ALERT = {"callGroupId": "800", "callGroupName": "Sales", "alertType": "EMPTY", "alertMessage": "Nobody is logged in"}
PROBLEM = {"timestamp": "2026-03-02T12:00:00.250Z", "path": "/api/calls/from-pbx"}


@pytest.fixture
def backend():
    with start(call_logger=CallLogger(now=lambda: NOON)) as backend:
        yield backend


def ask(backend, method, path, **options):
    return requests.request(method, backend.base_url + path, **{"timeout": TIMEOUT_S} | options)


def submit(backend, call_id="A1-1", **options):
    return ask(backend, "POST", CALLS, json=CALL | {"pbxCallId": call_id}, **options)


def answers(backend, count):
    return [submit(backend).status_code for _ in range(count)]


# The rules of each field

BLANK = (None, "", " \t")
# What each field may hold, and what not.
CALL_VALUES = {
    "phoneNumber": (["x" * 50], [*BLANK, "x" * 51, "\N{TELEPHONE RECEIVER}" * 26, 12025550123]),  # 52 as Java counts
    "callOwnerExtension": (["x" * 20], [*BLANK, "x" * 21, 101]),
    "pbxCallId": (["x" * 100], [*BLANK, "x" * 101]),
    "callDuration": ([0, 2**31 - 1], [None, "95", 95.5, True, 2**31]),
    "callOwnerEmail": (
        [None, f"a@{'x' * 253}", "o'brien+calls@mail.example-office.co.uk", "ann@localhost"],
        [
            *(f"a@{'x' * 254}", f"{'x' * 65}@example.com", "ann", "ann@", "@example.com", 7),
            *("ann lee@example.com", "ann@example..com", "ann@example.com\n"),
        ],
    ),
    "callDirection": (["INBOUND", "OUTBOUND"], [None, "INTERNAL", "inbound"]),
    "callGroupId": (["x" * 100, "", None], ["x" * 101, 800]),
    "timestamp": (
        ["2024-02-29T23:59:59.999-18:00"],
        [
            *(None, 1772449200000, "2026-03-02T11:00:00Z", "2026-03-02T11:00:00.00Z", "2026-03-02T11:00:00.000000Z"),
            *("2026-03-02T11:00:00.000", "2026-03-02T11:00:00.000+0100", "2026-03-02T11:00:00.000+18:01"),
            *("2026-03-02 11:00:00.000Z", "2026-02-30T11:00:00.000Z", "2026-03-02T24:00:00.000Z"),
            "2026-03-02T11:00:00.000Z\n",
        ],
    ),
    "unknownField": (["is ignored"], []),
}
ALERT_VALUES = {
    "callGroupId": (["x" * 100], [None, " ", "x" * 101]),
    "callGroupName": ([None, "x" * 255], ["x" * 256]),
    "alertType": (["x" * 50], [None, "", "x" * 51]),
    "alertMessage": ([None, "x" * 9_999], [5]),
}


@pytest.mark.parametrize(
    ("rules", "body", "field", "values"),
    [(CALL_RULES, CALL, *case) for case in CALL_VALUES.items()]
    + [(ALERT_RULES, ALERT, *case) for case in ALERT_VALUES.items()],
)
def test_a_value_within_the_rules_is_taken_and_another_named_by_its_field(rules, body, field, values):
    good, bad = ([violations(rules, body | {field: value}) for value in some] for some in values)
    assert good == [[]] * len(good)
    assert [[found.field for found in some] for some in bad] == [[field]] * len(bad)


def test_a_field_that_is_not_there_is_as_good_as_null():
    demanded = {"phoneNumber", "callDuration", "callOwnerExtension", "callDirection", "timestamp", "pbxCallId"}
    assert {found.field for found in violations(CALL_RULES, {})} == demanded
    assert {found.field for found in violations(ALERT_RULES, {})} == {"callGroupId", "alertType"}


# Calls


def test_a_valid_call_is_created_and_answered_with_its_entry(backend):
    answer = submit(backend)
    entry = answer.json()
    assert (answer.status_code, backend.call_logger.entries) == (201, [entry])
    assert str(uuid.UUID(entry.pop("id")))
    kept = {name: value for name, value in CALL.items() if name != "timestamp"} | {"createdAt": PROBLEM["timestamp"]}
    assert entry == kept | {"startTime": "2026-03-02T10:58:25.000Z", "endTime": "2026-03-02T11:00:00.000Z"}


def test_an_entry_starts_its_duration_before_its_end_and_belongs_to_its_extension_where_it_has_no_email():
    body = CALL | {"timestamp": "2026-03-02T00:00:10.500+05:30", "callDuration": 20, "callOwnerEmail": None}
    entry = new_entry(body, created_at=NOON)
    assert (entry["startTime"], entry["endTime"]) == ("2026-03-01T18:29:50.500Z", "2026-03-01T18:30:10.500Z")
    assert entry["callOwnerEmail"] == "101@unknown.local"


def test_a_refusal_looks_like_one_of_spring_and_names_every_field_also_for_a_known_call(backend):
    submit(backend)
    answer = ask(backend, "POST", CALLS, json=CALL | {"phoneNumber": " ", "callDirection": "IN"})
    blank = {"field": "phoneNumber", "defaultMessage": "must not be blank", "rejectedValue": " "}
    other = {"field": "callDirection", "defaultMessage": "must be one of INBOUND, OUTBOUND", "rejectedValue": "IN"}
    more = {"message": "Validation failed. Error count: 2", "errors": [blank, other]}
    assert answer.status_code == 400
    assert answer.json() == PROBLEM | {"status": 400, "error": "Bad Request"} | more


def test_a_known_call_is_answered_409_with_an_empty_body(backend):
    submit(backend)
    answer = ask(backend, "POST", CALLS, json=CALL | {"callOwnerExtension": "102"})
    assert (answer.status_code, answer.content, len(backend.call_logger.entries)) == (409, b"", 1)


def test_what_only_the_database_refuses_is_answered_500_without_a_reason(backend):
    for field, value in (
        ("phoneNumber", "120\x00255"),
        ("timestamp", "0001-01-01T00:00:00.000Z"),
        ("timestamp", "9999-12-31T23:59:59.999-01:00"),
    ):
        answer = ask(backend, "POST", CALLS, json=CALL | {field: value})
        assert answer.status_code == 500
        assert answer.json() == PROBLEM | {"status": 500, "error": "Internal Server Error"}
    assert backend.call_logger.entries == []


def test_two_submissions_of_one_call_within_the_window_both_get_in_and_break_its_look_up():
    with start(call_logger=CallLogger(race_window_s=0.5)) as backend, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: submit(backend).status_code, range(2)))
        assert both == [201, 201]
        assert answers(backend, 2) == [500, 500]
        assert submit(backend, "A1-2").status_code == 201
        assert backend.call_logger.double_submissions == ["A1-1"]


def test_a_group_has_one_active_alert_at_a_time_and_a_resolved_one_keeps_its_time():
    moments = iter(NOON + timedelta(minutes=minute) for minute in range(10))
    with start(call_logger=CallLogger(now=lambda: next(moments))) as backend:
        first, again = (ask(backend, "POST", ALERTS, json=ALERT) for _ in range(2))
        other = ask(backend, "POST", ALERTS, json=ALERT | {"callGroupId": "801"}).json()
        alert = first.json()
        assert (first.status_code, again.status_code, again.json()) == (201, 201, alert)
        created = {"isActive": True, "createdAt": "2026-03-02T12:00:00.250Z", "resolvedAt": None}
        assert alert == {"id": str(uuid.UUID(alert["id"]))} | ALERT | created
        resolved, twice = (ask(backend, "PUT", f"{ALERTS}/{alert['id']}/resolve") for _ in range(2))
        ended = alert | {"isActive": False, "resolvedAt": "2026-03-02T12:02:00.250Z"}
        assert (resolved.status_code, resolved.json(), twice.json()) == (200, ended, ended)
        second = ask(backend, "POST", ALERTS, json=ALERT).json()
        lists = [ask(backend, "GET", ALERTS + more).json() for more in ("?active=true", "", "/800")]
        assert lists == [[second, other], [second, other, ended], [second, ended]]
        assert ask(backend, "PUT", f"{ALERTS}/800/resolve").status_code == 500


# The rest of HTTP


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status", "error"),
    [
        ("GET", "/calls", None, None, 404, "Not Found"),
        ("POST", "//calls/from-pbx", None, None, 404, "Not Found"),
        ("GET", CALLS, None, None, 405, "Method Not Allowed"),
        ("POST", "/health", None, None, 405, "Method Not Allowed"),
        *(("POST", CALLS, body, JSON, 400, "Bad Request") for body in (b"", b"{", b"\xff", b"[]", b"null")),
        ("POST", CALLS, json.dumps(CALL), "text/plain", 415, "Unsupported Media Type"),
    ],
)
def test_what_no_route_takes_is_refused_in_json(backend, *, method, path, body, kind, status, error):
    answer = ask(backend, method, path, data=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert method not in answer.headers.get("Allow", "")


def test_health_answers_with_epoch_milliseconds(backend):
    answer = ask(backend, "GET", "/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "timestamp": 1772452800250})


@pytest.mark.parametrize(
    ("credential", "right", "wrong"),
    [(Credential.bearer("s3cret"), "Bearer s3cret", "Bearer other"), (Credential("X-API-Key", "k3y"), "k3y", "k3")],
    ids=["bearer", "API key"],
)
def test_the_api_demands_the_right_credential_of_everybody(credential, right, wrong):
    with start(credential=credential) as backend:
        given = ({}, {credential.header: wrong}, {credential.header: right})
        assert [submit(backend, headers=headers).status_code for headers in given] == [401, 403, 201]
        assert ask(backend, "GET", "/health").status_code == 401
        assert requests.get(backend.entries_url, timeout=TIMEOUT_S).json() == backend.call_logger.entries


# Faults


def test_queued_faults_come_in_turn_and_then_the_standing_one_until_it_is_cleared(backend):
    backend.faults.stand(Fault(kind=FaultKind.ANSWER, status=502))
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=503, headers={"Retry-After": "7"}), times=2)
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=429))
    first = submit(backend)
    assert (first.status_code, first.headers["Retry-After"], first.content) == (503, "7", b"")
    assert answers(backend, 4) == [503, 429, 502, 502]
    assert backend.call_logger.entries == []
    assert ask(backend, "GET", "/health").status_code == 200
    assert ask(backend, "POST", ALERTS, json=ALERT).status_code == 201
    backend.faults.clear()
    assert answers(backend, 2) == [201, 409]
    assert backend.faults.requests == 7


def test_a_wait_comes_before_the_work_or_before_the_answer():
    done, plan = [], FaultPlan()
    plan.add(Fault(before_work_s=1, before_answer_s=2))

    def work(environ, start_response):
        done.append("work")
        return Response(status=201)(environ, start_response)

    assert Client(FaultyApp(work, plan, pause=done.append)).post(f"/api{CALLS}").status_code == 201
    assert done == [1, "work", 2]


@pytest.mark.parametrize(
    ("kind", "error", "then"),
    [
        (FaultKind.RESET_BEFORE_WORK, "reset by peer", 201),
        (FaultKind.RESET_AFTER_WORK, "reset by peer", 409),
        (FaultKind.TRUNCATE, "IncompleteRead", 409),
    ],
)
def test_a_connection_is_cut_before_or_after_the_work_without_a_word_on_the_terminal(backend, capfd, kind, error, then):
    of_others = set(threading.enumerate())
    backend.faults.add(Fault(kind=kind))
    with pytest.raises(requests.exceptions.RequestException, match=error):
        submit(backend)
    wait_until(lambda: not any("process_request_thread" in each.name for each in {*threading.enumerate()} - of_others))
    assert answers(backend, 1) == [then]
    assert capfd.readouterr() == ("", "")


# Starting and stopping


def test_a_submission_that_is_held_up_holds_up_no_other_and_not_the_end(backend):
    backend.faults.add(Fault(before_work_s=LONG_S))
    with ThreadPoolExecutor(1) as pool:
        held_up = pool.submit(submit, backend, timeout=LONG_S)
        wait_until(lambda: backend.faults.requests == 1)
        assert submit(backend, "A1-2").status_code == 201
        began = time.monotonic()
        backend.stop()
        assert time.monotonic() - began < LONG_S / 2
        with pytest.raises(requests.exceptions.ConnectionError):
            held_up.result(TIMEOUT_S)
    with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
        ask(backend, "GET", "/health")


def test_it_comes_back_to_its_port_and_shares_it_with_nobody():
    port = lasting_port()
    start(port).stop()
    with start(port) as again:
        assert ask(again, "GET", "/health").status_code == 200
        with pytest.raises(OSError, match="in use"):
            start(port)
