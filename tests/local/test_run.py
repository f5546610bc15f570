"""`python -m local.run` as somebody at a terminal sees it: calls pass, the tally balances, everything ends."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from rich.console import Console

from local import azurite, call_logger
from local.phone_system.pbx import Pbx
from local.phone_system.script import CallKind, CallType, Leg, ScriptedCall
from local.run.demo import Demo
from local.run.own_settings import uses_azurite
from local.run.run import Run
from local.run.terminal import Terminal
from tests.support.ports import lasting_port
from tests.support.requirements import need
from tests.support.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
WHAT_RUNS = ("function_app.py", "host.json", "cdr", "shared", "config", "local")
STOP_S = 30

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")


@pytest.fixture(autouse=True)
def mark(monkeypatch):
    """What everything started by a test has in its environment; in the end nothing of it may run any more."""
    need(azurite.what_is_missing())
    mark = uuid.uuid4().hex
    monkeypatch.setenv("RUN_OF_TEST", mark)
    yield mark
    wait_until(lambda: not processes_with(mark), STOP_S)


@pytest.fixture
def own_copy(tmp_path):
    """A copy of what runs, to have a local.settings.json in."""
    for name in WHAT_RUNS:
        source, target = PROJECT / name, tmp_path / "project" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path / "project"


def write_settings(project, **values):
    (project / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))


def processes_with(mark):
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"RUN_OF_TEST={mark}".encode() in file.read_bytes().split(b"\0"):
                found.append(file.parent.name)
        except OSError:  # it has just ended, or is not ours
            continue
    return found


@contextmanager
def started(*arguments, project=PROJECT, port=None, **environment):
    command = [sys.executable, "-m", "local.run", "--port", str(port or lasting_port()), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=project, env=os.environ | environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments, **options):
    """The status, and what was written to standard output and error."""
    with started(*arguments, **options) as process:
        output, errors = process.communicate(timeout=90)
        return process.returncode, output, errors


def read_until(text, process):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def core_tools(folder, body):
    """A stand-in for them, and the PATH that has it in front."""
    (folder / "func").write_text(f"#!{sys.executable}\nimport signal, subprocess, sys\n{body}\n")
    (folder / "func").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


# The demo


@pytest.mark.parametrize("source", ["v20", "calllog"])
def test_the_demo_shows_calls_of_every_outcome_and_an_alert_and_balances_its_tally(mark, source):
    """At eight times its pace, until the timer has found calls and the agents were away and came back."""
    written = io.StringIO()
    demo_run = Run(Terminal(Console(file=written, width=200)), make_demo=partial(Demo, source=source, pace=1 / 8))

    def is_enough():
        tally = demo_run.tally
        return (tally.queued and tally.alerts["resolved"] and len(tally.ended) > 5) and (
            source == "calllog" or "late row" in written.getvalue()
        )

    demo_run.run(lasting_port(), 90, is_enough)
    assert processes_with(mark) == []
    demo_run.terminal.summary("In the end:", demo_run.tally, demo_run.backend)
    output, tally, entries = written.getvalue(), demo_run.tally, demo_run.backend.entries
    assert list(tally.mistakes(demo_run.backend)) == []
    counts = {"arrived": entries, "skipped": tally.count("skipped"), "rejected": tally.count("rejected")}
    assert min(counts.values()) >= 1
    for word, count in (*counts.items(), ("ends", len(tally.ended))):
        assert len(re.findall(rf"^\d\d:\d\d:\d\d .* #\d+ +{word} ", output, re.MULTILINE)) == count
    assert "local.host, which stands in for Azure Functions Core Tools" in output
    assert re.search(r"alerts +[1-9] raised, [1-9] resolved\n  .* every call is accounted for, none twice\n$", output)
    assert re.search(r"phone system +#1 +begins +.* → \d", output)
    assert re.search(r"Call Logger +#\d+ +arrived +10\d \w+@example.com, \d+ s, (from|to) ", output)
    assert (" rings " in output, "late row" in output) == (source == "v20",) * 2
    assert re.search(r"queue +queued +\d+ call", output)
    assert re.search(r"^  poll now +curl -X POST http://127\.0\.0\.1:\d+/trigger/poll$", output, re.MULTILINE)
    alert = re.findall(r"^\S+ +(?:Call Logger|phone system) +801 +(logs (?:in|out)|alert) +(\w+)", output, re.MULTILINE)
    assert [what for what, _ in alert[:3]] == ["logs out"] * 3
    assert [what for what in alert if what[1] != "agent"][:2] == [("alert", "raised"), ("alert", "resolved")]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_a_signal_stops_everything_in_order_and_what_it_started_does_not_outlive_it(mark, tmp_path, number, status):
    with started(TMPDIR=str(tmp_path)) as process:
        read_until("begins", process)
        assert len(processes_with(mark)) == 3
        process.send_signal(number)
        output, errors = process.communicate(timeout=STOP_S)
    assert (process.returncode, errors) == (status, "")
    assert status or (output.splitlines()[-1], processes_with(mark)) == ("Stopped.", [])


# Core Tools


def test_core_tools_are_used_where_they_are_installed_and_end_with_all_they_started(mark, tmp_path):
    """Without a terminal, its lines are plain and whole."""
    body = """
