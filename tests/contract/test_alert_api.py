"""What every AlertApi does: the twin, and the Call Logger's own rules over HTTP."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from cdr.edges.call_logger.alerts import RestAlertApi
from cdr.edges.call_logger.auth import make_auth
from cdr.groups.alerts import AlertType, OpenAlert
from cdr.groups.ports import AlertApi
from local import call_logger as call_logger_program
from local.call_logger import CallLogger, Credential, RunningCallLogger
from shared.config.call_logger import BearerAuth, NoAuth
from shared.errors import ApiDenied, ApiRejected, ApiUnavailable, ApiUnreachable
from tests.fakes.clock import HandMovedClock
from tests.fakes.groups import InMemoryAlertApi
from tests.support.waiting import wait_until
from tests.systems import receiver as receiver_program
from tests.systems.receiver import Answer, Receiver

EMPTY, UNKNOWN = AlertType.NO_ASSIGNED_USERS, AlertType.MEMBERSHIP_UNKNOWN
NOW = datetime(2026, 11, 23, 8, 5, 3, 250_000, tzinfo=UTC)
TOKEN = "bearer-of-alerts"


@pytest.fixture
def backend() -> Iterator[RunningCallLogger]:
    with call_logger_program.start(call_logger=CallLogger(now=lambda: NOW)) as running:
        yield running


@pytest.fixture(params=["twin", "rest"])
def both(request: pytest.FixtureRequest) -> tuple[AlertApi, CallLogger]:
    """The API, and the backend behind it."""
    if request.param == "twin":
        behind = CallLogger(now=lambda: NOW)
        return InMemoryAlertApi(behind), behind
    running: RunningCallLogger = request.getfixturevalue("backend")
    return rest_api(running.base_url), running.call_logger


@pytest.fixture
def api(both: tuple[AlertApi, CallLogger]) -> AlertApi:
    return both[0]


@pytest.fixture
def behind(both: tuple[AlertApi, CallLogger]) -> CallLogger:
    return both[1]


def rest_api(url: str, *, timeout_s: float = 5, token: str | None = None) -> RestAlertApi:
    auth = make_auth(BearerAuth(type="bearer", token=SecretStr(token)) if token else NoAuth())
    return RestAlertApi(url, timeout=timedelta(seconds=timeout_s), auth=auth, clock=HandMovedClock(NOW))


def raise_empty(api: AlertApi, group: str = "800") -> OpenAlert:
    return api.raise_alert(group, "Sales", EMPTY, "Nobody is there.")


# Raising


def test_an_alert_that_is_raised_is_there_with_all_that_was_said(api: AlertApi, behind: CallLogger) -> None:
    alert = raise_empty(api)
    (stored,) = behind.alerts
    assert alert == OpenAlert(stored["id"], EMPTY, NOW)
    assert stored["callGroupId"] == "800"
    assert stored["callGroupName"] == "Sales"
    assert stored["alertType"] == "NO_ASSIGNED_USERS"
    assert stored["alertMessage"] == "Nobody is there."
    assert api.active() == {"800": alert}


def test_a_group_that_has_the_alert_already_gets_that_one_back_and_no_second(api: AlertApi, behind: CallLogger) -> None:
    assert raise_empty(api) == raise_empty(api)
    assert len(behind.alerts) == 1


def test_an_alert_of_another_type_must_end_first(api: AlertApi, behind: CallLogger) -> None:
    first = raise_empty(api)
    with pytest.raises(ApiUnavailable, match="another type"):
        api.raise_alert("800", "Sales", UNKNOWN, "Who knows.")
    api.resolve(first.id)
    assert api.raise_alert("800", "Sales", UNKNOWN, "Who knows.").type is UNKNOWN
    assert len(behind.alerts) == 2


def test_groups_have_their_alerts_each_for_itself(api: AlertApi) -> None:
    alerts = {group: raise_empty(api, group) for group in ("800", "801")}
    assert alerts["800"].id != alerts["801"].id
    assert api.active() == alerts


def test_what_the_api_will_never_take_is_rejected(api: AlertApi) -> None:
    with pytest.raises(ApiRejected, match="400"):
        raise_empty(api, " ")
    with pytest.raises(ApiRejected, match="400"):
        raise_empty(api, "8" * 101)


def test_a_message_of_any_length_and_any_letters_gets_in(api: AlertApi, behind: CallLogger) -> None:
    api.raise_alert("800", "Verkauf 漢字 😀", EMPTY, "ü" * 10_000)
    assert behind.alerts[0]["callGroupName"] == "Verkauf 漢字 😀"
    assert behind.alerts[0]["alertMessage"].startswith("ü" * 1_000)


# The active ones


def test_without_alerts_none_is_active(api: AlertApi) -> None:
    assert api.active() == {}


def test_an_alert_that_an_earlier_integration_raised_is_found(api: AlertApi, behind: CallLogger) -> None:
    body = {"callGroupId": "800", "callGroupName": None, "alertType": "NO_ASSIGNED_USERS", "alertMessage": None}
    stored = behind.raise_alert(body)
    assert api.active() == {"800": OpenAlert(stored["id"], EMPTY, NOW)}
    assert raise_empty(api).id == stored["id"]


def test_alerts_of_a_kind_that_is_not_ours_are_left_alone(api: AlertApi, behind: CallLogger) -> None:
    behind.raise_alert({"callGroupId": "800", "alertType": "QUEUE_TOO_LONG"})
    assert api.active() == {}
    with pytest.raises(ApiUnavailable):
        raise_empty(api)


# Resolving


def test_an_alert_that_is_resolved_is_over_and_the_next_one_is_another(api: AlertApi, behind: CallLogger) -> None:
    first = raise_empty(api)
    api.resolve(first.id)
    assert api.active() == {}
    assert raise_empty(api).id != first.id
    assert [alert["isActive"] for alert in behind.alerts] == [True, False]


def test_resolving_twice_is_no_error_and_an_unknown_id_is_one_that_may_pass(api: AlertApi) -> None:
    alert = raise_empty(api)
    api.resolve(alert.id)
    api.resolve(alert.id)
    with pytest.raises(ApiUnavailable, match="500"):
        api.resolve("00000000-0000-0000-0000-000000000000")


# Over HTTP

CALLS: dict[str, Callable[[AlertApi], Any]] = {
    "active": lambda api: api.active(),
    "raise": raise_empty,
    "resolve": lambda api: api.resolve("7d1c"),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[AlertApi], Any]:
    return CALLS[request.param]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_program.start() as running:
        yield running


def failure_of(call: Callable[[AlertApi], Any], api: AlertApi, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call(api)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_the_credential_or_with_a_wrong_one_a_person_is_needed(call: Callable[[AlertApi], Any]) -> None:
    with call_logger_program.start(credential=Credential.bearer(TOKEN)) as running:
        for token, status in ((None, "401"), ("wrong", "403")):
            message = failure_of(call, rest_api(running.base_url, token=token), ApiDenied)
            assert status in message
            assert "api.auth" in message
        assert rest_api(running.base_url, token=TOKEN).active() == {}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer(500), ApiUnavailable, "500"),
        (Answer(500, "<html>\nno</html>"), ApiUnreachable, "500"),
        (Answer(502, "<html>\nno</html>"), ApiUnreachable, "502"),
        (Answer(429, headers={"Retry-After": "7"}), ApiUnreachable, "429"),
        (Answer(404), ApiDenied, "api.base_url"),
        (Answer(300), ApiDenied, "api.base_url"),
        (Answer(302, headers={"Location": "/login"}), ApiDenied, "api.base_url"),
        (Answer(400, "<html>TLS?</html>"), ApiDenied, "api.base_url"),
        (Answer(delay_s=60), ApiUnreachable, "no whole answer"),
    ],
    ids=["500", "500 of a gateway", "502", "429", "404", "300", "302", "400 of a gateway", "silence"],
)
def test_a_failure_is_told_apart_from_a_wrong_address(
    receiver: Receiver, call: Callable[[AlertApi], Any], answer: Answer, kind: type[Exception], words: str
) -> None:
    receiver.usual = answer
    api = rest_api(receiver.url, timeout_s=0.3 if answer.delay_s else 5, token=TOKEN)
    assert words in failure_of(call, api, kind)
    assert [sent.path for sent in receiver.received if sent.path == "/login"] == []
    assert len(receiver.received) == 1


def test_a_backend_that_is_down_was_not_reached(backend: RunningCallLogger, call: Callable[[AlertApi], Any]) -> None:
    backend.stop()
    assert "api.base_url" in failure_of(call, rest_api(backend.base_url, token=TOKEN), ApiUnreachable)


@pytest.mark.parametrize("body", ["<html>welcome</html>", "", "{}", "null", '{"error": "x"}', '"x"', "7", "[" * 50_000])
def test_an_answer_that_is_no_list_never_means_that_no_alert_is_active(receiver: Receiver, body: str) -> None:
    receiver.usual = Answer(200, body)
    assert "api.base_url" in failure_of(CALLS["active"], rest_api(receiver.url), ApiDenied)


@pytest.mark.parametrize("changed", [{"isActive": False}, {"id": ""}, {"alertType": "OTHER"}], ids=str)
def test_what_is_over_or_not_ours_is_no_active_alert(receiver: Receiver, changed: dict[str, object]) -> None:
    """As a backend tells that does not know the parameter."""
    item = {"id": "a1", "callGroupId": "800", "alertType": "NO_ASSIGNED_USERS", "isActive": True}
    receiver.usual = Answer(200, json.dumps([item, item | {"callGroupId": "801"} | changed]))
    assert list(rest_api(receiver.url).active()) == ["800"]


@pytest.mark.parametrize("body", ["<html>welcome</html>", "", "{}", "[]", '{"alertType": "NO_ASSIGNED_USERS"}'])
def test_an_answer_without_an_alert_is_no_alert_that_was_raised(receiver: Receiver, body: str) -> None:
    receiver.usual = Answer(201, body)
    assert "api.base_url" in failure_of(CALLS["raise"], rest_api(receiver.url), ApiDenied)


def test_resolving_needs_no_body_in_the_answer_and_an_id_leads_nowhere_else(receiver: Receiver) -> None:
    receiver.usual = Answer(204)
    for name in ("7d1c", "../../calls?x#", "\ud83d"):
        rest_api(receiver.url).resolve(name)
    paths = ["/alerts/call-groups/7d1c/resolve", "/alerts/call-groups/..%2F..%2Fcalls%3Fx%23/resolve"]
    paths.append("/alerts/call-groups/%3F/resolve")
    assert [(sent.method, sent.path) for sent in receiver.received] == [("PUT", path) for path in paths]


def test_an_alert_whose_answer_came_too_late_is_not_raised_twice() -> None:
    is_too_late = threading.Event()

    def now() -> datetime:
        is_too_late.wait(60)
        return NOW

    with call_logger_program.start(call_logger=CallLogger(now=now)) as backend:
        with pytest.raises(ApiUnreachable):
            raise_empty(rest_api(backend.base_url, timeout_s=0.5))
        is_too_late.set()
        (made,) = wait_until(lambda: backend.call_logger.alerts)
        assert raise_empty(rest_api(backend.base_url)).id == made["id"]
        assert len(backend.call_logger.alerts) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-23T08:05:03.250Z", NOW),
        ("2026-11-23T08:05:03.25", NOW),
        ("2026-11-23T09:05:03.250000000+01:00", NOW),
        ("2026-11-23T08:05:03", NOW.replace(microsecond=0)),
        ("yesterday", NOW),  # it is of no use to refuse the alert for it
        ("0001-01-01T00:00:00+14:00", NOW),
    ],
)
def test_the_time_of_an_alert_may_be_written_in_several_ways(receiver: Receiver, written: str, meant: datetime) -> None:
    item = f'{{"id": "a1", "callGroupId": "800", "alertType": "NO_ASSIGNED_USERS", "createdAt": "{written}"}}'
    receiver.usual = Answer(200, f"[{item}]")
    assert rest_api(receiver.url).active() == {"800": OpenAlert("a1", EMPTY, meant)}
