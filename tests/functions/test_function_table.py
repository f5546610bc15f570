"""Every function is there under its name, with the trigger that README and infrastructure speak of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdr.web.endpoints import ENDPOINTS
from tests.functions.loaded_app import ROOT, LoadedApp

EVERY_METHOD = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


def timer(schedule: str) -> dict[str, Any]:
    return {"type": "timerTrigger", "schedule": schedule, "runOnStartup": False}


def queue(name: str) -> dict[str, Any]:
    """As bytes, so that the host does not look for properties of the message in a text that is JSON."""
    return {"type": "queueTrigger", "queueName": name, "connection": "AzureWebJobsStorage", "dataType": "BINARY"}


def http(route: str, level: str = "FUNCTION") -> dict[str, Any]:
    return {"type": "httpTrigger", "route": route, "authLevel": level}


FUNCTIONS = {
    "poll_cdr": timer("*/30 * * * * *"),
    "check_call_groups": timer("0 */5 * * * *"),
    "clean_ledger": timer("0 17 3 * * *"),
    "learn_extensions": timer("20 * * * * *"),
    "sum_up_calls": timer("40 */5 * * * *"),
    "reconcile_calls": timer("0 47 3 * * *"),
    "submit_call": queue("cdr-calls"),
    "keep_poisoned": queue("cdr-calls-poison"),
    "health": http("health", "ANONYMOUS"),
    "page": http("page", "ANONYMOUS"),
    "openapi": http("openapi.json"),
    "status": http("status"),
    "trigger_poll": http("trigger/poll"),
    "trigger_start_over": http("trigger/start-over"),
    "trigger_alerts": http("trigger/alerts"),
    "rejected": http("rejected"),
    "calls": http("calls"),
    "preview": http("preview"),
    "trigger_replay": http("trigger/replay"),
    "reconcile": http("reconcile"),
    "trigger_reconcile": http("trigger/reconcile"),
}


OFTEN = ("poll_cdr", "check_call_groups", "learn_extensions", "submit_call", "sum_up_calls")
"""Functions that run so often that the host's own lines on each run would be most of the log."""


def bindings(app: LoadedApp, name: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in app.declared[name].get_raw_bindings()]


def test_every_http_function_is_described_as_it_is():
    described = {
        name: http(endpoint.path, "ANONYMOUS" if endpoint.is_open else "FUNCTION")
        for name, endpoint in ENDPOINTS.items()
    }
    assert described == {name: wanted for name, wanted in FUNCTIONS.items() if wanted["type"] == "httpTrigger"}


def test_there_are_these_functions_and_no_others():
    assert LoadedApp().declared.keys() == FUNCTIONS.keys()


def test_the_log_has_what_a_frequent_function_says_and_of_the_host_only_what_went_wrong():
    levels = json.loads((ROOT / "host.json").read_text("utf-8"))["logging"]["logLevel"]
    chosen = {name: level for name, level in levels.items() if name.startswith("Function.")}
    assert chosen == dict.fromkeys((f"Function.{name}" for name in OFTEN), "Warning") | dict.fromkeys(
        (f"Function.{name}.User" for name in OFTEN), "Information"
    )
    assert levels["Host.Results"] == "Information", "every run is a request, whatever the host says of it"


@pytest.mark.parametrize(("name", "wanted"), FUNCTIONS.items(), ids=FUNCTIONS)
def test_a_function_has_its_trigger(name, wanted):
    trigger, *answers = bindings(LoadedApp(), name)
    assert trigger.items() >= wanted.items()
    assert trigger["direction"] == "IN"
    is_http = wanted["type"] == "httpTrigger"
    assert answers == ([{"direction": "OUT", "type": "http", "name": "$return"}] if is_http else [])


@pytest.mark.parametrize("name", [name for name, wanted in FUNCTIONS.items() if wanted["type"] == "httpTrigger"])
def test_an_http_function_takes_every_method_so_that_it_can_refuse_one_with_a_reason(name):
    assert set(bindings(LoadedApp(), name)[0]["methods"]) == EVERY_METHOD


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_parameter_that_its_trigger_fills(name):
    app = LoadedApp()
    function = app.declared[name].get_user_function()
    assert set(function.__annotations__) - {"return"} == {bindings(app, name)[0]["name"]}


@pytest.mark.parametrize(
    ("function", "interval", "schedule"),
    [
        ("poll_cdr", ("POLLING_INTERVAL_SECONDS", "5"), "*/5 * * * * *"),
        ("poll_cdr", ("POLLING_INTERVAL_SECONDS", "30"), "*/30 * * * * *"),
        ("poll_cdr", ("POLLING_INTERVAL_SECONDS", "45"), "*/30 * * * * *"),  # 45 does not divide a minute
        ("poll_cdr", ("POLLING_INTERVAL_SECONDS", "60"), "0 */1 * * * *"),
        ("poll_cdr", ("POLLING_INTERVAL_SECONDS", "3600"), "0 0 * * * *"),
        ("check_call_groups", ("ALERT_CHECK_INTERVAL_MINUTES", "15"), "0 */15 * * * *"),
    ],
)
def test_a_timer_keeps_to_the_interval_that_is_configured(monkeypatch, tmp_path, function, interval, schedule):
    file = tmp_path / "config.yml"
    file.write_text(
        "3cx: {cdr_database: {engine: sqlite, database: calls.db}}\napi: {base_url: 'http://127.0.0.1:1/api'}\n"
    )
    monkeypatch.setenv("CONFIG_FILE", str(file))
    monkeypatch.setenv(*interval)
    assert bindings(LoadedApp(), function)[0]["schedule"] == schedule
