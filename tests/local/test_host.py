"""The local host as its users run it: a process with a function app, real queues, real time and real HTTP."""

import json
import socket
import threading
from base64 import b64encode
from datetime import datetime
from itertools import pairwise

import pytest

from tests.support.waiting import wait_until
from tests.systems.host import HostProcess, is_refused, python

HOST_JSON = {
    "version": "2.0",
    "extensions": {
        "http": {"routePrefix": "v1"},
        "queues": {
            "batchSize": 4,
            "maxDequeueCount": 2,
            "visibilityTimeout": "00:00:01",
            "maxPollingInterval": "00:00:00.1",
        },
    },
}
APP = """
import json, logging, os, threading, time
import azure.functions as func

app = func.FunctionApp()

def note(function, **fields):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(json.dumps({"function": function, "at": time.time(), **fields}) + "\\n")

@app.queue_trigger(arg_name="message", queue_name="%ORDERS%", connection="AzureWebJobsStorage")
def orders(message):
    order = message.get_body().decode()
    note("orders", order=order, count=message.dequeue_count)
    if order.startswith("fail"):
        raise RuntimeError("told to " + order)
    return "something" if order.startswith("return") else None

@app.queue_trigger(arg_name="message", queue_name="orders-poison", connection="AzureWebJobsStorage")
def keep_poisoned(message):
    note("keep_poisoned", order=message.get_body().decode(), count=message.dequeue_count)

@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def tick(timer):
    note("tick", past_due=timer.past_due)

@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
def slow(timer):
    note("slow")
    time.sleep(1.3)
    note("slow ended")

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def yearly(timer, context):
    note("yearly", context=[context.function_name, len(context.invocation_id)])

@app.timer_trigger(arg_name="timer", schedule="%MISSING%")
def unscheduled(timer):
    note("unscheduled")

@app.route(route="items/{name}", methods=["GET", "PUT"], auth_level=func.AuthLevel.FUNCTION)
def item(req):
    seen = {"method": req.method, "url": req.url, "params": dict(req.params), "route": dict(req.route_params),
            "header": req.headers.get("X-Test"), "body": req.get_body().decode()}
    headers = {"X-Seen": "yes", "Content-Type": "application/x-own+json"}
    return func.HttpResponse(json.dumps(seen), status_code=201, mimetype="application/json", headers=headers)

@app.route(route="items/first", methods=["GET"])
def first_item(req):
    return func.HttpResponse("grüezi", charset="latin-1")

@app.route(route="anything")
def anything(req):
    return req.method

@app.route(route="nothing")
def nothing(req):
    logging.getLogger("app").info("nothing is said")

@app.route(route="broken")
def broken(req):
    raise ValueError("broken on purpose")

@app.route(route="stuck")
def stuck(req):
    note("stuck")
    threading.Event().wait()

@app.route(route="large")
def large(req):
    return func.HttpResponse(bytes(32 * 2**20), mimetype="application/octet-stream")
"""


class AppProcess(HostProcess):
    """A host of APP, or of another source, and what its functions noted."""

    def __init__(self, folder, storage, *arguments, source=APP, **options):
        self._journal = folder / "journal"
        (folder / "function_app.py").write_text(source)
        (folder / "host.json").write_text(json.dumps(HOST_JSON))
        settings = {"AzureWebJobsStorage": storage.connection_string, "ORDERS": "orders", "JOURNAL": str(self._journal)}
        super().__init__(folder, settings, *arguments, **options)

    def journal(self, function, order=""):
        """What a function noted, of the orders that start with `order`."""
        text = self._journal.read_text() if self._journal.exists() else ""
        notes = [json.loads(line) for line in text.splitlines()]
        return [note for note in notes if note["function"] == function and note.get("order", "").startswith(order)]


@pytest.fixture(scope="module")
def host(storage, tmp_path_factory):
    """One host with every function of APP; it must end in order."""
    for name in ("orders", "orders-poison"):
        with storage.plain_queue(name) as queue:
            queue.create_queue()
    with AppProcess(tmp_path_factory.mktemp("app"), storage) as host:
        assert host.base_url
        yield host
        assert host.end() == 0


