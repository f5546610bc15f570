"""The parts of the local host that are rules alone: settings, schedules, pauses, and which functions can run."""

import json
import random
import sys
from datetime import UTC, datetime, timedelta

import azure.functions as func
import pytest

from local.host.functions import AppError, import_app, read_functions
from local.host.invoke import worker_threads
from local.host.queue import Pauses, poison_queue_of
from local.host.settings import HostError, HostSettings, QueueSettings, apply_local_settings, read_host_settings
from local.host.timer import Schedule, next_run

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)  # a Sunday


def after(seconds):
    return NOON + timedelta(seconds=seconds)


UNTAKEN = (r'"A": "a\u0000b"', r'"A": "\ud800"', '"": "b"', '"A=B": "c"')


class TestSettings:
    def test_an_empty_host_json_means_the_defaults_of_azure(self, tmp_path):
        (tmp_path / "host.json").write_text("{}")
        queues = QueueSettings(16, 8, 5, timedelta(0), timedelta(minutes=1), is_base64=True)
        assert read_host_settings(tmp_path) == HostSettings(queues, "api")

    def test_given_values_are_used(self, tmp_path):
        counts = '"batchSize": 32, "newBatchThreshold": 0, "maxDequeueCount": 1, "messageEncoding": "none"'
        spans = '"visibilityTimeout": "01:02:03", "maxPollingInterval": "00:00:00.1"'
        text = f'{{"extensions": {{"http": {{"routePrefix": "/v1/"}}, "queues": {{{counts}, {spans}}}}}}}'
        (tmp_path / "host.json").write_text(text)
        queues = QueueSettings(32, 0, 1, timedelta(seconds=3723), timedelta(milliseconds=100), is_base64=False)
        assert read_host_settings(tmp_path) == HostSettings(queues, "v1")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("batchSize", value) for value in (0, 33, "16", True)),
            *(("newBatchThreshold", -1), ("maxDequeueCount", 0), ("messageEncoding", "base32")),
            *(("visibilityTimeout", value) for value in (30, "24:00:00", "00:60:00")),
            ("maxPollingInterval", "00:00:00.05"),
        ],
    )
    def test_a_value_out_of_range_is_named_with_what_it_holds(self, tmp_path, key, value):
        (tmp_path / "host.json").write_text(json.dumps({"extensions": {"queues": {key: value}}}))
        with pytest.raises(HostError, match=rf"^host.json: extensions.queues.{key} is {value!r}; it must be .+$"):
            read_host_settings(tmp_path)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, r"host\.json is missing"),
            ("{", r"host\.json is no valid JSON"),
            ('{"extensions": [1]}', "'extensions' must be a JSON object"),
            ('{"extensions": {"http": {"routePrefix": 1}}}', "routePrefix is 1; it must be text"),
        ],
    )
    def test_a_host_json_that_cannot_be_used_is_refused(self, tmp_path, text, said):
        if text:
            (tmp_path / "host.json").write_text(text)
        with pytest.raises(HostError, match=said):
            read_host_settings(tmp_path)

    def test_values_of_local_settings_are_applied_unless_the_environment_has_them(self, tmp_path):
        environ = {"A": "environment"}
        apply_local_settings(tmp_path, environ)
        assert environ == {"A": "environment"}
        (tmp_path / "local.settings.json").write_text('{"IsEncrypted": false, "Values": {"A": "file", "B": "file"}}')
        apply_local_settings(tmp_path, environ)
        assert environ == {"A": "environment", "B": "file"}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"IsEncrypted": true}', "is encrypted"),
            ('{"Values": {"A": 1}}', "must be text"),
            ("[]", "must hold a JSON object"),
            ('{"Values": []', "is no valid JSON"),
            ('{"API_BASE_URL": "x"}', "must stand within"),
            *((f'{{"Values": {{{pair}}}}}', "is nothing that an environment takes") for pair in UNTAKEN),
        ],
    )
    def test_local_settings_that_cannot_be_used_are_refused(self, tmp_path, text, said):
        (tmp_path / "local.settings.json").write_text(text)
        with pytest.raises(HostError, match=rf"local\.settings\.json.* {said}"):
            apply_local_settings(tmp_path, {})

    def test_local_settings_as_windows_writes_them_are_named_as_such(self, tmp_path):
        (tmp_path / "local.settings.json").write_text('{"Values": {}}', encoding="utf-16")
        with pytest.raises(HostError, match="perhaps UTF-16; save it as UTF-8"):
            apply_local_settings(tmp_path, {})

    def test_the_number_of_threads_comes_from_the_setting_of_azure(self):
        assert worker_threads({"PYTHON_THREADPOOL_THREAD_COUNT": "3"}) == 3
        assert 5 <= worker_threads({}) <= 32
        with pytest.raises(HostError, match="PYTHON_THREADPOOL_THREAD_COUNT is '0'"):
            worker_threads({"PYTHON_THREADPOOL_THREAD_COUNT": "0"})


