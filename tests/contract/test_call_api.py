"""What every CallApi does: the twin, and the Call Logger's stand-in over HTTP."""

from __future__ import annotations

import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pysqlbridge.certificate import self_signed

from cdr.calls.rules import body_of
from cdr.edges.call_logger.auth import make_auth
from cdr.edges.call_logger.calls import RestCallApi
from cdr.submission.ports import CallApi
from local import call_logger
from local.call_logger import CallLogger, Credential, Fault, FaultKind, RunningCallLogger
from shared.clock import HandMovedClock
from shared.config.settings import ApiKeyAuth, BearerAuth, NoAuth
from shared.errors import ApiDenied, ApiRejected, ApiUnavailable, PipelineError, SubmissionUnknown
from tests.fakes.twins import InMemoryCallApi
from tests.support.factories import make_call
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


@pytest.fixture
def connect(clock: Clock) -> Callable[..., RestCallApi]:
    """Makes the real client for an address; patience and credentials are those of a test."""

    def make(base_url: str, *, attempts: int = 3, timeout_s: float = 5, auth: Any = None, **more: Any) -> RestCallApi:
        timeout = timedelta(seconds=timeout_s)
        auth = make_auth(auth or NoAuth(type="none"))
        return RestCallApi(base_url, timeout=timeout, attempts=attempts, auth=auth, clock=clock, **more)

    return make


Connect = Callable[..., RestCallApi]


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


def answered(status: int, **headers: str) -> Fault:
    return Fault(kind=FaultKind.ANSWER, status=status, headers=headers)


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
    assert entry["callOwnerEmail"] == "101@unknown.local"
    assert entry["callGroupId"] == "800"


