"""The stand-in for the Call Logger, asked over real HTTP: its rules, its race, its faults, and its end."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests

from local.call_logger import Credential, Fault, FaultKind, start
from tests.support.waiting import wait_until

NOON = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
TIMEOUT_S = 10
LONG_S = 60.0


@pytest.fixture
def backend():
    with start(now=lambda: NOON) as backend:
        yield backend


def call_body(**changes):
    return {
        "phoneNumber": "12025550123",
        "callDuration": 95,
        "callOwnerExtension": "101",
        "callOwnerEmail": "ann@example.com",
        "callDirection": "INBOUND",
        "callGroupId": "800",
        "timestamp": "2026-03-02T11:00:00.000Z",
        "pbxCallId": "A1-1",
    } | changes


def alert_body(**changes):
    return {
        "callGroupId": "800",
        "callGroupName": "Sales",
        "alertType": "NO_ASSIGNED_USERS",
        "alertMessage": "Nobody is logged in",
    } | changes


def post(backend, body, path="/calls/from-pbx", **options):
    return requests.post(backend.base_url + path, json=body, **({"timeout": TIMEOUT_S} | options))


def get(backend, path):
    return requests.get(backend.base_url + path, timeout=TIMEOUT_S)


def put(backend, path):
    return requests.put(backend.base_url + path, timeout=TIMEOUT_S)


def control(backend, method, path, **options):
    return requests.request(method, backend.control_url + path, timeout=TIMEOUT_S, **options)


def named_fields(answer):
    assert answer.status_code == 400
    return [error["field"] for error in answer.json()["errors"]]


# Submitting a call


def test_a_valid_call_is_created_and_answered_with_its_entry(backend):
    answer = post(backend, call_body())

    assert answer.status_code == 201
    entry = answer.json()
    assert str(uuid.UUID(entry.pop("id")))
    assert entry == {
        "phoneNumber": "12025550123",
        "callDuration": 95,
        "callOwnerExtension": "101",
        "callOwnerEmail": "ann@example.com",
        "callDirection": "INBOUND",
        "callGroupId": "800",
        "pbxCallId": "A1-1",
        "startTime": "2026-03-02T10:58:25.000Z",
        "endTime": "2026-03-02T11:00:00.000Z",
        "createdAt": "2026-03-02T12:00:00.250Z",
    }
    assert backend.call_logger.entries == [answer.json()]


def test_the_start_is_the_end_less_the_duration_whatever_the_offset(backend):
    entry = post(backend, call_body(timestamp="2026-03-02T00:00:10.500+05:30", callDuration=20)).json()

    assert (entry["startTime"], entry["endTime"]) == ("2026-03-01T18:29:50.500Z", "2026-03-01T18:30:10.500Z")


@pytest.mark.parametrize("missing", [True, False], ids=["absent", "null"])
def test_a_call_without_an_email_is_booked_on_its_extension(backend, missing):
    body = call_body(callOwnerEmail=None)
    if missing:
        del body["callOwnerEmail"]

    assert post(backend, body).json()["callOwnerEmail"] == "101@unknown.local"


@pytest.mark.parametrize(
    "changes",
    [
        {"phoneNumber": "x" * 50},
        {"callOwnerExtension": "x" * 20},
        {"callOwnerEmail": f"a@{'x' * 253}"},
        {"callGroupId": "x" * 100},
        {"callGroupId": ""},
        {"callGroupId": None},
        {"pbxCallId": "x" * 100},
        {"callDuration": 0},
        {"callDirection": "OUTBOUND"},
        {"callOwnerEmail": "o'brien+calls@mail.example-office.co.uk"},
        {"callOwnerEmail": "ann@localhost"},
        {"timestamp": "2024-02-29T23:59:59.999-18:00"},
        {"unknownField": "is ignored"},
    ],
    ids=str,
)
def test_what_is_just_within_the_rules_is_accepted(backend, changes):
    assert post(backend, call_body(**changes)).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (field, value)
            for field in ("phoneNumber", "callOwnerExtension", "pbxCallId")
            for value in (None, "", " \t")
        ),
        ("phoneNumber", "x" * 51),
        ("phoneNumber", "\N{TELEPHONE RECEIVER}" * 26),  # 52 as Java counts
        ("phoneNumber", 12025550123),
        ("callOwnerExtension", "x" * 21),
        ("callOwnerExtension", 101),
        ("pbxCallId", "x" * 101),
        ("callDuration", None),
        ("callDuration", "95"),
        ("callDuration", 95.5),
        ("callDuration", True),
        ("callDuration", 2**31),
        ("callOwnerEmail", f"a@{'x' * 254}"),
        ("callOwnerEmail", f"{'x' * 65}@example.com"),
        ("callOwnerEmail", "ann"),
        ("callOwnerEmail", "ann@"),
        ("callOwnerEmail", "@example.com"),
        ("callOwnerEmail", "ann lee@example.com"),
        ("callOwnerEmail", "ann@example..com"),
        ("callOwnerEmail", "ann@example.com\n"),
        ("callOwnerEmail", 7),
        ("callDirection", None),
        ("callDirection", "INTERNAL"),
        ("callDirection", "inbound"),
        ("callGroupId", "x" * 101),
        ("callGroupId", 800),
        ("timestamp", None),
        ("timestamp", 1772449200000),
        ("timestamp", "2026-03-02T11:00:00Z"),
        ("timestamp", "2026-03-02T11:00:00.00Z"),
        ("timestamp", "2026-03-02T11:00:00.000000Z"),
        ("timestamp", "2026-03-02T11:00:00.000"),
        ("timestamp", "2026-03-02T11:00:00.000+0100"),
        ("timestamp", "2026-03-02T11:00:00.000+18:01"),
        ("timestamp", "2026-03-02 11:00:00.000Z"),
        ("timestamp", "2026-02-30T11:00:00.000Z"),
        ("timestamp", "2026-03-02T24:00:00.000Z"),
        ("timestamp", "2026-03-02T11:00:00.000Z\n"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_broken_rule_is_refused_and_its_field_named(backend, field, value):
    assert named_fields(post(backend, call_body(**{field: value}))) == [field]
    assert backend.call_logger.entries == []


@pytest.mark.parametrize(
    "field", ["phoneNumber", "callDuration", "callOwnerExtension", "callDirection", "timestamp", "pbxCallId"]
)
def test_a_required_field_must_be_there(backend, field):
    body = call_body()
    del body[field]

    assert named_fields(post(backend, body)) == [field]


def test_a_refusal_looks_like_one_of_spring_and_names_every_field(backend):
    answer = post(backend, call_body(phoneNumber=" ", callDirection="INTERNAL"))

    assert answer.status_code == 400
    assert answer.json() == {
        "timestamp": "2026-03-02T12:00:00.250Z",
        "status": 400,
        "error": "Bad Request",
        "path": "/api/calls/from-pbx",
        "message": "Validation failed. Error count: 2",
        "errors": [
            {"field": "phoneNumber", "defaultMessage": "must not be blank", "rejectedValue": " "},
            {
                "field": "callDirection",
                "defaultMessage": "must be one of INBOUND, OUTBOUND",
                "rejectedValue": "INTERNAL",
            },
        ],
    }


def test_a_known_call_is_answered_409_with_an_empty_body(backend):
    post(backend, call_body())
    answer = post(backend, call_body(callOwnerExtension="102"))

    assert (answer.status_code, answer.content) == (409, b"")
    assert len(backend.call_logger.entries) == 1


def test_an_invalid_body_is_refused_even_for_a_known_call(backend):
    post(backend, call_body())

    assert post(backend, call_body(callDuration=None)).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"phoneNumber": "120\x00255"},
        {"timestamp": "0001-01-01T00:00:00.000Z"},
        {"timestamp": "9999-12-31T23:59:59.999-01:00"},
    ],
    ids=["NUL", "before time", "after time"],
)
def test_what_only_the_database_refuses_is_answered_500_without_a_reason(backend, changes):
    answer = post(backend, call_body(**changes))

    assert answer.status_code == 500
    assert answer.json() == {
        "timestamp": "2026-03-02T12:00:00.250Z",
        "status": 500,
        "error": "Internal Server Error",
        "path": "/api/calls/from-pbx",
    }
    assert backend.call_logger.entries == []


# The race


def submit_at_once(backend, count):
    ready = threading.Barrier(count)

    def submit(_):
        ready.wait(TIMEOUT_S)
        return post(backend, call_body()).status_code

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(submit, range(count)))


def test_two_submissions_of_one_call_within_the_window_both_get_in_and_break_its_look_up():
    with start(race_window_s=0.5) as backend:
        assert submit_at_once(backend, 2) == [201, 201]
        assert [post(backend, call_body()).status_code for _ in range(2)] == [500, 500]
        assert post(backend, call_body(pbxCallId="A1-2")).status_code == 201
        assert backend.call_logger.double_submissions == ["A1-1"]
        assert control(backend, "GET", "/double-submissions").json() == ["A1-1"]


def test_one_submission_after_the_other_is_no_race():
    with start(race_window_s=0.05) as backend:
        assert [post(backend, call_body()).status_code for _ in range(3)] == [201, 409, 409]
        assert backend.call_logger.double_submissions == []


# Call group alerts


def test_an_alert_is_created_active(backend):
    answer = post(backend, alert_body(), "/alerts/call-groups")

    assert answer.status_code == 201
    alert = answer.json()
    assert uuid.UUID(alert.pop("id"))
    assert alert == alert_body() | {"isActive": True, "createdAt": "2026-03-02T12:00:00.250Z", "resolvedAt": None}


def test_a_group_has_one_active_alert_at_a_time(backend):
    first = post(backend, alert_body(), "/alerts/call-groups")
    again = post(backend, alert_body(alertMessage="Still nobody"), "/alerts/call-groups")
    other = post(backend, alert_body(callGroupId="801"), "/alerts/call-groups")

    assert (again.status_code, again.json()) == (201, first.json())
    assert other.json()["id"] != first.json()["id"]
    assert len(backend.call_logger.alerts) == 2


def test_a_resolved_alert_makes_way_for_a_new_one(backend):
    first = post(backend, alert_body(), "/alerts/call-groups").json()
    resolved = put(backend, f"/alerts/call-groups/{first['id']}/resolve")
    second = post(backend, alert_body(), "/alerts/call-groups").json()

    assert resolved.status_code == 200
    assert resolved.json() == first | {"isActive": False, "resolvedAt": "2026-03-02T12:00:00.250Z"}
    assert get(backend, "/alerts/call-groups?active=true").json() == [second]
    assert get(backend, "/alerts/call-groups").json() == [second, resolved.json()]
    assert get(backend, "/alerts/call-groups/800").json() == [second, resolved.json()]
    assert get(backend, "/alerts/call-groups/801").json() == []


def test_resolving_again_keeps_the_time_of_the_first_resolution():
    moments = iter(NOON + timedelta(minutes=minute) for minute in range(10))
    with start(now=lambda: next(moments)) as backend:
        alert = post(backend, alert_body(), "/alerts/call-groups").json()
        first, again = (put(backend, f"/alerts/call-groups/{alert['id']}/resolve").json() for _ in range(2))

    assert first["resolvedAt"] == "2026-03-02T12:01:00.250Z"
    assert again == first


@pytest.mark.parametrize("unknown", [str(uuid.UUID(int=7)), "800"], ids=["unknown", "the group's id"])
def test_resolving_an_unknown_alert_is_answered_500(backend, unknown):
    post(backend, alert_body(), "/alerts/call-groups")

    assert put(backend, f"/alerts/call-groups/{unknown}/resolve").status_code == 500


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("callGroupId", None),
        ("callGroupId", " "),
        ("callGroupId", "x" * 101),
        ("callGroupName", "x" * 256),
        ("alertType", None),
        ("alertType", ""),
        ("alertType", "x" * 51),
        ("alertMessage", 5),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_broken_rule_of_an_alert_is_refused_and_its_field_named(backend, field, value):
    assert named_fields(post(backend, alert_body(**{field: value}), "/alerts/call-groups")) == [field]
    assert backend.call_logger.alerts == []


def test_an_alert_needs_neither_name_nor_message(backend):
    body = {"callGroupId": "800", "alertType": "NO_ASSIGNED_USERS"}

    assert post(backend, body, "/alerts/call-groups").status_code == 201


# The rest of the API


def test_health_answers_with_epoch_milliseconds(backend):
    answer = get(backend, "/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "timestamp": 1772452800250})


@pytest.mark.parametrize("path", ["/calls", "/calls/from-pbx/", "//calls/from-pbx"])
def test_an_unknown_path_is_answered_404_in_json(backend, path):
    answer = get(backend, path)

    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/calls/from-pbx"), ("DELETE", "/alerts/call-groups"), ("POST", "/health")]
)
def test_a_wrong_method_is_answered_405_with_the_right_ones(backend, method, path):
    answer = requests.request(method, backend.base_url + path, timeout=TIMEOUT_S)

    assert answer.status_code == 405
    assert method not in answer.headers["Allow"]
    assert answer.json()["error"] == "Method Not Allowed"


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": ', b"\xff", b"[]", b'"text"', b"null"])
def test_a_body_that_is_no_json_object_is_answered_400(backend, body):
    answer = post(backend, None, data=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")


def test_a_body_that_is_not_declared_as_json_is_answered_415(backend):
    answer = post(backend, None, data=json.dumps(call_body()), headers={"Content-Type": "text/plain"})

    assert answer.status_code == 415


# Credentials


@pytest.mark.parametrize(
    ("credential", "header", "right", "wrong"),
    [
        (Credential.bearer("s3cret"), "Authorization", "Bearer s3cret", "Bearer other"),
        (Credential("X-API-Key", "k3y"), "X-API-Key", "k3y", "k3"),
    ],
    ids=["bearer", "API key"],
)
def test_the_api_demands_the_right_credential(credential, header, right, wrong):
    with start(credential=credential) as backend:

        def status(**headers):
            return post(backend, call_body(), headers=headers).status_code

        assert status() == 401
        assert status(**{header: wrong}) == 403
        assert status(**{header: right}) == 201
        assert get(backend, "/health").status_code == 401
        assert len(control(backend, "GET", "/entries").json()) == 1


# Faults


def answers(backend, count, **options):
    return [post(backend, call_body(), **options).status_code for _ in range(count)]


def test_queued_answers_are_given_in_turn_and_no_work_is_done(backend):
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=503, headers={"Retry-After": "7"}), times=2)
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=429))
    first = post(backend, call_body())

    assert (first.status_code, first.headers["Retry-After"], first.content) == (503, "7", b"")
    assert answers(backend, 2) == [503, 429]
    assert backend.call_logger.entries == []
    assert answers(backend, 2) == [201, 409]


def test_a_standing_fault_lasts_until_it_is_cleared_and_comes_after_queued_ones(backend):
    backend.faults.stand(Fault(kind=FaultKind.ANSWER, status=502))
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=504))
    assert answers(backend, 4) == [504, 502, 502, 502]

    backend.faults.clear()
    assert answers(backend, 1) == [201]


def test_faults_are_for_submissions_only(backend):
    backend.faults.stand(Fault(kind=FaultKind.ANSWER, status=503))

    assert get(backend, "/health").status_code == 200
    assert post(backend, alert_body(), "/alerts/call-groups").status_code == 201
    assert get(backend, "/calls/from-pbx").status_code == 405


def test_a_slow_answer_comes_late(backend):
    backend.faults.add(Fault(before_work_s=0.2, before_answer_s=0.2))
    began = time.monotonic()

    assert answers(backend, 1) == [201]
    assert time.monotonic() - began >= 0.4


def test_a_client_that_gives_up_during_slow_work_finds_the_call_in_later(backend):
    backend.faults.add(Fault(before_work_s=1.0))
    with pytest.raises(requests.exceptions.ReadTimeout):
        post(backend, call_body(), timeout=0.2)
    assert backend.call_logger.entries == []

    wait_until(lambda: backend.call_logger.entries)
    assert answers(backend, 1) == [409]


def test_a_client_that_gives_up_before_a_slow_answer_finds_the_call_in_at_once(backend):
    backend.faults.add(Fault(before_answer_s=LONG_S))
    with pytest.raises(requests.exceptions.ReadTimeout):
        post(backend, call_body(), timeout=0.5)

    assert answers(backend, 1) == [409]


def test_a_reset_before_the_work_leaves_no_call(backend):
    backend.faults.add(Fault(kind=FaultKind.RESET_BEFORE_WORK))
    with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer"):
        post(backend, call_body())

    assert backend.call_logger.entries == []
    assert answers(backend, 1) == [201]


def test_a_reset_after_the_work_loses_only_the_answer(backend):
    backend.faults.add(Fault(kind=FaultKind.RESET_AFTER_WORK), times=2)
    for _ in range(2):
        with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer"):
            post(backend, call_body())

    assert len(backend.call_logger.entries) == 1
    assert answers(backend, 1) == [409]


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE_WORK, FaultKind.RESET_AFTER_WORK, FaultKind.TRUNCATE])
def test_a_connection_cut_on_purpose_leaves_no_trace_on_the_terminal(backend, capfd, kind):
    backend.faults.add(Fault(kind=kind))
    with pytest.raises(requests.exceptions.RequestException):
        post(backend, call_body())

    wait_until(lambda: not any("process_request_thread" in thread.name for thread in threading.enumerate()))
    assert capfd.readouterr() == ("", "")


def test_a_truncated_answer_has_the_head_of_a_201_and_half_a_body(backend):
    backend.faults.add(Fault(kind=FaultKind.TRUNCATE))
    with post(backend, call_body(), stream=True) as answer:
        assert answer.status_code == 201
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            _ = answer.content

    assert answers(backend, 1) == [409]


def test_the_fault_of_one_submission_does_not_hold_up_another(backend):
    backend.faults.add(Fault(before_work_s=LONG_S))
    with ThreadPoolExecutor(1) as pool:
        held_up = pool.submit(post, backend, call_body())
        wait_until(lambda: backend.faults.requests == 1)
        assert post(backend, call_body(pbxCallId="A1-2")).status_code == 201
        backend.stop()
        with pytest.raises(requests.exceptions.ConnectionError):
            held_up.result(TIMEOUT_S)


# Control over HTTP


def test_faults_are_ordered_and_cleared_over_http(backend):
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=504))
    orders = {
        "next": [{"kind": "answer", "status": 503, "headers": {"Retry-After": "1"}, "times": 2}],
        "standing": {"kind": "answer", "status": 500},
    }

    assert control(backend, "PUT", "/faults", json=orders).status_code == 204
    assert answers(backend, 4) == [503, 503, 500, 500]
    assert control(backend, "DELETE", "/faults").status_code == 204
    assert answers(backend, 1) == [201]


@pytest.mark.parametrize(
    ("orders", "named"),
    [
        ("{", "JSON"),
        ('{"later": []}', "later"),
        ('{"next": [{"kind": "explode"}]}', "kind"),
        ('{"next": [{"times": 0}]}', "times"),
        ('{"standing": {"status": 9}}', "status"),
        ('{"standing": {"before_work_s": -1}}', "before_work_s"),
    ],
)
def test_orders_that_make_no_sense_are_refused_and_change_nothing(backend, orders, named):
    backend.faults.stand(Fault(kind=FaultKind.ANSWER, status=503))
    answer = control(backend, "PUT", "/faults", data=orders)

    assert answer.status_code == 400
    assert named in answer.text
    assert answers(backend, 1) == [503]


def test_entries_and_the_count_of_submissions_can_be_asked_for(backend):
    backend.faults.add(Fault(kind=FaultKind.ANSWER, status=503))
    backend.faults.add(Fault(kind=FaultKind.RESET_AFTER_WORK))
    post(backend, call_body())
    with pytest.raises(requests.exceptions.ConnectionError):
        post(backend, call_body())
    post(backend, call_body())
    get(backend, "/health")

    assert control(backend, "GET", "/requests").json() == {"count": 3}
    assert control(backend, "GET", "/entries").json() == backend.call_logger.entries
    assert [entry["pbxCallId"] for entry in backend.call_logger.entries] == ["A1-1"]


# Starting and stopping


def port_of(backend):
    return int(backend.base_url.split(":")[2].partition("/")[0])


def test_stopping_is_prompt_and_gives_the_port_back():
    with start() as backend:
        port = port_of(backend)
        backend.faults.stand(Fault(before_answer_s=LONG_S))
        with ThreadPoolExecutor(1) as pool:
            held_up = pool.submit(post, backend, call_body(), timeout=LONG_S)
            wait_until(lambda: backend.call_logger.entries)
            began = time.monotonic()
            backend.stop()
            assert time.monotonic() - began < 1
            with pytest.raises(requests.exceptions.ConnectionError):
                held_up.result(TIMEOUT_S)
    with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
        get(backend, "/health")

    with start(port) as again:
        assert get(again, "/health").status_code == 200


def test_a_taken_port_is_an_error_of_the_caller(backend):
    with pytest.raises(OSError, match="in use"):
        start(port_of(backend))


def test_no_request_is_logged(backend, capfd):
    post(backend, call_body())
    post(backend, call_body(callDuration=None))

    assert capfd.readouterr() == ("", "")


def run_process(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "local.call_logger", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_says_one_line_when_ready_serves_and_ends_on_a_signal(number):
    with run_process("--port", "0", "--api-key", "X-API-Key=k3y", "--race-window", "30") as process:
        line = process.stdout.readline()
        base_url = re.search(r"http://127\.0\.0\.1:\d+/api", line)[0]
        headers = {"X-API-Key": "k3y"}
        created = requests.post(f"{base_url}/calls/from-pbx", json=call_body(), headers=headers, timeout=TIMEOUT_S)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=TIMEOUT_S)

    assert created.status_code == 201
    assert created.elapsed >= timedelta(milliseconds=30)
    assert (process.returncode, rest) == (0, "")


def test_the_process_demands_a_bearer_token_if_told_so():
    with run_process("--port", "0", "--bearer", "s3cret") as process:
        base_url = re.search(r"http://\S+", process.stdout.readline())[0]
        headers = {"Authorization": "Bearer s3cret"}
        statuses = [
            requests.get(f"{base_url}/health", headers=given, timeout=TIMEOUT_S).status_code for given in ({}, headers)
        ]
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)

    assert statuses == [401, 200]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--api-key", "k3y"], "expected HEADER=KEY"),
        (["--bearer", "a", "--api-key", "b=c"], "not allowed with"),
    ],
    ids=["key without a header", "two credentials"],
)
def test_the_process_refuses_arguments_that_make_no_sense(arguments, message):
    with run_process(*arguments) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode != 0
    assert message in output.splitlines()[-1]


def test_the_process_says_in_one_line_that_its_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with run_process("--port", str(port)) as process:
            output, _ = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 1
    (line,) = output.splitlines()
    assert line.startswith(f"The Call Logger stand-in cannot listen on port {port}: ")
    assert "already in use" in line
