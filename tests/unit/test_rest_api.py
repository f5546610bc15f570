"""What each failure and each answer of the Call Logger means for a call: may it be sent again, and at once?"""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from requests import exceptions as rq
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from cdr.calls.call import Accepted
from cdr.edges.call_logger.calls import RestCallApi, _retry_after, failure, submission_error
from shared.clock import HandMovedClock
from shared.errors import ApiDenied, ApiRejected, ApiUnavailable, PipelineError, SubmissionUnknown
from tests.support.factories import make_call

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POOL = HTTPConnectionPool("calls.example.com")
CONNECTION = HTTPConnection("calls.example.com")

# Every exception that requests knows, and what it means for a call while it is being submitted.
NEVER_SENT = {
    rq.ConnectTimeout,
    rq.MissingSchema,
    rq.InvalidSchema,
    rq.InvalidURL,
    rq.InvalidProxyURL,
    rq.InvalidHeader,
}
PERHAPS_SENT = {
    rq.RequestException,
    rq.ConnectionError,  # also a reset after the call was sent
    rq.ProxyError,
    rq.SSLError,
    rq.Timeout,
    rq.ReadTimeout,
    rq.ChunkedEncodingError,
    rq.ContentDecodingError,
    rq.StreamConsumedError,
    rq.RetryError,
    rq.TooManyRedirects,
    rq.HTTPError,
    rq.UnrewindableBodyError,
    rq.URLRequired,
    rq.InvalidJSONError,
    rq.JSONDecodeError,
}


def _made(kind: type[requests.RequestException]) -> requests.RequestException:
    return kind("x", "x", 0) if kind is rq.JSONDecodeError else kind("x")


def test_no_exception_of_requests_is_forgotten() -> None:
    known = {kind for _, kind in inspect.getmembers(rq, inspect.isclass) if issubclass(kind, rq.RequestException)}
    assert known == NEVER_SENT | PERHAPS_SENT


@pytest.mark.parametrize("kind", sorted(NEVER_SENT, key=lambda kind: kind.__name__))
def test_what_requests_raises_before_it_sends_is_no_answer_that_is_missing(
    kind: type[requests.RequestException],
) -> None:
    error = submission_error(_made(kind))
    assert type(error) is ApiUnavailable
    assert str(error) == f"the API was not reached; check api.base_url and the network ({kind.__name__})"


@pytest.mark.parametrize("kind", sorted(PERHAPS_SENT, key=lambda kind: kind.__name__))
def test_after_anything_else_the_call_may_be_in(kind: type[requests.RequestException]) -> None:
    error = submission_error(_made(kind))
    assert type(error) is SubmissionUnknown
    assert str(error) == f"the call was sent and no answer came ({kind.__name__})"


def _wrapped(
    reason: Exception, kind: type[requests.RequestException] = rq.ConnectionError
) -> requests.RequestException:
    return kind(MaxRetryError(POOL, "/api", reason))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        pytest.param(_wrapped(NewConnectionError(CONNECTION, "refused")), ApiUnavailable, id="connection-refused"),
        pytest.param(
            _wrapped(NameResolutionError("x", CONNECTION, OSError("no name"))), ApiUnavailable, id="no-such-name"
        ),  # type: ignore[arg-type]
        pytest.param(_wrapped(ConnectTimeoutError("slow"), rq.ConnectTimeout), ApiUnavailable, id="connect-timeout"),
        pytest.param(
            _wrapped(ProxyError("no proxy", NewConnectionError(CONNECTION, "refused")), rq.ProxyError),
            ApiUnavailable,
            id="proxy-refuses",
        ),
        pytest.param(
            _wrapped(SSLError(ssl.SSLCertVerificationError("self-signed")), rq.SSLError),
            ApiUnavailable,
            id="certificate",
        ),
        pytest.param(_wrapped(SSLError(ssl.SSLError("broken pipe")), rq.SSLError), SubmissionUnknown, id="tls-broke"),
        pytest.param(_wrapped(SSLError(), rq.SSLError), SubmissionUnknown, id="tls-without-a-reason"),
        pytest.param(
            _wrapped(ProxyError("cut off", ConnectionResetError()), rq.ProxyError),
            SubmissionUnknown,
            id="proxy-cuts-off",
        ),
        pytest.param(
            _wrapped(ReadTimeoutError(POOL, "/", "slow"), rq.ReadTimeout), SubmissionUnknown, id="read-timeout"
        ),
        pytest.param(
            rq.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset"))),
            SubmissionUnknown,
            id="reset",
        ),
        pytest.param(rq.ConnectionError(), SubmissionUnknown, id="without-a-reason"),
    ],
)
def test_only_what_surely_never_left_may_be_sent_again_at_once(
    error: requests.RequestException, meaning: type[PipelineError]
) -> None:
    assert type(submission_error(error)) is meaning


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        pytest.param([400, 406, 409, 410, 411, 413, 415, 422, 451], ApiRejected, id="this-call-will-never-do"),
        pytest.param([401, 403, 404, 405, 407], ApiDenied, id="an-operator-must-act"),
        pytest.param([200, 202, 204, 300, 301, 302, 303, 304, 307, 308], ApiDenied, id="not-the-call-logger"),
        pytest.param([408, 425, 429, 500, 501, 502, 503, 505, 507, 529, 599], ApiUnavailable, id="try-again"),
        pytest.param([504], SubmissionUnknown, id="a-gateway-that-gave-up-waiting"),
    ],
)
def test_a_status_says_what_to_do(statuses: list[int], meaning: type[PipelineError]) -> None:
    assert {status: type(failure(status, "words", None)) for status in statuses} == dict.fromkeys(statuses, meaning)


