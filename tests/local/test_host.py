"""The local host as its users run it: a process with a function app, real queues, real time and real HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
import requests
from azure.storage.queue import QueueClient

from local import azurite
from local.host.host import FunctionHost
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(azurite.find_entry() is None, reason="Azurite is not installed (see AZURITE_DIR)")

PROJECT = Path(__file__).resolve().parents[2]
MAX_DEQUEUE_COUNT = 3
HOST_JSON = {
    "version": "2.0",
    "extensions": {
        "http": {"routePrefix": ""},
        "queues": {"batchSize": 4, "maxDequeueCount": MAX_DEQUEUE_COUNT, "visibilityTimeout": "00:00:01"},
    },
}
APP = """
import json, logging, os, time
import azure.functions as func

app = func.FunctionApp()


def note(function, **fields):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(json.dumps({"function": function, "at": time.time(), **fields}) + "\\n")


def obey(function, message):
    order = message.get_body().decode()
    note(function, order=order, count=message.dequeue_count)
    if order.startswith("fail"):
        raise RuntimeError("told to " + order)
    if order.startswith("sleep"):
        time.sleep(1.5)
        note(function, order="awake")
    return "something" if order.startswith("return") else None


@app.queue_trigger(arg_name="message", queue_name="%ORDERS%", connection="AzureWebJobsStorage")
def orders(message: func.QueueMessage):
    return obey("orders", message)


@app.queue_trigger(arg_name="message", queue_name="orders-poison", connection="AzureWebJobsStorage")
def keep_poisoned(message: func.QueueMessage) -> None:
    obey("keep_poisoned", message)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def tick(timer: func.TimerRequest) -> None:
    note("tick", past_due=timer.past_due)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def slow(timer: func.TimerRequest) -> None:
    note("slow")
    time.sleep(1.3)
    note("slow ended")


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def yearly(timer: func.TimerRequest, context: func.Context) -> None:
    note("yearly", context=[context.function_name, len(context.invocation_id)])


@app.timer_trigger(arg_name="timer", schedule="%MISSING%")
def unscheduled(timer: func.TimerRequest) -> None:
    note("unscheduled")


@app.route(route="items/{name}", methods=["GET", "PUT"], auth_level=func.AuthLevel.FUNCTION)
def item(req: func.HttpRequest) -> func.HttpResponse:
    seen = {"method": req.method, "url": req.url, "params": dict(req.params), "route": dict(req.route_params),
            "header": req.headers.get("X-Test"), "body": req.get_body().decode()}
    return func.HttpResponse(json.dumps(seen), status_code=201, mimetype="application/json", headers={"X-Seen": "yes"})