assert sys.argv[1] == "start"
subprocess.Popen(["sh", "-c", "trap '' INT; sleep 600"])
host = subprocess.Popen(["python", "-m", "local.host", *sys.argv[2:]])
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("[2026-11-22T15:29:22.123Z] Executing 'Functions.poll_cdr' (Reason='Timer fired')", flush=True)
sys.exit(host.wait())
"""
    status, output, errors = run("--source", "calllog", "--for", "1", PATH=core_tools(tmp_path, body))
    assert (status, errors) == (0, "")
    assert processes_with(mark) == []
    assert "The functions run in Azure Functions Core Tools" in output
    assert "Executing" not in output
    assert "every call is accounted for" in output
    assert "\x1b" not in output


def test_functions_that_end_by_themselves_are_one_clear_line_with_their_last_words(own_copy, tmp_path):
    write_settings(own_copy, AzureWebJobsStorage="none")
    status, _, errors = run(project=own_copy, PATH=core_tools(tmp_path, 'print("no such thing"); sys.exit(3)'))
    assert status == 1
    assert errors == "local.run: the functions ended by themselves, with status 3:\n  no such thing\n"


# One's own phone system


def test_with_local_settings_it_works_for_the_database_and_api_that_they_name(own_copy, tmp_path):
    call = ScriptedCall(CallKind.INBOUND, "A1", (Leg("+12025550123", "101", "101", CallType.INBOUND, 1.0),))
    file, port = tmp_path / "cdr.sqlite", lasting_port()
    with closing(Pbx(file, rng=None)) as pbx, azurite.start() as storage, call_logger.start() as api:
        pbx.end(pbx.begin(call))
        own = {"CDR_DB_ENGINE": "sqlite", "CDR_DB_NAME": str(file), "API_BASE_URL": api.base_url}
        write_settings(own_copy, AzureWebJobsStorage=storage.connection_string, **own)
        with started(project=own_copy, port=port) as process:
            read_until("Your own phone system", process)
            read_until("Ctrl-C stops everything", process)
            requests.post(f"http://127.0.0.1:{port}/trigger/poll", timeout=30)
            read_until("arrived", process)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=STOP_S)
        assert [entry["pbxCallId"] for entry in api.call_logger.entries] == ["A1-1"]
    assert (process.returncode, errors, output.splitlines()[-1]) == (0, "", "Stopped.")
    assert "phone system     #" not in output


def test_a_run_in_which_no_call_arrives_says_so_and_has_status_1(own_copy):
    write_settings(own_copy, AzureWebJobsStorage="none", CDR_DB_ENGINE="none")
    status, output, _ = run("--for", "0.1", project=own_copy)
    assert (status, output.splitlines()[-1].strip()) == (1, "no call arrived at the Call Logger")


def test_azurite_is_started_for_development_storage_only():
    storage = ("UseDevelopmentStorage=true", "usedevelopmentstorage=True;", "AccountName=a;AccountKey=a2V5", "")
    assert [uses_azurite({"AzureWebJobsStorage": value}) for value in storage] == [True, True, False, False]


# What keeps it from running


def test_what_keeps_it_from_running_is_one_clear_line(own_copy, tmp_path):
    (own_copy / "local.settings.json").write_text("{")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        for options, said in (
            ({"port": port}, f"port {port} is taken by another program: end that one, or choose another --port"),
            ({"AZURITE_DIR": str(tmp_path)}, "Azurite is missing in "),
            ({"project": own_copy}, "local.settings.json is no valid JSON: "),
            ({"project": own_copy, "source": "v20"}, "--source is for the demo; with local.settings.json it is "),
        ):
            arguments = ["--source", options.pop("source")] if "source" in options else []
            status, output, errors = run(*arguments, **options)
            (line,) = errors.splitlines()
            assert (status, output) == (1, "")
            assert line.startswith(f"local.run: {said}")
