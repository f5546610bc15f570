"""What every CallApi does: the twin, and the Call Logger's stand-in over HTTP.

What each answer means is shown in tests/unit/call_logger/test_answers.py, that an exchange ends at its deadline in
test_http_client.py, whom we talk to at all in tests/security/test_wire.py. Here is what becomes of a call.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from requests import PreparedRequest
from requests.auth import AuthBase

from cdr.calls.body import body_of
from cdr.edges.call_logger.auth import make_auth
from cdr.edges.call_logger.calls import RestCallApi, wait_before_next
from cdr.submission.ports import CallApi, Visit
from local import call_logger
from local.call_logger import CallLogger, Credential, Fault, FaultKind, RunningCallLogger
from shared.config.call_logger import ApiKeyAuth, BearerAuth, NoAuth
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiRejected,
    ApiUnavailable,
    ApiUnreachable,
    NoTimeLeft,
    PipelineError,
    SubmissionUnknown,
    TakenElsewhere,
)
from tests.fakes.call_api import InMemoryCallApi
from tests.fakes.clock import HandMovedClock
from tests.support.factories import make_call
from tests.support.ports import lasting_port
from tests.systems.conversation import answering, serving
from tests.systems.raw_server import raw_server

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
PLENTY = NOW + timedelta(minutes=30)
SECRET = "hunter2-is-the-token"


class Clock(HandMovedClock):
    """Remembers how long was slept, and does something first when it is told to."""

    def __init__(self) -> None:
        super().__init__(NOW)
        self.slept: list[float] = []
        self.before_sleeping: Callable[[], Any] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.before_sleeping()
        self.slept.append(seconds)
        super().sleep(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Iterator[RunningCallLogger]:
    with call_logger.start() as running:
        yield running


Connect = Callable[..., RestCallApi]


@pytest.fixture
def connect(clock: Clock) -> Connect:
    """Makes the real client for an address; patience and credentials are those of a test."""

    def make(base_url: str, *, attempts: int = 3, timeout_s: float = 5, auth: Any = None, **more: Any) -> RestCallApi:
        options = {"timeout": timedelta(seconds=timeout_s), "auth": make_auth(auth or NoAuth(type="none"))}
        return RestCallApi(base_url, attempts=attempts, clock=clock, **options, **more)

    return make


@pytest.fixture
def api(server: RunningCallLogger, connect: Connect) -> RestCallApi:
    return connect(server.base_url)


@pytest.fixture(params=["twin", "http"])
def either(request: pytest.FixtureRequest) -> tuple[CallApi, CallLogger]:
    """An API, and what stands behind it."""
    if request.param == "twin":
        twin = InMemoryCallApi()
        return twin, twin.call_logger
    return request.getfixturevalue("api"), request.getfixturevalue("server").call_logger


def failure_of(api: RestCallApi, **options: Any) -> PipelineError:
    """What submitting raises: one line, and no secret is in it nor in what caused it."""
    with pytest.raises(PipelineError) as caught:
        api.submit(make_call(), **({"give_up_at": PLENTY} | options))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return caught.value


def said(status: int, body: bytes = b"", headers: str = "") -> bytes:
    kind = "" if not body else "Content-Type: application/json\r\n"
    return f"HTTP/1.1 {status} X\r\n{kind}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


CREATED = said(201, b'{"id":"abc"}')


# What the API takes and what it does not


def test_a_call_gets_in_and_the_apis_own_id_comes_back(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    accepted = api.submit(make_call(), give_up_at=PLENTY)
    (entry,) = behind.entries
    assert (accepted.entry_id, accepted.earlier) == (entry["id"], False)
    sent = body_of(make_call())
    del sent["timestamp"]
    assert sent.items() <= entry.items()
    assert datetime.fromisoformat(entry["endTime"]) == make_call().ended_at


def test_a_call_that_the_api_had_before_is_in_by_an_earlier_submission(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    api.submit(make_call(), give_up_at=PLENTY)
    accepted = api.submit(make_call(), give_up_at=PLENTY)
    assert (accepted.entry_id, accepted.earlier) == (None, True)
    assert len(behind.entries) == 1


def test_a_call_without_an_address_is_booked_on_its_extension(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    api.submit(make_call(email=None, call_group_id="800"), give_up_at=PLENTY)
    (entry,) = behind.entries
    assert (entry["callOwnerEmail"], entry["callGroupId"]) == ("101@unknown.local", "800")


def test_a_call_that_breaks_the_apis_rules_is_rejected_in_its_own_words(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    with pytest.raises(ApiRejected) as caught:
        api.submit(make_call(phone_number="9" * 51), give_up_at=PLENTY)
    assert all(words in str(caught.value) for words in ("400", "phoneNumber", "size must be between 0 and 50"))
    assert behind.entries == []


def test_a_call_that_the_apis_database_does_not_take_makes_it_fail_rather_than_refuse(
    either: tuple[CallApi, CallLogger],
) -> None:
    api, _ = either
    with pytest.raises(ApiUnavailable, match="500"):
        api.submit(make_call(phone_number="1\0"), give_up_at=PLENTY)


def test_text_beyond_ascii_arrives_unchanged(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    api.submit(make_call(pbx_call_id="Zoë 漢字 😀"), give_up_at=PLENTY)
    assert behind.entries[0]["pbxCallId"] == "Zoë 漢字 😀"


def test_a_healthy_api_is_healthy(either: tuple[CallApi, CallLogger]) -> None:
    either[0].check_health()


@pytest.mark.parametrize(
    ("body", "entry_id"),
    [
        (b'{"id": "abc"}', "abc"),
        (b'{"id": 17}', "17"),
        (b'{"id": "a b\\n"}', None),
        (b'{"id": "' + b"x" * 65 + b'"}', None),
    ],
)
def test_the_apis_id_is_taken_where_it_is_one(connect: Connect, body: bytes, entry_id: str | None) -> None:
    with answering(said(201, body)) as server:
        accepted = connect(server.url).submit(make_call(), give_up_at=PLENTY)
    assert (accepted.entry_id, accepted.earlier) == (entry_id, False)


# What is certainly not in is tried again


def test_a_failure_that_passes_is_sat_out(connect: Connect, clock: Clock) -> None:
    with answering(said(500), said(500), CREATED) as server:
        assert connect(server.url, random=lambda: 0.25).submit(make_call(), give_up_at=PLENTY).entry_id == "abc"
        assert (len(server.requests), clock.slept) == (3, [1.25, 2.25])


@pytest.mark.parametrize("answer", [CREATED, said(400, b"{}"), said(401), b""], ids=["in", "refused", "denied", "none"])
def test_what_a_submission_took_is_known_whatever_came_of_it(connect: Connect, clock: Clock, answer: bytes) -> None:
    visit = Visit()
    with answering(said(500), said(500), answer) as server, suppress(PipelineError):
        api = connect(server.url, timeout_s=1, random=lambda: 0.25, monotonic=lambda: clock.now().timestamp())
        api.submit(make_call(), give_up_at=PLENTY, visit=visit)
    assert visit == Visit(tries=3, took=timedelta(seconds=3.5))


def test_the_attempts_are_counted_from_the_first(connect: Connect) -> None:
    with answering(said(500)) as server:
        assert isinstance(failure_of(connect(server.url, attempts=4)), ApiFailed)
        assert len(server.requests) == 4


def test_waits_grow_from_a_second_to_ten_and_differ() -> None:
    assert [wait_before_next(n, lambda: 0.5).total_seconds() for n in range(1, 7)] == [1.5, 2.5, 4.5, 8.5, 10, 10]


def test_no_attempt_begins_that_could_outlast_the_workers_time(connect: Connect, clock: Clock) -> None:
    with answering(said(500)) as server:
        api = connect(server.url, attempts=10, timeout_s=20, random=lambda: 0.0)
        failure_of(api, give_up_at=NOW + timedelta(seconds=1 + 2 + 4 + 20 - 0.1))
        assert (len(server.requests), clock.slept) == (3, [1, 2])


def test_no_attempt_goes_on_beyond_the_workers_time(connect: Connect) -> None:
    with serving(lambda conversation: conversation.over.wait(60)) as server:
        api = connect(server.url, timeout_s=60)
        assert isinstance(failure_of(api, give_up_at=NOW + timedelta(seconds=0.2)), SubmissionUnknown)


def test_a_worker_without_time_sends_nothing(connect: Connect) -> None:
    """It stood still since it claimed the call; by now it may be another's."""
    with answering(CREATED) as server:
        assert isinstance(failure_of(connect(server.url), give_up_at=NOW), NoTimeLeft)
        assert server.requests == []


