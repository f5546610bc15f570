"""What every HTTP function has in common: which requests it takes, and a reason in JSON for each that it does not."""

from __future__ import annotations

import pytest

from tests.functions.loaded_app import LoadedApp

METHODS = {
    "health": "GET",
    "status": "GET",
    "rejected": "GET",
    "reconcile": "GET",
    "trigger_poll": "POST",
    "trigger_alerts": "POST",
    "trigger_replay": "POST",
    "trigger_reconcile": "POST",
}
KNOWN = {
    "health": "this function takes none",
    "status": "this function takes none",
    "trigger_poll": "this function takes none",
    "trigger_alerts": "this function takes none",
    "rejected": "known: after, limit, reveal",
    "trigger_replay": "known: all, call, reason",
    "reconcile": "known: from, to",
    "trigger_reconcile": "known: from, to",
}
WRONG = [
    (function, wrong)
    for function, right in METHODS.items()
    for wrong in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
    if wrong != right and (right, wrong) != ("GET", "HEAD")
]

each_function = pytest.mark.parametrize("function", METHODS)


@pytest.fixture(scope="module")
def lone_app(tmp_path_factory):
    """The functions without any part that works: a request that is refused needs none."""
    file = tmp_path_factory.mktemp("alone") / "config.yml"
    file.write_text(
        "3cx: {cdr_database: {engine: sqlite, database: none.db}}\napi: {base_url: http://127.0.0.1:9/api}\n"
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CONFIG_FILE", str(file))
        return LoadedApp()


def is_refusal(answer, status):
    return (
        answer.status == status
        and answer.headers["Cache-Control"] == "no-store"
        and answer.body.keys() == {"error"}
        and isinstance(answer.body["error"], str)
    )


@pytest.mark.parametrize(("function", "wrong"), WRONG)
def test_another_method_is_refused_and_the_right_one_named(lone_app, function, wrong):
    answer = lone_app.ask(function, wrong)
    assert is_refusal(answer, 405)
    assert answer.body["error"] == f"{wrong} is not allowed here, use {METHODS[function]}"
    assert answer.headers["Allow"] == METHODS[function]


@each_function
@pytest.mark.parametrize("raw", [b"{", b"not json", b"\xff\xfe", b"{'a': 1}", b"[" * 60_000])
def test_a_body_that_is_no_json_is_refused(lone_app, function, raw):
    answer = lone_app.ask(function, METHODS[function], raw=raw)
    assert is_refusal(answer, 400)
    assert answer.body["error"] == "the body is not JSON"


@each_function
@pytest.mark.parametrize("raw", [b"[]", b"7", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_refused(lone_app, function, raw):
    answer = lone_app.ask(function, METHODS[function], raw=raw)
    assert is_refusal(answer, 400)
    assert answer.body["error"] == "the body must be a JSON object"


@each_function
def test_an_unknown_parameter_is_refused_and_the_known_ones_named(lone_app, function):
    for answer in (
        lone_app.ask(function, METHODS[function], surprise="1"),
        lone_app.ask(function, METHODS[function], {"surprise": 1}),
    ):
        assert is_refusal(answer, 400)
        assert answer.body["error"] == f"unknown parameter surprise; {KNOWN[function]}"


@each_function
def test_too_large_a_body_is_refused_before_it_is_read(lone_app, function):
    answer = lone_app.ask(function, METHODS[function], raw=b'{"all": true}' + b" " * 65_536)
    assert is_refusal(answer, 400)
    assert answer.body["error"] == "the body has 65549 bytes, at most 65536 are taken"


@each_function
def test_a_function_key_in_the_url_is_no_parameter(app, function):
    with_key, without = (app.ask(function, METHODS[function], **key) for key in ({"code": "a-function-key"}, {}))
    assert with_key.status == without.status
    assert "unknown parameter" not in with_key.text


@pytest.mark.parametrize("body", [b"", b"   ", b"{}"])
def test_an_empty_body_is_as_good_as_none(app, body):
    assert app.ask("trigger_poll", "POST", raw=body).status == 200


def test_head_is_answered_like_get(app):
    assert app.ask("health", "HEAD").status == app.ask("health").status == 200


def test_nothing_is_done_by_a_request_that_is_refused(app, phone_system, storage):
    for answer in (app.ask("trigger_poll", "GET"), app.ask("trigger_poll", "POST", surprise="1")):
        assert answer.status in (400, 405)
    assert storage.position is None