@pytest.mark.parametrize(
    ("status", "setting"), [(401, "api.auth"), (403, "api.auth"), (404, "api.base_url"), (200, "api.base_url")]
)
def test_what_an_operator_must_mend_is_named(status: int, setting: str) -> None:
    assert str(failure(status, "<html>", None)) == f"the API answered {status}: check {setting}"


def test_a_refusal_keeps_the_api_s_own_words() -> None:
    assert (
        str(failure(400, "phoneNumber must not be blank", None))
        == "the API answered 400: phoneNumber must not be blank"
    )


def test_a_failure_keeps_when_to_come_back() -> None:
    error = failure(503, "", timedelta(seconds=7))
    assert isinstance(error, ApiUnavailable)
    assert error.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("7", timedelta(seconds=7)),
        (" 0 ", timedelta()),
        ("Sun, 22 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        pytest.param("Sun, 22 Nov 2026 14:01:00 +0200", timedelta(minutes=1), id="another-offset"),
        pytest.param("Sun, 22 Nov 2026 12:01:00 -0000", timedelta(minutes=1), id="no-offset"),
        pytest.param("Sunday, 22-Nov-26 12:01:00 GMT", timedelta(minutes=1), id="an-old-form"),
        pytest.param("Sun, 22 Nov 2026 11:59:00 GMT", timedelta(minutes=-1), id="past"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1.5", None, id="a-fraction"),
        pytest.param("9999999999", None, id="too-long"),
        pytest.param("soon", None, id="a-word"),
        pytest.param("", None, id="nothing"),
        pytest.param("Sun, 22 Nov 99999 12:00:00 GMT", None, id="no-such-year"),
        pytest.param("Mon, 99999999999999999999 Nov 2026 10:00:00 GMT", None, id="no-such-day"),
        pytest.param("Sun, 22 Nov 2026 10:00:00 +99999999999999999", None, id="no-such-offset"),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    assert _retry_after(header, NOW) == wait


DATE_PIECES = [
    "Sun",
    ",",
    " ",
    "22",
    "Nov",
    "2026",
    "12:01:00",
    "25:61",
    "GMT",
    "+0200",
    "-0000",
    "99999999999999999999",
    ":",
    "-",
]


@given(st.text(max_size=40) | st.lists(st.sampled_from(DATE_PIECES), max_size=12).map("".join))
@example("0,\n")
def test_any_retry_after_is_a_time_or_nothing(header: str) -> None:
    wait = _retry_after(header, NOW)
    assert wait is None or isinstance(wait, timedelta)


class _Answers(requests.adapters.BaseAdapter):
    """Answers from a list, without a network: statuses, some with headers, and errors."""

    def __init__(self, answers: list[int | tuple[int, dict[str, str]] | Exception]) -> None:
        super().__init__()
        self.left = answers
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.sent.append(request)
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code, headers = answer if isinstance(answer, tuple) else (answer, {})
        response.headers.update(headers)
        response.url, response.request = str(request.url), request
        response.raw = BytesIO(b'{"id": "e1b2", "pbxCallId": "0000017F-7-7"}')
        return response

    def close(self) -> None:
        pass


class _Clock(HandMovedClock):
    def __init__(self) -> None:
        super().__init__(NOW)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


Make = Callable[..., tuple[RestCallApi, _Answers, _Clock]]


@pytest.fixture
def make_api() -> Make:
    def make(*answers: Any, attempts: int = 3) -> tuple[RestCallApi, _Answers, _Clock]:
        clock, adapter = _Clock(), _Answers(list(answers))
        api = RestCallApi(
            "https://calls.example.com/api",
            timeout=timedelta(seconds=30),
            attempts=attempts,
            auth=lambda request: request,  # type: ignore[arg-type]
            clock=clock,
        )
        api._session.mount("https://", adapter)
        return api, adapter, clock

    return make


def _submit(api: RestCallApi, within: timedelta = timedelta(seconds=150), *, patient: bool = True) -> Accepted:
    return api.submit(make_call(), give_up_at=NOW + within, patient=patient)


def test_201_and_409_mean_that_the_call_is_in(make_api: Make) -> None:
    assert _submit(make_api(201)[0]) == Accepted("e1b2", earlier=False)
    assert _submit(make_api(409)[0]) == Accepted(None, earlier=True)


@pytest.mark.parametrize("status", [200, 202, 204, 300, 302, 304])
def test_no_other_success_settles_a_call(make_api: Make, status: int) -> None:
    """A web server at a wrong address may well answer 200 to everything."""
    with pytest.raises(ApiDenied, match=r"check api\.base_url"):
        _submit(make_api(status)[0])


def test_a_redirection_is_not_followed(make_api: Make) -> None:
    api, adapter, _ = make_api((307, {"Location": "https://elsewhere.example.com/"}))
    with pytest.raises(ApiDenied):
        _submit(api)
    assert len(adapter.sent) == 1


def test_a_failure_is_tried_again_with_growing_waits(make_api: Make) -> None:
    api, adapter, clock = make_api(500, 429, rq.ConnectTimeout("slow"), 201, attempts=4)
    assert _submit(api).entry_id == "e1b2"
    assert len(adapter.sent) == 4
    assert all(2**i <= wait <= 2**i + 1 for i, wait in enumerate(clock.slept))


def test_the_attempts_are_counted_from_the_first(make_api: Make) -> None:
    api, adapter, _ = make_api(500, 500, 500, 201)
    with pytest.raises(ApiUnavailable, match="the API answered 500"):
        _submit(api)
    assert len(adapter.sent) == 3


def test_a_probe_is_tried_once(make_api: Make) -> None:
    api, adapter, clock = make_api(500, 201)
    with pytest.raises(ApiUnavailable):
        _submit(api, patient=False)
    assert (len(adapter.sent), clock.slept) == (1, [])


def test_retry_after_is_obeyed(make_api: Make) -> None:
    api, _, clock = make_api((429, {"Retry-After": "17"}), (503, {"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}), 201)
    assert _submit(api).entry_id == "e1b2"
    assert clock.slept == [17, 0]


@pytest.mark.parametrize("header", ["116", "3600", "999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_that_would_outlast_the_claim_is_not_begun(make_api: Make, header: str) -> None:
    """30 seconds for the answer and 5 for the connection belong to an attempt."""
    api, adapter, clock = make_api((503, {"Retry-After": header}), 201)
    with pytest.raises(ApiUnavailable):
        _submit(api)
    assert (len(adapter.sent), clock.slept) == (1, [])


def test_the_last_attempt_may_end_with_the_time_that_is_left(make_api: Make) -> None:
    api, _, clock = make_api((503, {"Retry-After": "115"}), 201)
    assert _submit(api).entry_id == "e1b2"
    assert clock.slept == [115]


@pytest.mark.parametrize("answer", [400, 401, 404, 504, rq.ReadTimeout("slow"), rq.ConnectionError("reset")])
def test_nothing_else_is_tried_again_at_once(make_api: Make, answer: Any) -> None:
    api, adapter, _ = make_api(answer, 201)
    with pytest.raises((ApiRejected, ApiDenied, SubmissionUnknown)):
        _submit(api)
    assert len(adapter.sent) == 1