class TestSchedule:
    @pytest.mark.parametrize(
        ("expression", "moment", "tick"),
        [
            pytest.param("*/30 * * * * *", after(29.5), after(30), id="seconds come first"),
            pytest.param("*/30 * * * * *", after(30), after(60), id="a tick is later than the moment"),
            pytest.param("*/45 * * * * *", after(46), after(60), id="a step starts again with each minute"),
            pytest.param("0 */5 * * * *", after(1), after(300), id="minutes"),
            pytest.param("0 0 12 * * 0", after(-1), NOON, id="0 is Sunday"),
            pytest.param("0 0 12 * * MON-FRI", NOON, NOON + timedelta(days=1), id="names of days"),
            pytest.param("0 0 12 13 * 5", NOON, datetime(2027, 8, 13, 12, tzinfo=UTC), id="both days must fit"),
        ],
    )
    def test_the_next_tick(self, expression, moment, tick):
        assert Schedule(expression).after(moment) == tick

    @pytest.mark.parametrize("expression", ["* * * * *", "00:00:30", "61 * * * * *", "@hourly", "", "* * * * * * *"])
    def test_anything_but_six_fields_is_refused(self, expression):
        with pytest.raises(ValueError, match="no NCRONTAB expression of six fields"):
            Schedule(expression)

    @pytest.mark.parametrize(
        ("due", "ended", "then"),
        [
            pytest.param(0, 2, 10, id="in time: the next tick"),
            pytest.param(0, 10, 10, id="ended at the tick: that tick"),
            pytest.param(0, 47, 47, id="ticks missed: one late run at once"),
            pytest.param(47, 48, 50, id="after a late run: the regular tick"),
        ],
    )
    def test_after_a_run(self, due, ended, then):
        assert next_run(Schedule("*/10 * * * * *"), after(due), after(ended)) == after(then)


class TestQueueRules:
    def test_pauses_grow_to_the_longest_and_start_again(self):
        pauses = Pauses(timedelta(seconds=2), random.Random(1))
        taken = [pauses.next() for _ in range(8)]
        assert 0.08 <= taken[0] <= 0.12
        assert taken[:4] == sorted(taken[:4])
        assert max(taken) == taken[-1] <= 2
        pauses.reset()
        assert pauses.next() <= 0.12

    @pytest.mark.parametrize(
        ("queue", "poison"),
        [("calls", "calls-poison"), ("calls-poison", None), ("c" * 56, "c" * 56 + "-poison"), ("c" * 57, None)],
    )
    def test_the_name_of_the_poison_queue(self, queue, poison):
        assert poison_queue_of(queue) == poison


def an_app(body):
    """An app whose functions are declared by `body`, as the source of function_app.py."""
    names = {"func": func, "app": func.FunctionApp()}
    exec(body, names)
    return names["app"]


STORAGE = "connection='AzureWebJobsStorage'"
HOURLY = "@app.timer_trigger('timer', schedule='0 0 * * * *')"
REFUSED = {
    f"@app.blob_trigger('a', path='p', {STORAGE})\ndef f(a): ...": "'blobTrigger'",
    f"{HOURLY}\n@app.queue_output('out', queue_name='q', {STORAGE})\ndef f(timer, out): ...": "'queue'",
    f"{HOURLY}\nasync def f(timer): ...": "async def",
    f"{HOURLY}\n@app.retry('fixed_delay', max_retry_count='3', delay_interval='0:0:1')\ndef f(timer): ...": "a retry",
    "@app.timer_trigger('a', schedule='hourly')\ndef f(a): ...": "NCRONTAB",
    "@app.timer_trigger('a', schedule='%NAME%')\ndef f(a): ...": "needs the setting NAME, which is missing",
    "@app.queue_trigger('a', queue_name='q', connection='BROKEN')\ndef f(a): ...": "BROKEN, holds no connection string",
    "@app.queue_trigger('a', queue_name='q', connection='NONE')\ndef f(a): ...": "the setting NONE, is missing",
    "@app.route('admin/all')\ndef f(req): ...": "kept for the host",
    "@app.route('items/{id:int}')\ndef f(req): ...": "items/{id:int}",
    "@app.route('Calls')\ndef f(req): ...": "already belongs to read",
}
NO_FUNCTIONS = {
    "": "declares none",
    "@app.route('a')\ndef a(req, context): ...\n@app.route('b')\ndef b(wrong): ...": r"b .*\['wrong'\].*\['req'\]",
    "for _ in range(2):\n @app.route('x')\n def same(req): ...": "same",
}


class TestFunctions:
    @pytest.mark.parametrize(("source", "reason"), REFUSED.items(), ids=REFUSED.values())
    def test_a_function_that_cannot_run_as_in_azure_is_refused_by_name_and_the_others_run(self, source, reason):
        others = (
            "@app.route('calls', methods=['GET'])\ndef read(req): ...\n@app.route('calls', methods=['POST'])\n"
            f"def write(req): ...\n@app.queue_trigger('m', queue_name='%Q%', {STORAGE})\ndef take(m): ...\n"
        )
        environ = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "BROKEN": "no", "Q": "calls"}
        functions, errors = read_functions(an_app(others + source), environ)
        described = {function.name: str(function.trigger) for function in functions}
        assert described == {"read": "httpTrigger calls", "write": "httpTrigger calls", "take": "queueTrigger calls"}
        assert errors.keys() == {"f"}
        assert reason in str(errors["f"])

    @pytest.mark.parametrize(("source", "reason"), NO_FUNCTIONS.items(), ids=["none", "a parameter", "one name twice"])
    def test_what_leaves_no_functions_in_azure_leaves_none_here(self, source, reason):
        with pytest.raises(AppError, match=f"^no functions found: .*{reason}"):
            read_functions(an_app(source), {})

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            pytest.param(None, "missing", id="no file"),
            pytest.param("x = 1", "one FunctionApp, it holds 0", id="no app"),
            pytest.param("a, b = func.FunctionApp(), func.FunctionApp()", "it holds 2", id="two apps"),
            pytest.param("raise SystemExit(3)", "SystemExit: 3", id="exit"),
            pytest.param("def (", "SyntaxError", id="syntax"),
        ],
    )
    def test_a_broken_app_has_no_functions(self, tmp_path, monkeypatch, source, reason):
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setitem(sys.modules, "function_app", None)
        if source is not None:
            (tmp_path / "function_app.py").write_text(f"import azure.functions as func\n{source}\n")
        with pytest.raises(AppError, match=rf"^no functions found: .*{reason}"):
            import_app(tmp_path)
