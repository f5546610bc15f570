"""`python -m local.run` as somebody at a terminal sees it: calls pass, the books balance, everything ends."""

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
from pathlib import Path

import pytest

from local import azurite, call_logger
from local.phone_system.pbx import Pbx
from local.phone_system.script import CallKind, CallType, Leg, ScriptedCall
from local.run.own_settings import uses_azurite
from tests.support.requirements import need
from tests.support.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
WHAT_RUNS = ("function_app.py", "host.json", "cdr", "shared", "config", "local")
STOP_S = 30

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")


@pytest.fixture(autouse=True)
def _azurite_is_installed():
    need("Azurite (python dev.py test installs it)" if azurite.find_entry() is None else None)


@pytest.fixture
def mark():
    """A variable that everything started by a test has in its environment."""
    return f"RUN_OF_TEST={uuid.uuid4().hex}"


@pytest.fixture
def own_copy(tmp_path):
    """A copy of what runs, to have a local.settings.json in."""
    for name in WHAT_RUNS:
        source, target = PROJECT / name, tmp_path / "project" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return tmp_path / "project"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def processes_with(mark):
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in file.read_bytes().split(b"\0"):
                found.append(file.parent.name)
        except OSError:  # it has just ended, or is not ours
            continue
    return found


@contextmanager
def started(*arguments, mark, project=PROJECT, programs=None, **environment):
    path = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
    with subprocess.Popen(
        [sys.executable, "-m", "local.run", *arguments],
        cwd=project,
        env=os.environ | {"PATH": path} | dict([mark.split("=")]) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments, mark, timeout=90, **options):
    """The status, and what was written to standard output and error."""
    with started("--port", str(free_port()), *arguments, mark=mark, **options) as process:
        output, errors = process.communicate(timeout=timeout)
        return process.returncode, output, errors


def read_until(text, process):
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"ended without {text!r}: {process.stderr.read()}")


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in {text}"
    return int(found[1])


def core_tools(folder, body):
    folder.mkdir()
    (folder / "func").write_text(f"#!{sys.executable}\nimport signal, subprocess, sys\n{body}\n")
    (folder / "func").chmod(0o755)
    return folder


# The demo


def test_the_demo_shows_calls_of_every_outcome_and_an_alert_and_balances_its_books(mark):
    status, output, errors = run("--for", "24", mark=mark)

    assert errors == ""
    assert status == 0
    assert "local.host, which stands in for Azure Functions Core Tools" in output
    assert re.search(r"phone system +#1 +begins +inbound: ", output)
    assert re.search(r"queue +queued +\d+ call", output)
    summary = output[output.index("After 24 s:") :]
    entries, skipped, rejected, ended = (
        number(rf"(\d+) {word}", summary.splitlines()[-1]) for word in ("entries", "skipped", "rejected", "ended")
    )
    assert min(entries, skipped, rejected) >= 1
    assert entries + skipped + rejected == ended == number(r"(\d+) queued", summary)
    for word, count in (("arrived", entries), ("skipped", skipped), ("rejected", rejected), ("ends", ended)):
        assert len(re.findall(rf"^\d\d:\d\d:\d\d .* #\d+ +{word} ", output, re.MULTILINE)) == count
    alert = re.findall(r"^\S+ +(?:Call Logger|phone system) +801 +(logs (?:in|out)|alert) +(\w+)", output, re.MULTILINE)
    assert [what for what in alert if what[1] != "agent"] == [("alert", "raised"), ("alert", "resolved")]
    assert [what for what, _ in alert[:4]] == ["logs out"] * 3 + ["alert"]
    assert "1 raised, 1 resolved" in summary
    assert processes_with(mark) == []


def test_without_a_terminal_the_lines_are_plain_and_whole(mark):
    _, output, _ = run("--for", "1", mark=mark)

    assert "\x1b" not in output
    assert re.search(r"^  poll now +curl -X POST http://127\.0\.0\.1:\d+/trigger/poll$", output, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_everything_in_order(mark, number):
    with started("--port", str(free_port()), mark=mark) as process:
        read_until("begins", process)
        assert len(processes_with(mark)) == 3
        process.send_signal(number)
        output, errors = process.communicate(timeout=STOP_S)

    assert process.returncode == 0
    assert output.endswith("Stopped.\n")
    assert errors == ""
    assert processes_with(mark) == []


def test_what_it_started_does_not_outlive_it_when_it_is_killed(mark, tmp_path):
    with started("--port", str(free_port()), mark=mark, TMPDIR=str(tmp_path)) as process:
        read_until("begins", process)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_with(mark), STOP_S)