def test_it_says_that_it_stands_in_for_core_tools_and_lists_the_functions(host):
    assert "stands in for Azure Functions Core Tools" in host.lines[0]
    assert {
        f"\titem: [GET,PUT] {host.base_url}/v1/items/{{name}}",
        f"\tanything: [any method] {host.base_url}/v1/anything",
        "\ttick: timerTrigger * * * * * *",
        "\torders: queueTrigger orders",
        "The 'unscheduled' function is in error: '%MISSING%' needs the setting MISSING, which is missing",
    } <= set(host.lines)


class TestQueues:
    def test_an_exception_or_a_result_is_a_failure_with_a_log_and_in_the_end_poison(self, host, storage):
        errors = {
            "fail always": "told to fail always",
            "return a value": "function orders returned a str; it may return no",
        }
        with storage.plain_queue("orders") as client:
            for order in errors:
                client.send_message(b64encode(order.encode()).decode())
        for order, error in errors.items():
            (poisoned,) = wait_until(lambda order=order: host.journal("keep_poisoned", order))
            tries = host.journal("orders", order)
            assert ([note["count"] for note in tries], poisoned["count"]) == ([1, 2], 1)
            assert all(later["at"] - earlier["at"] >= 0.9 for earlier, later in pairwise(tries))
            assert f"RuntimeError: {error}" in host.output
        assert "Message has reached MaxDequeueCount of 2. Moving it to queue 'orders-poison'" in host.output
        executed = next(line for line in host.lines if "Executed 'Functions.orders' (Failed, Id=" in line)
        assert datetime.strptime(executed.split()[0], "[%Y-%m-%dT%H:%M:%S.%fZ]")  # noqa: DTZ007 - the Z is literal
        assert executed.endswith("ms)")
        assert "Traceback (most recent call last):" in host.lines


def test_a_timer_runs_at_each_tick_of_its_schedule_but_never_beside_itself(host):
    runs = wait_until(lambda: len(notes := host.journal("tick")) >= 3 and notes)
    # Two seconds apart; a busy machine may drop or delay some.
    assert 1 < runs[2]["at"] - runs[0]["at"] < 15
    assert not any(run["past_due"] for run in runs)
    assert wait_until(lambda: host.journal("yearly"))  # which runs on startup
    starts = wait_until(lambda: len(notes := host.journal("slow")) >= 3 and notes)
    ends = host.journal("slow ended")
    assert all(end["at"] <= start["at"] for end, start in zip(ends, starts[1:], strict=False))


class TestHttp:
    @pytest.mark.parametrize("body", ["grüezi".encode(), [b"gr\xc3", b"\xbcezi"]], ids=["of one piece", "in chunks"])
    def test_a_function_gets_the_request_and_its_answer_is_sent(self, host, body):
        data = iter(body) if isinstance(body, list) else body
        answer = host.ask("PUT", "/V1/Items/a%20b/?x=1&x=2&y=", data=data, headers={"X-Test": "t"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/x-own+json")
        assert answer.headers["X-Seen"] == "yes"
        assert answer.json() == {
            "method": "PUT",
            "url": f"{host.base_url}/V1/Items/a%20b/?x=1&x=2&y=",
            "params": {"x": "1,2", "y": ""},
            "route": {"name": "a b"},
            "header": "t",
            "body": "grüezi",
        }

    def test_a_fixed_route_wins_over_a_parameter_and_the_charset_is_kept(self, host):
        answer = host.ask("GET", "/v1/items/first")
        assert (answer.text, answer.headers["Content-Type"]) == ("grüezi", "text/plain; charset=latin-1")

    def test_a_route_without_methods_takes_all(self, host):
        methods = ["GET", "POST", "DELETE", "PATCH"]
        assert [host.ask(method, "/v1/anything").text for method in methods] == methods

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            pytest.param("POST", "/v1/items/7", 404, id="wrong method"),
            pytest.param("GET", "/v1/unknown", 404, id="unknown route"),
            pytest.param("GET", "/anything", 404, id="no prefix"),
            pytest.param("GET", "/v1/items/7/8", 404, id="a parameter is one segment"),
            pytest.param("GET", "/", 404, id="no home page"),
            pytest.param("GET", "/v1/broken", 500, id="exception"),
            pytest.param("GET", "/v1/nothing", 204, id="no result"),
        ],
    )
    def test_an_answer_without_a_function_behind_it_is_empty(self, host, method, path, status):
        answer = host.ask(method, path, data=bytes(2**20))
        assert (answer.status_code, answer.content) == (status, b"")
        if status == 204:  # but for what it logs
            wait_until(lambda: any(line.endswith("Z] nothing is said") for line in host.lines))

    @pytest.mark.parametrize("rest", [b"Transfer-Encoding: chunked\r\n\r\nmany", b"Content-Length: 9\r\n\r\nless"])
    def test_a_body_that_makes_no_sense_is_refused(self, host, rest):
        _, _, port = host.base_url.rpartition(":")
        with socket.create_connection(("127.0.0.1", int(port)), 10) as line:
            line.sendall(b"PUT /v1/items/7 HTTP/1.1\r\nHost: here\r\n" + rest)
            line.shutdown(socket.SHUT_WR)
            assert line.makefile().readline() == "HTTP/1.1 400 BAD REQUEST\n"