@pytest.mark.parametrize(("frozen_s", "requests"), [(29, 1), (30, 0), (3_600, 0)])
def test_a_worker_that_was_frozen_right_before_it_sends_does_not_send_too_late(
    server: RunningCallLogger, clock: Clock, frozen_s: int, requests: int
) -> None:
    class Freezing(AuthBase):
        """Credentials are put on a request when all else is done."""

        def __call__(self, request: PreparedRequest) -> PreparedRequest:
            clock.move(timedelta(seconds=frozen_s))
            return request

    api = RestCallApi(server.base_url, timeout=timedelta(seconds=20), attempts=3, auth=Freezing(), clock=clock)
    with suppress(NoTimeLeft):
        api.submit(make_call(), give_up_at=NOW + timedelta(seconds=30))
    assert server.faults.requests == len(server.call_logger.entries) == requests


def test_a_probe_is_a_single_attempt(connect: Connect, clock: Clock) -> None:
    with answering(said(500), CREATED) as server:
        assert isinstance(failure_of(connect(server.url), patient=False), ApiUnavailable)
        assert (len(server.requests), clock.slept) == (1, [])


@pytest.mark.parametrize("where", ["http://127.0.0.1:{}", "http://no-such-host.invalid"])
def test_what_is_not_reached_is_tried_again_and_then_unavailable(
    connect: Connect, clock: Clock, where: str, closed_port: int
) -> None:
    failure = failure_of(connect(where.format(closed_port), attempts=4))
    assert isinstance(failure, ApiUnreachable)
    assert "api.base_url" in str(failure)
    assert len(clock.slept) == 3