@app.route(route="items/first", methods=["GET"])
def first_item(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("grüezi", charset="latin-1")


@app.route(route="anything")
def anything(req: func.HttpRequest) -> str:
    return req.method


@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> None:
    logging.getLogger("app").info("nothing is said")


@app.route(route="broken")
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("broken on purpose")


@app.route(route="slowly")
def slowly(req: func.HttpRequest) -> func.HttpResponse:
    note("slowly")
    time.sleep(1)
    return func.HttpResponse("done")


@app.route(route="large")
def large(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(bytes(32 * 2**20))
"""


class HostProcess:
    """`python -m local.host` on a free port, with what it prints."""

    def __init__(self, script_root, storage, *arguments):
        self.journal_file = script_root / "journal"
        self.lines = []
        environ = os.environ | {
            "AzureWebJobsStorage": storage.connection_string,
            "ORDERS": "orders",
            "JOURNAL": str(self.journal_file),
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.host", "--script-root", script_root, "--port", "0", *arguments],
            env=environ,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        with self.process.stdout as output:
            self.lines.extend(line.rstrip("\n") for line in output)

    @property
    def output(self):
        return "\n".join(self.lines)

    @property
    def base_url(self):
        lines = wait_until(lambda: [line for line in self.lines if line.startswith("Host ready on ")], 30)
        return lines[0].removeprefix("Host ready on ")

    def journal(self, function, order=""):
        """What a function noted, of the orders that start with `order`."""
        text = self.journal_file.read_text() if self.journal_file.exists() else ""
        notes = [json.loads(line) for line in text.splitlines()]
        return [note for note in notes if note["function"] == function and note.get("order", "").startswith(order)]

    def end(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        status = self.process.wait(20)
        self._reader.join(5)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.wait()


@pytest.fixture(scope="module")
def storage():
    with azurite.start() as storage:
        for name in ("orders", "orders-poison"):
            with queue_client(storage, name) as queue:
                queue.create_queue()
        yield storage


@pytest.fixture(scope="module")
def host(storage, tmp_path_factory):
    """One host with every function of APP."""
    with HostProcess(function_app(tmp_path_factory.mktemp("app")), storage) as host:
        assert host.base_url
        yield host


def function_app(folder, source=APP, host_json=HOST_JSON):
    (folder / "function_app.py").write_text(source)
    (folder / "host.json").write_text(json.dumps(host_json))
    return folder


def queue_client(storage, name):
    return QueueClient.from_connection_string(storage.connection_string, name)


def send(storage, text, queue="orders"):
    with queue_client(storage, queue) as client:
        client.send_message(b64encode(text.encode()).decode())


def request(host, method, path, **options):
    return requests.request(method, host.base_url + path, timeout=10, **options)


def test_it_says_that_it_stands_in_for_core_tools_and_lists_the_functions(host):
    assert "stands in for Azure Functions Core Tools" in host.lines[0]
    assert f"\titem: [GET,PUT] {host.base_url}/items/{{name}}" in host.lines
    assert f"\tanything: [any method] {host.base_url}/anything" in host.lines
    assert "\ttick: timerTrigger * * * * * *" in host.lines
    assert "\torders: queueTrigger orders" in host.lines
    assert (
        "The 'unscheduled' function is in error: '%MISSING%' needs the setting MISSING, which is missing" in host.lines
    )


class TestQueues:
    def test_a_good_message_is_delivered_once_and_says_nothing(self, host, storage):
        send(storage, "work")
        wait_until(lambda: host.journal("orders", "work"))
        assert [note["count"] for note in host.journal("orders", "work")] == [1]
        assert "(Succeeded" not in host.output

    def test_a_failing_message_is_tried_again_and_then_reaches_the_poison_function(self, host, storage):
        send(storage, "fail at poison", "orders-poison")
        send(storage, "fail always")
        poisoned = wait_until(lambda: host.journal("keep_poisoned", "fail always"))
        tries = host.journal("orders", "fail always")
        assert [note["count"] for note in tries] == [1, 2, 3]
        assert all(later["at"] - earlier["at"] >= 0.9 for earlier, later in pairwise(tries))
        assert poisoned[0]["count"] == 1
        assert len(host.journal("keep_poisoned", "fail at poison")) == 1
        assert "Message has reached MaxDequeueCount of 3. Moving it to queue 'orders-poison'" in host.output

    def test_a_failure_is_logged_as_one_line_with_its_traceback(self, host, storage):
        send(storage, "fail with a log")
        wait_until(lambda: "RuntimeError: told to fail with a log" in host.output)
        executed = [line for line in host.lines if "Executed 'Functions.orders' (Failed, Id=" in line]
        stamp, _, text = executed[0].partition(" ")
        assert datetime.strptime(stamp, "[%Y-%m-%dT%H:%M:%S.%fZ]")  # noqa: DTZ007 - the Z is literal
        assert text.endswith("ms)")
        assert "Traceback (most recent call last):" in host.lines

    def test_a_result_other_than_none_is_a_failure_as_in_azure(self, host, storage):
        send(storage, "return a value")
        wait_until(lambda: len(host.journal("orders", "return a value")) == 2)
        assert "function orders returned a str; it may return nothing: it has no $return binding" in host.output


class TestTimers:
    def test_a_timer_runs_at_each_tick_of_its_schedule(self, host):
        runs = wait_until(lambda: len(notes := host.journal("tick")) >= 4 and notes)
        # Three seconds apart; a busy machine may drop or delay some.
        assert 1 < runs[3]["at"] - runs[0]["at"] < 8
        assert not any(run["past_due"] for run in runs)

    def test_runs_of_a_timer_slower_than_its_schedule_do_not_overlap(self, host):
        starts = wait_until(lambda: len(notes := host.journal("slow")) >= 4 and notes)
        ends = host.journal("slow ended")
        assert all(end["at"] <= start["at"] for end, start in zip(ends, starts[1:], strict=False))

    def test_a_timer_that_runs_on_startup_gets_its_context(self, host):
        (run,) = wait_until(lambda: host.journal("yearly"))[:1]
        assert run["context"] == ["yearly", 36]


class TestHttp:
    def test_a_function_gets_the_request_and_its_answer_is_sent(self, host):
        answer = request(host, "PUT", "/Items/a%20b/?x=1&x=2&y=", data="grüezi".encode(), headers={"X-Test": "t"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/json")
        assert answer.headers["X-Seen"] == "yes"
        assert answer.json() == {
            "method": "PUT",
            "url": f"{host.base_url}/Items/a%20b/?x=1&x=2&y=",
            "params": {"x": "1,2", "y": ""},
            "route": {"name": "a b"},
            "header": "t",
            "body": "grüezi",
        }

    def test_a_fixed_route_wins_over_a_parameter_and_the_charset_is_kept(self, host):
        answer = request(host, "GET", "/items/first")
        assert (answer.content, answer.headers["Content-Type"]) == (
            "grüezi".encode("latin-1"),
            "text/plain; charset=latin-1",
        )

    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
    def test_a_route_without_methods_takes_all(self, host, method):
        assert request(host, method, "/anything").text == method

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            pytest.param("POST", "/items/7", 404, id="wrong method"),
            pytest.param("GET", "/unknown", 404, id="unknown route"),
            pytest.param("GET", "/items/7/8", 404, id="a parameter is one segment"),
            pytest.param("GET", "/", 404, id="no home page"),
            pytest.param("GET", "/broken", 500, id="exception"),
            pytest.param("GET", "/nothing", 204, id="no result"),
        ],
    )
    def test_an_answer_without_a_function_behind_it_is_empty(self, host, method, path, status):
        answer = request(host, method, path)
        assert (answer.status_code, answer.content) == (status, b"")

    def test_what_a_function_logs_is_printed(self, host):
        request(host, "GET", "/nothing")
        wait_until(lambda: any(line.endswith("Z] nothing is said") for line in host.lines))

    def test_the_usual_prefix_is_api(self, tmp_path, monkeypatch):
        # In this process, so what it imports must not be there for other tests.
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setitem(sys.modules, "function_app", None)
        source = "import azure.functions as func\napp = func.FunctionApp()\n@app.route()\ndef ping(req): return 'pong'"
        with FunctionHost(function_app(tmp_path, source, {"version": "2.0"})) as host:
            assert request(host, "GET", "/api/ping").text == "pong"
            assert request(host, "GET", "/ping").status_code == 404


class TestAdmin:
    def test_the_status_says_that_it_runs(self, host):
        assert request(host, "GET", "/admin/host/status").json() == {"state": "Running"}

    def test_a_timer_is_started_by_hand(self, host):
        before = len(host.journal("yearly"))
        assert request(host, "POST", "/admin/functions/yearly", json={}).status_code == 202
        wait_until(lambda: len(host.journal("yearly")) == before + 1)

    def test_a_queue_function_is_started_with_a_message_text(self, host):
        answer = request(host, "POST", "/admin/functions/Orders", json={"input": "by hand"})
        assert (answer.status_code, answer.content) == (202, b"")
        wait_until(lambda: host.journal("orders", "by hand"))

    @pytest.mark.parametrize(
        ("name", "body", "status"),
        [
            pytest.param("orders", b"", 400, id="no body"),
            pytest.param("orders", b"text", 400, id="no JSON"),
            pytest.param("orders", b"[]", 400, id="no object"),
            pytest.param("orders", b'{"input": 5}', 400, id="input that is no text"),
            pytest.param("nobody", b"{}", 404, id="unknown function"),
            pytest.param("anything", b"{}", 404, id="HTTP functions have their own address"),
        ],
    )
    def test_other_starts_are_refused(self, host, name, body, status):
        assert request(host, "POST", f"/admin/functions/{name}", data=body).status_code == status


class TestStartAndStop:
    def test_a_broken_import_is_shown_and_ends_the_host(self, tmp_path, storage):
        with HostProcess(function_app(tmp_path, "raise OSError('no disk')"), storage) as host:
            assert host.wait() == 1
        assert host.lines[-1] == "local.host: no functions found: function_app.py failed with OSError: no disk"
        assert "Traceback (most recent call last):" in host.lines

    def test_a_taken_port_is_one_line(self, tmp_path, storage):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = str(holder.getsockname()[1])
            with HostProcess(function_app(tmp_path), storage, "--port", port) as host:
                assert host.wait() == 1
        assert host.lines[1:] == [f"local.host: port {port} is taken by another program: choose another with --port"]

    def test_a_wrong_host_json_is_one_line(self, tmp_path, storage):
        host_json = {"extensions": {"queues": {"batchSize": 64}}}
        with HostProcess(function_app(tmp_path, host_json=host_json), storage) as host:
            assert host.wait() == 1
        assert host.lines[1:] == [
            "local.host: host.json: extensions.queues.batchSize is 64; it must be a whole number, 1 or more, at most 32"
        ]

    def test_an_unknown_function_is_one_line(self, tmp_path, storage):
        with HostProcess(function_app(tmp_path), storage, "--functions", "tick", "tock") as host:
            assert host.wait() == 1
        assert host.lines[1].startswith("local.host: there is no function tock; there are anything, broken, ")

    def test_only_the_named_functions_run(self, tmp_path, storage):
        with HostProcess(function_app(tmp_path), storage, "--functions", "tick", "anything") as host:
            assert request(host, "GET", "/anything").ok
            assert request(host, "GET", "/nothing").status_code == 404
            wait_until(lambda: host.journal("tick"))
            assert host.end() == 0
        assert not host.journal("yearly")

    def test_sigterm_lets_running_functions_finish_and_ends_cleanly(self, tmp_path, storage):
        source = APP.replace('queue_name="%ORDERS%"', 'queue_name="stopped"')
        with queue_client(storage, "stopped") as queue:
            queue.create_queue()
            with HostProcess(function_app(tmp_path, source), storage, "--functions", "orders", "slowly") as host:
                send(storage, "sleep", "stopped")
                answers = []
                asking = threading.Thread(target=lambda: answers.append(request(host, "GET", "/slowly").text))
                asking.start()
                wait_until(lambda: host.journal("orders", "sleep") and host.journal("slowly"))
                assert host.end() == 0
                asking.join(5)
            assert answers == ["done"]
            assert host.journal("orders", "awake")
            assert queue.get_queue_properties().approximate_message_count == 0
        assert "Traceback" not in host.output

    def test_an_answer_that_is_being_sent_when_the_host_stops_is_sent_to_its_end(self, tmp_path, storage):
        with HostProcess(function_app(tmp_path), storage, "--functions", "large") as host:
            with request(host, "GET", "/large", stream=True) as answer:
                host.process.send_signal(signal.SIGTERM)
                # More than the buffers of a socket hold, so the host cannot be done before this end reads.
                with pytest.raises(subprocess.TimeoutExpired):
                    host.process.wait(1)
                assert len(answer.content) == 32 * 2**20
            assert host.wait() == 0