class TestAdmin:
    def test_it_says_that_it_runs_and_timers_and_queue_functions_are_started_by_hand(self, host):
        assert host.ask("GET", "/admin/host/status").json() == {"state": "Running"}
        before = len(wait_until(lambda: host.journal("yearly")))
        assert host.ask("POST", "/admin/functions/yearly", json={}).status_code == 202
        answer = host.ask("POST", "/admin/functions/Orders", json={"input": "by hand"})
        assert (answer.status_code, answer.content) == (202, b"")
        wait_until(lambda: host.journal("orders", "by hand") and len(host.journal("yearly")) == before + 1)
        assert {tuple(run["context"]) for run in host.journal("yearly")} == {("yearly", 36)}
        assert "(Succeeded" not in host.output

    def test_without_a_json_object_with_text_or_such_a_function_nothing_is_started(self, host):
        """Functions of HTTP have an address of their own."""

        def start(name, body):
            return host.ask("POST", f"/admin/functions/{name}", data=body).status_code

        assert [start("orders", body) for body in ("text", "[]", '{"input": 5}')] == [400] * 3
        assert [start(name, "{}") for name in ("nobody", "large")] == [404] * 2


class TestStartAndStop:
    def test_what_keeps_it_from_starting_is_said_in_one_line(self, tmp_path, storage):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = str(holder.getsockname()[1])
            for arguments, said in {
                ("--port", port): f"local.host: port {port} is taken by another program: choose another with --port",
                ("--functions", "tick", "tock"): "local.host: there is no function tock; there are anything, broken, ",
                ("--script-root", f"{tmp_path}/none"): f"local.host: {tmp_path}/none is no folder",
            }.items():
                with AppProcess(tmp_path, storage, *arguments) as host:
                    assert host.wait() == 1
                (line,) = host.lines[1:]
                assert line.startswith(said)

    def test_a_broken_import_is_shown(self, tmp_path, storage):
        with AppProcess(tmp_path, storage, source="raise OSError('no disk')") as host:
            assert host.wait() == 1
        assert host.lines[-1] == "local.host: no functions found: function_app.py failed with OSError: no disk"
        assert "Traceback (most recent call last):" in host.lines

    def test_what_does_not_finish_in_time_is_cut_off(self, tmp_path, storage):
        start = "import datetime; from local.host.host import Times, main; raise SystemExit(main(times=Times(stop={})))"
        launch = python("-c", start.format("datetime.timedelta(seconds=0.1)"))
        with AppProcess(tmp_path, storage, "--functions", "stuck", launch=launch) as host:
            address = host.base_url
            asking = threading.Thread(target=is_refused, args=(f"{address}/v1/stuck",))
            asking.start()
            wait_until(lambda: host.journal("stuck"))
            assert host.end() == 0
            asking.join(5)
        assert "invocations still ran after 0.1 s and were cut off" in host.lines[-1]

    def test_an_answer_that_is_being_sent_when_the_host_is_told_to_stop_is_sent_to_its_end(self, tmp_path, storage):
        """By a host of that function alone. More than the buffers hold, so it cannot be done before this end reads."""
        with AppProcess(tmp_path, storage, "--functions", "large") as host:
            address = host.base_url
            assert host.ask("GET", "/v1/nothing").status_code == 404
            with host.ask("GET", "/v1/large", stream=True) as answer:
                host.ask_to_end()
                wait_until(lambda: is_refused(address))
                assert (len(answer.content), answer.headers["Content-Type"]) == (32 * 2**20, "application/octet-stream")
            assert host.wait() == 0
        assert not host.journal("yearly")
        assert "Traceback" not in host.output