def test_an_api_that_comes_up_between_two_attempts_is_reached(connect: Connect, clock: Clock) -> None:
    started: list[RunningCallLogger] = []
    port = lasting_port()
    api = connect(f"http://127.0.0.1:{port}/api")
    clock.before_sleeping = lambda: started or started.append(call_logger.start(port))
    try:
        assert api.submit(make_call(), give_up_at=PLENTY).earlier is False
    finally:
        for running in started:
            running.stop()
    assert len(clock.slept) == 1


# Nothing else is


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(502), SubmissionUnknown),
        (said(503, headers="Retry-After: 1\r\n"), SubmissionUnknown),
        (said(500, b"<html>"), SubmissionUnknown),
        (said(500, b'{"message": "x"}'), ApiFailed),
        (said(408), SubmissionUnknown),
        (said(201, b'{"id": "abc"}')[:-3], SubmissionUnknown),
        (said(201, b'{"id": "abc", "pbxCallId": "another-call"}'), SubmissionUnknown),
        (said(429, headers="Retry-After: 1\r\n"), ApiUnreachable),
        (said(409, b"error code: 1001"), ApiDenied),
        (said(400, b"<html>"), ApiDenied),
        (said(200, b"{}"), TakenElsewhere),
        (said(202), TakenElsewhere),
        (said(204), TakenElsewhere),
        (said(201, b"{}"), TakenElsewhere),
        (said(201, b"<html>welcome</html>"), TakenElsewhere),
        (said(499), SubmissionUnknown),
        (said(401), ApiDenied),
        (said(400, b"{}"), ApiRejected),
    ],
    ids=lambda value: value.decode(errors="replace")[9:12] if isinstance(value, bytes) else value.__name__,
)
def test_whatever_else_is_answered_the_call_is_sent_once(
    connect: Connect, clock: Clock, answer: bytes, kind: type[PipelineError]
) -> None:
    def play(conversation: Any) -> None:
        server.requests.append(conversation.read_request())
        conversation.say(answer)

    with serving(play) as server:
        assert type(failure_of(connect(server.url))) is kind
        assert (len(server.requests), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("fault", "gets_in"),
    [
        (Fault(kind=FaultKind.RESET_BEFORE_WORK), 0),
        (Fault(kind=FaultKind.RESET_AFTER_WORK), 1),
        (Fault(before_answer_s=20), 1),
        (Fault(before_work_s=20), 0),
        (Fault(kind=FaultKind.TRUNCATE), 1),
    ],
    ids=["reset before work", "reset after work", "time-out after work", "time-out before work", "cut off"],
)
def test_a_call_that_was_sent_without_a_whole_answer_is_not_sent_again(
    server: RunningCallLogger, connect: Connect, clock: Clock, fault: Fault, gets_in: int
) -> None:
    server.faults.add(fault)
    assert isinstance(failure_of(connect(server.base_url, timeout_s=0.5)), SubmissionUnknown)
    assert (server.faults.requests, clock.slept, len(server.call_logger.entries)) == (1, [], gets_in)


