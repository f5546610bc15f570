"""Importing function_app in a process of its own: it never fails, connects to nothing and loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.functions.loaded_app import ROOT
from tests.functions.test_function_table import FUNCTIONS

PROBE = """
import importlib, json, os, socket, sys

def refuse(*_, **__):
    raise AssertionError("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse

import azure.functions as func

HEAVY = {
    "sqlalchemy", "pyodbc", "pymysql", "psycopg", "azure.storage.queue", "azure.data.tables", "azure.identity",
    "requests", "phonenumbers", "holidays", "pydantic", "cdr.intake", "cdr.submission", "cdr.operations", "cdr.groups",
}


def look(with_health):
    sys.modules.pop("function_app", None)
    function_app = importlib.import_module("function_app")
    functions = {item.get_function_name(): item for item in function_app.app.get_functions()}
    schedule = functions["poll_cdr"].get_trigger().schedule
    found = {"functions": sorted(functions), "schedule": schedule, "loaded": sorted(HEAVY & set(sys.modules))}
    if with_health:
        health = functions["health"].get_user_function()(func.HttpRequest("GET", "/health", body=b""))
        found |= {"status": health.status_code, "health": json.loads(health.get_body())}
    return found


plain, with_health = json.loads(sys.argv[1])
answers = []
for file in plain + with_health:
    os.environ.update({"CONFIG_FILE": file} if file else {})
    answers.append(look(file in with_health))
print(json.dumps(answers))
"""

USABLE = """
3cx:
  cdr_database: {engine: sqlite, database: calls.db}
api: {base_url: http://127.0.0.1:1/api}
"""


def imported(plain: Sequence[str] = (), with_health: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a new process with an empty environment finds when it imports function_app with each of these files as its
    configuration, and, for the latter, what /health answers. An empty name leaves the setting out."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, json.dumps([plain, with_health])],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_with_a_usable_configuration_nothing_is_loaded_or_opened_before_it_is_needed(tmp_path):
    (tmp_path / "config.yml").write_text(USABLE)
    (found,) = imported([str(tmp_path / "config.yml")])
    assert found == {"functions": sorted(FUNCTIONS), "schedule": "*/30 * * * * *", "loaded": []}


def test_with_an_empty_environment_health_counts_what_is_missing():
    """The file that comes with the project takes everything that matters from the environment."""
    (found,) = imported(with_health=[""])
    assert (found["functions"], found["loaded"]) == (sorted(FUNCTIONS), [])
    assert found["status"] == 503
    assert found["health"]["configuration_mistakes"] == 5  # host, database, username, password, base_url
    assert found["health"]["parts"]["configuration"]["state"] == "misconfigured"
    assert found["schedule"] == "*/30 * * * * *"


BROKEN = {
    "missing": (lambda _: None, 1),
    "a folder": (lambda file: file.mkdir(), 1),
    "binary": (lambda file: file.write_bytes(b"\x00\x01\x02\xff" * 1000), 1),
    "a list for a group's id": (
        lambda file: file.write_text(f"{USABLE}call_groups: {{monitored_groups: [{{id: [1]}}]}}\n"),
        1,
    ),
    "a mapping's tag on a list": (lambda file: file.write_text(f"{USABLE}calls: !!map [a]\n"), 1),
    "a key in brackets": (lambda file: file.write_text(f"{USABLE}(x): 1\n"), 1),
    "three mistakes": (
        lambda file: file.write_text(USABLE + "calls: {phone_format: wrong, key: 1}\nledger: {keep_days: x}\n"),
        3,
    ),
}


@pytest.fixture(scope="module")
def found_with_broken(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What was found, by the name of what is wrong."""
    folder = tmp_path_factory.mktemp("configs")
    files = [folder / name for name in BROKEN]
    for file in files:
        BROKEN[file.name][0](file)
    return dict(zip(BROKEN, imported(with_health=[str(file) for file in files]), strict=True))


@pytest.mark.parametrize("wrong", BROKEN)
def test_with_a_broken_configuration_every_function_is_there_and_health_counts_the_mistakes(found_with_broken, wrong):
    found = found_with_broken[wrong]
    assert found["functions"] == sorted(FUNCTIONS)
    assert found["status"] == 503
    assert found["health"]["configuration_mistakes"] == BROKEN[wrong][1]
    assert found["health"]["parts"]["configuration"]["state"] == "misconfigured"
