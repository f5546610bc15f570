"""The API's token on the platform: asked for where the platform hands out those of the app's managed identity."""

from __future__ import annotations

import base64
import json
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.edges.call_logger.auth import make_auth
from cdr.edges.call_logger.calls import RestCallApi
from shared.config.call_logger import EntraAuth
from shared.errors import ApiDenied, ApiUnreachable, PipelineError
from tests.fakes.clock import HandMovedClock
from tests.support.factories import make_call
from tests.systems import identity as identity_program
from tests.systems.conversation import WITHOUT_END, Part, Server, answering, serving
from tests.systems.identity import Identity
from tests.systems.receiver import Answer

AUDIENCE = "api://call-logger"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PLENTY = NOW + timedelta(minutes=2)
CREATED = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": "7"}'


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """The app runs where it has an identity that may call the Call Logger."""
    with identity_program.start(AUDIENCE) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def call_logger() -> Iterator[Server]:
    with answering(CREATED) as server:
        yield server


LITTLE, USUAL = timedelta(seconds=0.3), timedelta(seconds=10)
"""How long a token is waited for that does not come; and one that does."""


def api_at(call_logger: Server, audience: str = AUDIENCE, patience: timedelta = USUAL) -> RestCallApi:
    auth = make_auth(EntraAuth(type="entra", audience=audience), token_patience=patience)
    clock = HandMovedClock(NOW)
    return RestCallApi(call_logger.url, timeout=timedelta(seconds=20), attempts=1, auth=auth, clock=clock)


def submit(call_logger: Server, audience: str = AUDIENCE, times: int = 1, patience: timedelta = USUAL) -> None:
    api = api_at(call_logger, audience, patience)
    for _ in range(times):
        api.submit(make_call(), give_up_at=PLENTY)


def claims_of(request: bytes) -> Any:
    """What the bearer token of a request says."""
    (token,) = [line for line in request.split(b"\r\n") if line.startswith(b"Authorization: Bearer ")]
    part = token.split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))


@pytest.mark.parametrize("written", [AUDIENCE, f"{AUDIENCE}/"])
def test_a_call_is_sent_with_a_token_for_the_configured_audience(
    identity: Identity, call_logger: Server, written: str
) -> None:
    submit(call_logger, written, times=3)
    assert [claims_of(request)["aud"] for request in call_logger.requests] == [AUDIENCE] * 3
    (asked,) = identity.asked  # it is good for an hour
    assert asked == {"resource": AUDIENCE, "api-version": "2019-08-01", "client_id": identity_program.CLIENT_ID}


def test_a_token_that_has_run_out_is_replaced(identity: Identity, call_logger: Server) -> None:
    identity.life_s = -1
    submit(call_logger, times=2)
    assert len(identity.asked) == 2


def test_a_token_that_is_refused_before_its_time_is_replaced(identity: Identity) -> None:
    """This machine's clock may be behind by hours, or the token was taken back."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    with answering(CREATED, refusal, CREATED) as call_logger:
        api = api_at(call_logger)
        api.submit(make_call(), give_up_at=PLENTY)
        with pytest.raises(ApiDenied):
            api.submit(make_call(), give_up_at=PLENTY)
        api.submit(make_call(), give_up_at=PLENTY)
    assert len(identity.asked) == 2


def failure_of(call_logger: Server, audience: str = AUDIENCE, **more: timedelta) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        submit(call_logger, audience, **more)
    assert call_logger.requests == []
    assert str(caught.value).startswith("api.auth: ")
    assert identity_program.SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


def test_an_identity_that_may_not_have_a_token_is_for_a_person_to_mend(
    identity: Identity, call_logger: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = failure_of(call_logger, "api://another")
    assert isinstance(denied, ApiDenied)
    assert denied.of_all
    monkeypatch.setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000000")
    assert isinstance(failure_of(call_logger), ApiDenied)
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    assert isinstance(failure_of(call_logger), ApiDenied)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, '{"statusCode": 400, "message": "no"}', identity_program.JSON), ApiDenied),
        (Answer(401), ApiDenied),
        (Answer(403, "<html>no</html>"), ApiDenied),
        (Answer(500, '{"statusCode": 500, "message": "oops"}', identity_program.JSON), ApiUnreachable),
        (Answer(503), ApiUnreachable),
        (Answer(200, "<html>welcome</html>"), ApiUnreachable),
        (Answer(200, "{}", identity_program.JSON), ApiUnreachable),
        (Answer(200, ""), ApiUnreachable),
    ],
    ids=["400", "401", "403", "500", "503", "a page", "no token", "nothing"],
)
def test_a_refusal_is_for_a_person_to_mend_and_an_outage_is_not(
    identity: Identity, call_logger: Server, answer: Answer, kind: type[PipelineError]
) -> None:
    identity.receiver.answer_with = lambda _: answer
    assert type(failure_of(call_logger)) is kind


@pytest.mark.parametrize("play", WITHOUT_END.values(), ids=WITHOUT_END)
def test_an_endpoint_whose_answer_never_ends_is_an_outage_within_two_looks(
    identity: Identity, call_logger: Server, monkeypatch: pytest.MonkeyPatch, play: Part
) -> None:
    with serving(play) as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint.url)
        began = time.monotonic()
        assert isinstance(failure_of(call_logger, patience=LITTLE), ApiUnreachable)
        assert time.monotonic() - began < 5
        assert endpoint.connections == 2


def test_an_endpoint_that_asks_to_be_left_alone_is_not_waited_for(identity: Identity, call_logger: Server) -> None:
    identity.receiver.answer_with = lambda _: Answer(429, headers={"Retry-After": "3600"})
    left_alone = failure_of(call_logger)
    assert isinstance(left_alone, ApiUnreachable)
    assert "it answered 429" in str(left_alone)


def test_an_endpoint_that_is_not_there_is_an_outage(identity: Identity, call_logger: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    assert isinstance(failure_of(call_logger), ApiUnreachable)


def test_off_the_platform_it_is_the_developers_own_login_that_is_asked_for(
    call_logger: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # of which there is none either
    assert isinstance(failure_of(call_logger), ApiDenied)
