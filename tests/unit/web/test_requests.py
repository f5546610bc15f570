"""What every route has in common: which requests it takes, and a reason in JSON for each that it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cdr.wiring.parts import Parts
from tests.unit.conftest import CONFIG
from tests.unit.web.asking import METHODS, Answer, ask

KNOWN = {
    "rejected": "known: after, limit, reason, reveal",
    "calls": "known: call, day, extension, reveal, row",
    "preview": "known: limit, reveal",
    "trigger_start_over": "known: from",
    "trigger_replay": "known: all, call, reason",
    "reconcile": "known: again, from, to",
    "trigger_reconcile": "known: again, from, to",
}
EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
WRONG = [
    (route, wrong)
    for route, right in METHODS.items()
    for wrong in EVERY_METHOD
    if wrong != right and (right, wrong) != ("GET", "HEAD")
]

WITHOUT_CONFIGURATION = {"openapi", "health", "rejected", "calls", "trigger_replay"}

each_route = pytest.mark.parametrize("route", METHODS)


@pytest.fixture
def parts(make_parts: Callable[..., Parts]) -> Parts:
    return make_parts()


def check_refusal(answer: Answer, status: int, reason: str) -> None:
    assert (answer.status, answer.body) == (status, {"error": reason})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("route", "wrong"), WRONG)
def test_another_method_is_refused_and_the_right_one_named(parts: Parts, route: str, wrong: str) -> None:
    answer = ask(parts, route, method=wrong)
    check_refusal(answer, 405, f"{wrong} is not allowed here, use {METHODS[route]}")
    assert answer.headers["Allow"] == METHODS[route]


BODIES = {
    "no JSON": (b"not json", "the body is not JSON"),
    "no UTF-8": (b"\xff\xfe", "the body is not JSON"),
    "nested": (b"[" * 60_000, "the body is not JSON"),
    "a list": (b"[]", "the body must be a JSON object"),
    "nothing": (b"null", "the body must be a JSON object"),
    "too large": (b'{"all": true}' + b" " * 65_536, "the body has 65549 bytes, at most 65536 are taken"),
}


@pytest.mark.parametrize(("raw", "reason"), BODIES.values(), ids=BODIES)
@each_route
def test_a_body_that_is_no_json_object_is_refused(parts: Parts, route: str, raw: bytes, reason: str) -> None:
    check_refusal(ask(parts, route, raw=raw), 400, reason)


@pytest.mark.parametrize("route", [route for route in METHODS if route != "health"])
def test_an_unknown_parameter_is_refused_and_the_known_ones_named(parts: Parts, route: str) -> None:
    reason = f"unknown parameter surprise, ?; {KNOWN.get(route, 'this function takes none')}"
    check_refusal(ask(parts, route, {"surprise": 1, "\ud800": 1}), 400, reason)
    assert ask(parts, route, surprise="1").status == 400
    assert ask(parts, route, surprise="1", code="a-function-key").status == 400


def test_health_takes_whatever_a_monitor_adds_so_that_no_cache_answers_it(parts: Parts) -> None:
    assert ask(parts, "health", _="1764071234567", code="a-function-key").status == 200


def test_a_function_key_in_the_url_is_no_parameter(parts: Parts) -> None:
    assert ask(parts, "status", code="a-function-key").status == 200


@pytest.mark.parametrize("body", [b"", b"   ", b"{}"])
def test_an_empty_body_is_as_good_as_none(parts: Parts, body: bytes) -> None:
    assert ask(parts, "trigger_poll", raw=body).status == 200


def test_head_is_answered_like_get(parts: Parts) -> None:
    assert ask(parts, "health", method="HEAD") == ask(parts, "health")


def test_nothing_is_done_by_a_request_that_is_refused(parts: Parts) -> None:
    ask(parts, "trigger_poll", method="GET")
    ask(parts, "trigger_poll", surprise="1")
    assert parts.positions.operations == []


@pytest.mark.parametrize("route", [route for route in METHODS if route not in WITHOUT_CONFIGURATION])
def test_with_a_broken_configuration_every_mistake_is_named(make_parts: Callable[..., Parts], route: str) -> None:
    parts = make_parts(CONFIG + "calls: {phone_format: wrong}\nunknown_section: {}\n", without=["source"])
    query = {"from": "2026-11-22", "to": "2026-11-22"} if "reconcile" in route else {}
    answer = ask(parts, route, **query)
    assert (answer.status, answer.body["error"]) == (503, "the configuration is not usable")
    assert [mistake.split(":")[0] for mistake in answer.body["mistakes"]] == ["calls.phone_format", "unknown_section"]


HOME = {"Host": "app.example.com"}
ASKED_BY = {
    "a program": ({}, True),
    "our own page": ({"Sec-Fetch-Site": "same-origin", "Origin": "https://app.example.com"} | HOME, True),
    "a person by himself": ({"Sec-Fetch-Site": "none"}, True),
    "our own page in an old browser": ({"Origin": "https://app.example.com"} | HOME, True),
    "our own page behind a proxy of another name": (
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://calls.example.com"} | HOME,
        True,
    ),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, False),
    "a neighbour": ({"Sec-Fetch-Site": "same-site"}, False),
    "another site in an old browser": ({"Origin": "https://evil.example"} | HOME, False),
    "a file in an old browser": ({"Origin": "null"} | HOME, False),
}


@pytest.mark.parametrize(("headers", "may"), ASKED_BY.values(), ids=ASKED_BY)
@pytest.mark.parametrize("route", [route for route, method in METHODS.items() if method == "POST"])
def test_an_action_that_a_page_of_another_site_asks_for_is_refused(
    parts: Parts, route: str, headers: dict[str, str], *, may: bool
) -> None:
    answer = ask(parts, route, {"surprise": 1}, headers=headers)
    if may:
        assert answer.status == 400, "it got as far as its parameters"
    else:
        check_refusal(answer, 403, "this was asked for by a page of another site")


def test_a_page_of_another_site_may_lead_to_what_only_shows_something(parts: Parts) -> None:
    assert ask(parts, "status", headers={"Sec-Fetch-Site": "cross-site"}).status == 200