def test_a_call_that_breaks_the_apis_rules_is_rejected_in_its_own_words(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    with pytest.raises(ApiRejected) as caught:
        api.submit(make_call(phone_number="9" * 51), give_up_at=PLENTY)
    for words in ("400", "phoneNumber", "size must be between 0 and 50"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert behind.entries == []


def test_a_call_that_is_in_twice_makes_the_api_fail_rather_than_refuse(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    behind.submit(body_of(make_call(pbx_call_id="other")))
    behind._entries_of_call[make_call().pbx_call_id] = 2
    with pytest.raises(ApiUnavailable):
        api.submit(make_call(), give_up_at=PLENTY)


def test_text_beyond_ascii_arrives_unchanged(either: tuple[CallApi, CallLogger]) -> None:
    api, behind = either
    api.submit(make_call(pbx_call_id="Zoë 漢字 😀"), give_up_at=PLENTY)
    assert behind.entries[0]["pbxCallId"] == "Zoë 漢字 😀"


def test_a_healthy_api_is_healthy(either: tuple[CallApi, CallLogger]) -> None:
    either[0].check_health()


# Answers


@pytest.mark.parametrize("status", [500, 502, 503, 599, 429, 408, 425])
def test_an_answer_that_may_be_better_next_time_is_tried_again_and_then_given_up(
    server: RunningCallLogger, connect: Connect, status: int
) -> None:
    server.faults.stand(answered(status))
    failure = failure_of(connect(server.base_url, attempts=4))
    assert isinstance(failure, ApiUnavailable)
    assert str(status) in str(failure)
    assert server.faults.requests == 4


def test_a_failure_that_passes_is_sat_out(server: RunningCallLogger, api: RestCallApi, clock: Clock) -> None:
    server.faults.add(answered(503), times=2)
    assert api.submit(make_call(), give_up_at=PLENTY).earlier is False
    assert server.faults.requests == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("status", [400, 406, 409, 413, 415, 422, 451])
def test_a_refusal_of_the_call_itself_is_not_repeated(server: RunningCallLogger, api: RestCallApi, status: int) -> None:
    server.faults.stand(answered(status))
    if status == 409:
        assert api.submit(make_call(), give_up_at=PLENTY).earlier is True
    else:
        assert isinstance(failure_of(api), ApiRejected)
    assert server.faults.requests == 1


@pytest.mark.parametrize(("status", "setting"), [(401, "api.auth"), (403, "api.auth"), (404, "api.base_url")])
def test_an_answer_that_an_operator_must_mend_names_the_setting_and_is_not_repeated(
    server: RunningCallLogger, api: RestCallApi, status: int, setting: str
) -> None:
    server.faults.stand(answered(status))
    failure = failure_of(api)
    assert isinstance(failure, ApiDenied)
    assert setting in str(failure)
    assert server.faults.requests == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_but_a_wrong_address(
    server: RunningCallLogger, api: RestCallApi, status: int
) -> None:
    server.faults.add(answered(status, Location=f"{server.base_url}/calls/from-pbx"))
    failure = failure_of(api)
    assert isinstance(failure, ApiDenied)
    assert "api.base_url" in str(failure)
    assert server.faults.requests == 1
    assert server.call_logger.entries == []


def test_a_wrong_path_names_the_setting_of_the_address(server: RunningCallLogger, connect: Connect) -> None:
    failure = failure_of(connect(server.base_url.replace("/api", "/wrong")))
    assert isinstance(failure, ApiDenied)
    assert "api.base_url" in str(failure)


# Waiting between tries


def test_waits_grow_from_a_second_to_ten_with_jitter(server: RunningCallLogger, connect: Connect, clock: Clock) -> None:
    server.faults.stand(answered(503))
    failure_of(connect(server.base_url, attempts=7))
    for waited, least in zip(clock.slept, (1, 2, 4, 8, 10, 10), strict=True):
        assert least <= waited <= min(least + 1, 10)
    assert any(waited != round(waited) for waited in clock.slept)


def test_the_wait_that_the_api_asks_for_is_obeyed_to_the_second(
    server: RunningCallLogger, api: RestCallApi, clock: Clock
) -> None:
    server.faults.add(answered(503, **{"Retry-After": "37"}))
    server.faults.add(answered(429, **{"Retry-After": "0"}))
    api.submit(make_call(), give_up_at=PLENTY)
    assert clock.slept == [37, 0]


def test_the_moment_that_the_api_asks_for_is_obeyed(server: RunningCallLogger, api: RestCallApi, clock: Clock) -> None:
    moment = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    past = format_datetime(NOW - timedelta(days=1), usegmt=True)
    server.faults.add(answered(503, **{"Retry-After": moment}))
    server.faults.add(answered(503, **{"Retry-After": past}))
    api.submit(make_call(), give_up_at=PLENTY)
    assert clock.slept == [90, 0]


@pytest.mark.parametrize("header", ["soon", "-5", "1e3", "", "Fri, 99 Nov 2026 99:99:99 GMT"])
def test_a_wait_that_nobody_understands_counts_as_none(
    server: RunningCallLogger, api: RestCallApi, clock: Clock, header: str
) -> None:
    server.faults.add(answered(503, **{"Retry-After": header}))
    api.submit(make_call(), give_up_at=PLENTY)
    assert [1 <= waited <= 2 for waited in clock.slept] == [True]


def test_a_wait_that_is_too_long_for_this_worker_is_handed_on_instead(
    server: RunningCallLogger, api: RestCallApi, clock: Clock
) -> None:
    server.faults.stand(answered(503, **{"Retry-After": "3600"}))
    failure = failure_of(api, give_up_at=NOW + timedelta(seconds=150))
    assert isinstance(failure, ApiUnavailable)
    assert failure.retry_after == timedelta(hours=1)
    assert (server.faults.requests, clock.slept) == (1, [])


def test_no_try_begins_that_could_outlast_the_workers_time(
    server: RunningCallLogger, connect: Connect, clock: Clock
) -> None:
    server.faults.stand(answered(503, **{"Retry-After": "10"}))
    timeout_s, connecting_s = 20, 5
    give_up_at = NOW + timedelta(seconds=10 + 10 + 10 + connecting_s + timeout_s - 1)
    failure_of(connect(server.base_url, attempts=10, timeout_s=timeout_s), give_up_at=give_up_at)
    assert server.faults.requests == 3
    assert clock.now() + timedelta(seconds=connecting_s + timeout_s) <= give_up_at


def test_a_probe_is_a_single_try(server: RunningCallLogger, api: RestCallApi, clock: Clock) -> None:
    server.faults.stand(answered(503))
    assert isinstance(failure_of(api, patient=False), ApiUnavailable)
    assert (server.faults.requests, clock.slept) == (1, [])


# Never sent


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections; nobody else takes it meanwhile."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield nobody.getsockname()[1]


def test_a_refused_connection_is_tried_again_and_then_unavailable(connect: Connect, clock: Clock) -> None:
    with closed_port() as port:
        failure = failure_of(connect(f"http://127.0.0.1:{port}/api", attempts=4))
    assert isinstance(failure, ApiUnavailable)
    assert "api.base_url" in str(failure)
    assert len(clock.slept) == 3


def test_an_api_that_comes_up_between_two_tries_is_reached(connect: Connect, clock: Clock) -> None:
    started: list[RunningCallLogger] = []
    with closed_port() as port:
        api = connect(f"http://127.0.0.1:{port}/api")
    clock.before_sleeping = lambda: started or started.append(call_logger.start(port))
    try:
        assert api.submit(make_call(), give_up_at=PLENTY).earlier is False
    finally:
        for running in started:
            running.stop()
    assert len(clock.slept) == 1


def test_a_host_that_nobody_knows_is_unavailable(connect: Connect, clock: Clock) -> None:
    assert isinstance(failure_of(connect("http://no-such-host.invalid/api")), ApiUnavailable)
    assert len(clock.slept) == 2


# Sent, and no answer


@pytest.mark.parametrize(
    ("fault", "gets_in"),
    [
        (Fault(kind=FaultKind.RESET_BEFORE_WORK), 0),
        (Fault(kind=FaultKind.RESET_AFTER_WORK), 1),
        (Fault(before_answer_s=20), 1),
        (Fault(before_work_s=20), 0),
        (answered(504), 0),
    ],
    ids=["reset before work", "reset after work", "time-out after work", "time-out before work", "gateway time-out"],
)
def test_a_call_that_was_sent_without_an_answer_is_not_sent_again(
    server: RunningCallLogger, connect: Connect, clock: Clock, fault: Fault, gets_in: int
) -> None:
    server.faults.add(fault)
    failure = failure_of(connect(server.base_url, timeout_s=0.5))
    assert isinstance(failure, SubmissionUnknown)
    assert (server.faults.requests, clock.slept) == (1, [])
    assert len(server.call_logger.entries) == gets_in


def test_an_answer_that_breaks_off_after_its_status_still_counts(server: RunningCallLogger, api: RestCallApi) -> None:
    server.faults.add(Fault(kind=FaultKind.TRUNCATE))
    assert api.submit(make_call(), give_up_at=PLENTY).earlier is False
    assert server.faults.requests == 1
    assert len(server.call_logger.entries) == 1


# Answers that no well-behaved server gives

CREATED = b'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"id":"abc"}'


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 ",
        b"\x15\x03\x01\x00\x02\x02\x0a",
    ],
    ids=["nothing", "another protocol", "half a status", "a TLS alert"],
)
def test_an_answer_that_is_no_http_leaves_the_call_unknown(connect: Connect, answer: bytes) -> None:
    with raw_server(answer, CREATED) as server:
        failure = failure_of(connect(f"http://127.0.0.1:{server.port}/api"))
        assert len(server.requests) == 1
    assert isinstance(failure, SubmissionUnknown)


@pytest.mark.parametrize(
    ("body", "entry_id"),
    [
        (b'{"id":"abc"}', "abc"),
        (b'{"call": 1, "id" : 17}', "17"),
        (b"created", None),
        (b"", None),
        (b"\xff\xfe\x00", None),
        (b'{"id":"abc", "padding": "' + b"x" * 100_000, "abc"),
    ],
    ids=["text", "number", "no JSON", "empty", "no UTF-8", "large"],
)
def test_the_apis_id_is_taken_where_there_is_one_and_the_status_alone_decides(
    connect: Connect, body: bytes, entry_id: str | None
) -> None:
    answer = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with raw_server(answer) as server:
        accepted = connect(f"http://127.0.0.1:{server.port}/api").submit(make_call(), give_up_at=PLENTY)
    assert (accepted.entry_id, accepted.earlier) == (entry_id, False)


def test_an_answer_that_breaks_off_within_its_head_counts_by_its_status(connect: Connect) -> None:
    with raw_server(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Le") as server:
        accepted = connect(f"http://127.0.0.1:{server.port}/api").submit(make_call(), give_up_at=PLENTY)
    assert (accepted.entry_id, accepted.earlier) == (None, False)


def test_a_connection_is_kept_for_the_next_call_and_replaced_once_the_api_has_closed_it(connect: Connect) -> None:
    with raw_server(CREATED, CREATED, CREATED.replace(b"\r\nC", b"\r\nConnection: close\r\nC", 1), CREATED) as server:
        api = connect(f"http://127.0.0.1:{server.port}/api")
        for number in range(4):
            api.submit(make_call(pbx_call_id=f"call-{number}"), give_up_at=PLENTY)
        assert len(server.requests) == 4


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    made = self_signed("localhost")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.cert_pem)
    key.write_bytes(made.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def test_a_certificate_that_nobody_vouches_for_keeps_the_call_from_being_sent(
    connect: Connect, own_certificate: tuple[ssl.SSLContext, Path]
) -> None:
    with raw_server(CREATED, tls=own_certificate[0]) as server:
        failure = failure_of(connect(f"https://localhost:{server.port}/api"))
        assert server.requests == []
    assert isinstance(failure, ApiUnavailable)


def test_a_certificate_from_the_configured_file_is_accepted(
    connect: Connect, own_certificate: tuple[ssl.SSLContext, Path]
) -> None:
    context, certificate = own_certificate
    with raw_server(CREATED, tls=context) as server:
        api = connect(f"https://localhost:{server.port}/api", ca_file=str(certificate))
        assert api.submit(make_call(), give_up_at=PLENTY).entry_id == "abc"


# Credentials


@pytest.mark.parametrize(
    ("demanded", "auth", "another"),
    [
        (
            Credential.bearer(SECRET),
            BearerAuth(type="bearer", token=SECRET),
            BearerAuth(type="bearer", token="wrong"),
        ),
        (
            Credential("X-API-Key", SECRET),
            ApiKeyAuth(type="api_key", key=SECRET),
            ApiKeyAuth(type="api_key", key="wrong"),
        ),
        (
            Credential("X-Own", SECRET),
            ApiKeyAuth(type="api_key", header="X-Own", key=SECRET),
            ApiKeyAuth(type="api_key", key=SECRET),
        ),
    ],
    ids=["bearer", "api key", "api key in a header of its own"],
)
def test_credentials_are_sent_and_without_the_right_ones_the_api_denies(
    connect: Connect, demanded: Credential, auth: BearerAuth | ApiKeyAuth, another: BearerAuth | ApiKeyAuth
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


def test_a_password_in_the_users_netrc_file_is_not_for_the_api(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with raw_server(CREATED) as server:
        connect(f"http://127.0.0.1:{server.port}/api").submit(make_call(), give_up_at=PLENTY)
        assert b"authorization" not in server.requests[0].lower()


# Health


def test_an_api_that_answers_with_a_failure_is_not_healthy(connect: Connect) -> None:
    with raw_server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as server, pytest.raises(ApiUnavailable):
        connect(f"http://127.0.0.1:{server.port}/api").check_health()


def test_an_api_that_sends_us_elsewhere_is_not_healthy(server: RunningCallLogger, connect: Connect) -> None:
    elsewhere = f"HTTP/1.1 302 Found\r\nLocation: {server.base_url}/health\r\nContent-Length: 0\r\n\r\n"
    with raw_server(elsewhere.encode()) as raw, pytest.raises(ApiDenied, match=r"api\.base_url"):
        connect(f"http://127.0.0.1:{raw.port}/api").check_health()


def test_an_api_that_does_not_answer_is_not_healthy(connect: Connect) -> None:
    with closed_port() as port, pytest.raises(ApiUnavailable):
        connect(f"http://127.0.0.1:{port}/api").check_health()
    with raw_server(b"") as server, pytest.raises(ApiUnavailable):
        connect(f"http://127.0.0.1:{server.port}/api").check_health()


def test_asking_for_health_takes_one_try_and_no_patience(connect: Connect, clock: Clock) -> None:
    with closed_port() as port, pytest.raises(ApiUnavailable):
        connect(f"http://127.0.0.1:{port}/api", attempts=9).check_health()
    assert clock.slept == []