def test_the_wait_that_is_asked_for_is_handed_on(connect: Connect) -> None:
    with answering(said(429, headers="Retry-After: 3600\r\n")) as server:
        failure = failure_of(connect(server.url))
    assert isinstance(failure, ApiUnavailable)
    assert failure.retry_after == timedelta(hours=1)


# Credentials


@pytest.mark.parametrize(
    ("demanded", "auth", "another"),
    [
        (Credential.bearer(SECRET), BearerAuth(type="bearer", token=SECRET), BearerAuth(type="bearer", token="wrong")),
        (Credential("X-API-Key", SECRET), ApiKeyAuth(type="api_key", key=SECRET), None),
        (
            Credential("X-Own", SECRET),
            ApiKeyAuth(type="api_key", header="X-Own", key=SECRET),
            ApiKeyAuth(type="api_key", key=SECRET),
        ),
    ],
    ids=["bearer", "api key", "api key in a header of its own"],
)
def test_credentials_are_sent_and_without_the_right_ones_the_api_denies(
    connect: Connect, demanded: Credential, auth: Any, another: Any
) -> None:
    with call_logger.start(credential=demanded) as server:
        api = connect(server.base_url, auth=auth)
        api.check_health()
        api.submit(make_call(), give_up_at=PLENTY)
        assert len(server.call_logger.entries) == 1
        assert SECRET not in repr(api) + repr(vars(api)) + repr(auth) + repr(make_auth(auth))
        for stranger in (connect(server.base_url), connect(server.base_url, auth=another)):
            failure = failure_of(stranger)
            assert isinstance(failure, ApiDenied)
            assert "api.auth" in str(failure)
            with pytest.raises(ApiDenied, match=r"api\.auth"):
                stranger.check_health()


# Health


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said(503), ApiUnreachable),
        (said(500), ApiFailed),
        (said(302, headers="Location: http://[::1\r\n"), ApiDenied),
        (said(200, b"<html>welcome</html>"), ApiDenied),
        (said(200), ApiDenied),
        (said(404, b"{}"), ApiDenied),
        (said(201, b"{}"), ApiDenied),
        (b"", ApiUnreachable),
    ],
)
def test_an_api_that_does_not_say_that_it_is_well_is_not(
    connect: Connect, clock: Clock, answer: bytes, kind: type[PipelineError]
) -> None:
    with raw_server(answer) as server, pytest.raises(PipelineError) as caught:
        connect(f"http://127.0.0.1:{server.port}", attempts=9).check_health()
    assert (type(caught.value), clock.slept) == (kind, [])


def test_an_api_that_is_not_there_is_not_healthy(connect: Connect, clock: Clock, closed_port: int) -> None:
    with pytest.raises(ApiUnreachable):
        connect(f"http://127.0.0.1:{closed_port}/api", attempts=9).check_health()
    assert clock.slept == []