# Core Tools


def test_core_tools_are_used_where_they_are_installed_and_end_with_all_they_started(mark, tmp_path):
    programs = core_tools(
        tmp_path / "programs",
        """
assert sys.argv[1] == "start"
subprocess.Popen(["sh", "-c", "trap '' INT; sleep 600"])
host = subprocess.Popen(["python", "-m", "local.host", *sys.argv[2:]])
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("[2026-11-22T15:29:22.123Z] Executing 'Functions.poll_cdr' (Reason='Timer fired')", flush=True)
sys.exit(host.wait())
""",
    )
    status, output, errors = run("--for", "6", mark=mark, programs=programs)

    assert errors == ""
    assert status == 0
    assert "The functions run in Azure Functions Core Tools" in output
    assert "Executing" not in output
    assert "every call is accounted for" in output
    assert processes_with(mark) == []


def test_functions_that_end_by_themselves_are_one_clear_line_with_their_last_words(mark, tmp_path):
    programs = core_tools(tmp_path / "programs", 'print("no such thing"); sys.exit(3)')
    status, _, errors = run(mark=mark, programs=programs)

    assert status == 1
    assert errors == "local.run: the functions ended by themselves, with status 3:\n  no such thing\n"
    assert processes_with(mark) == []


# One's own phone system


def test_with_local_settings_it_works_for_the_database_and_api_that_they_name(mark, own_copy, tmp_path):
    call = ScriptedCall(CallKind.INBOUND, "A1", (Leg("+12025550123", "101", "101", CallType.INBOUND, 1.0),))
    with closing(Pbx(tmp_path / "cdr.sqlite", rng=None)) as pbx, azurite.start() as storage, call_logger.start() as api:
        pbx.end(pbx.begin(call))
        write_settings(
            own_copy,
            AzureWebJobsStorage=storage.connection_string,
            FUNCTIONS_WORKER_RUNTIME="python",
            CDR_DB_ENGINE="sqlite",
            CDR_DB_NAME=str(tmp_path / "cdr.sqlite"),
            API_BASE_URL=api.base_url,
            POLLING_INTERVAL_SECONDS="5",
        )
        status, output, errors = run("--for", "12", mark=mark, project=own_copy)

        assert errors == ""
        assert [entry["pbxCallId"] for entry in api.call_logger.entries] == ["A1-1"]
    assert status == 0
    assert "Your own phone system" in output
    assert "phone system     #" not in output
    assert re.search(r"submitted +1$", output, re.MULTILINE)


def test_a_run_in_which_no_call_arrives_says_so_and_has_status_1(mark, own_copy):
    write_settings(own_copy, AzureWebJobsStorage="none", CDR_DB_ENGINE="none")
    status, output, _ = run("--for", "1", mark=mark, project=own_copy)

    assert status == 1
    assert output.endswith("no call arrived at the Call Logger\n")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("UseDevelopmentStorage=true", True),
        ("usedevelopmentstorage=True;", True),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5", False),
    ],
)
def test_azurite_is_started_for_development_storage_only(value, wanted):
    assert uses_azurite({"AzureWebJobsStorage": value}) is wanted


def write_settings(project, **values):
    (project / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))


# What keeps it from running


def test_a_taken_port_is_one_clear_line(mark):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        with started("--port", port, mark=mark) as process:
            output, errors = process.communicate(timeout=STOP_S)

    assert process.returncode == 1
    assert output == ""
    assert errors == f"local.run: port {port} is taken by another program: end that one, or choose another --port\n"


def test_a_missing_azurite_is_one_clear_line(mark, tmp_path):
    status, _, errors = run(mark=mark, AZURITE_DIR=str(tmp_path))

    assert status == 1
    assert re.fullmatch(r"local\.run: Azurite is missing in .*\n", errors)


def test_settings_that_cannot_be_read_are_one_clear_line(mark, own_copy):
    (own_copy / "local.settings.json").write_text("{")
    status, _, errors = run(mark=mark, project=own_copy)

    assert status == 1
    assert re.fullmatch(r"local\.run: local\.settings\.json is no valid JSON: .*\n", errors)
