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
from local.host.settings import HostError, apply_local_settings, read_host_settings
from local.host.timer import Schedule, next_run

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)  # a Sunday
STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


@pytest.fixture
def app():
    return func.FunctionApp()


def host_json(folder, **queues):
    (folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"queues": queues}}))
    return folder


def after(seconds):
    return NOON + timedelta(seconds=seconds)


class TestSettings:
    def test_an_empty_host_json_means_the_defaults_of_azure(self, tmp_path):
        (tmp_path / "host.json").write_text('{"version": "2.0"}')
        settings = read_host_settings(tmp_path)
        assert settings.route_prefix == "api"
        assert (settings.queues.batch_size, settings.queues.new_batch_threshold) == (16, 8)
        assert (settings.queues.max_dequeue_count, settings.queues.is_base64) == (5, True)
        assert settings.queues.visibility_timeout == timedelta(0)
        assert settings.queues.max_polling_interval == timedelta(minutes=1)

    def test_given_values_are_used(self, tmp_path):
        queues = read_host_settings(
            host_json(
                tmp_path,
                batchSize=32,
                newBatchThreshold=0,
                maxDequeueCount=1,
                visibilityTimeout="01:02:03",
                maxPollingInterval="00:00:00.1",
                messageEncoding="none",
            )
        ).queues
        assert (queues.batch_size, queues.new_batch_threshold, queues.max_dequeue_count) == (32, 0, 1)
        assert queues.visibility_timeout == timedelta(hours=1, minutes=2, seconds=3)
        assert queues.max_polling_interval == timedelta(milliseconds=100)
        assert not queues.is_base64

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("batchSize", 0),
            ("batchSize", 33),
            ("batchSize", "16"),
            ("batchSize", True),
            ("newBatchThreshold", -1),
            ("maxDequeueCount", 0),
            ("visibilityTimeout", 30),
            ("visibilityTimeout", "24:00:00"),
            ("visibilityTimeout", "00:60:00"),
            ("maxPollingInterval", "00:00:00.05"),
            ("messageEncoding", "base32"),
        ],
    )
    def test_a_value_out_of_range_is_named_with_what_it_holds(self, tmp_path, key, value):
        with pytest.raises(HostError, match=rf"^host.json: extensions.queues.{key} is {value!r}; it must be .+$"):
            read_host_settings(host_json(tmp_path, **{key: value}))

    def test_a_folder_without_host_json_is_no_function_app(self, tmp_path):
        with pytest.raises(HostError, match=r"host\.json is missing"):
            read_host_settings(tmp_path)

    def test_a_malformed_host_json_is_named(self, tmp_path):
        (tmp_path / "host.json").write_text("{")
        with pytest.raises(HostError, match=r"host\.json is no valid JSON"):
            read_host_settings(tmp_path)

    def test_values_of_local_settings_are_applied_unless_the_environment_has_them(self, tmp_path):
        (tmp_path / "local.settings.json").write_text('{"IsEncrypted": false, "Values": {"A": "file", "B": "file"}}')
        environ = {"A": "environment"}
        apply_local_settings(tmp_path, environ)
        assert environ == {"A": "environment", "B": "file"}

    def test_no_local_settings_change_nothing(self, tmp_path):
        environ = {}
        apply_local_settings(tmp_path, environ)
        assert environ == {}

    @pytest.mark.parametrize("text", ['{"IsEncrypted": true}', '{"Values": {"A": 1}}', "[]", '{"Values": []'])
    def test_local_settings_that_cannot_be_used_are_refused(self, tmp_path, text):
        (tmp_path / "local.settings.json").write_text(text)
        with pytest.raises(HostError, match=r"local\.settings\.json"):
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
        ("ended", "then"),
        [
            pytest.param(2, 10, id="in time: the next tick"),
            pytest.param(10, 10, id="ended at the tick: that tick"),
            pytest.param(14, 14, id="one tick missed: a late run at once"),
            pytest.param(47, 47, id="many ticks missed: still one late run"),
        ],
    )
    def test_after_a_run(self, ended, then):
        schedule = Schedule("*/10 * * * * *")
        assert next_run(schedule, NOON, after(ended)) == after(then)

    def test_a_late_run_is_followed_by_the_regular_tick(self):
        schedule = Schedule("*/10 * * * * *")
        assert next_run(schedule, after(47), after(48)) == after(50)


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


class TestFunctions:
    def read(self, app, **environ):
        functions, errors = read_functions(app, STORAGE | environ)
        return {function.name: str(function.trigger) for function in functions}, {
            name: str(error) for name, error in errors.items()
        }

    def test_settings_in_percent_signs_are_resolved(self, app):
        @app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
        def tick(timer): ...

        @app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
        def take(msg): ...

        functions, errors = self.read(app, SCHEDULE="0 * * * * *", QUEUE="calls")
        assert functions == {"tick": "timerTrigger 0 * * * * *", "take": "queueTrigger calls"}
        assert not errors

    def test_a_function_that_lacks_a_setting_is_in_error_and_the_others_run(self, app):
        @app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%")
        def tick(timer): ...

        @app.queue_trigger(arg_name="msg", queue_name="calls", connection="OtherStorage")
        def take(msg): ...

        @app.route(route="ping")
        def ping(req): ...

        functions, errors = self.read(app)
        assert functions == {"ping": "httpTrigger ping"}
        assert "SCHEDULE, which is missing" in errors["tick"]
        assert "OtherStorage, is missing" in errors["take"]

    def test_what_this_host_cannot_run_as_azure_would_is_refused_by_name(self, app):
        @app.blob_trigger(arg_name="blob", path="p", connection="AzureWebJobsStorage")
        def on_blob(blob): ...

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        @app.queue_output(arg_name="out", queue_name="q", connection="AzureWebJobsStorage")
        def with_output(timer, out): ...

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        async def asynchronous(timer): ...

        @app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
        @app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
        def retried(timer): ...

        @app.timer_trigger(arg_name="timer", schedule="hourly")
        def badly_scheduled(timer): ...

        @app.queue_trigger(arg_name="msg", queue_name="calls", connection="BROKEN")
        def badly_connected(msg): ...

        @app.route(route="admin/all")
        def reserved(req): ...

        @app.route(route="items/{id:int}")
        def constrained(req): ...

        functions, errors = self.read(app, BROKEN="no connection string")
        assert not functions
        assert "'blobTrigger'" in errors["on_blob"]
        assert "'queue'" in errors["with_output"]
        assert "async def" in errors["asynchronous"]
        assert "retry policy" in errors["retried"]
        assert "NCRONTAB" in errors["badly_scheduled"]
        assert "BROKEN, holds no connection string" in errors["badly_connected"]
        assert "kept for the host" in errors["reserved"]
        assert "items/{id:int}" in errors["constrained"]

    def test_a_second_function_on_a_route_is_refused_only_where_they_share_a_method(self, app):
        @app.route(route="calls", methods=["GET"])
        def read(req): ...

        @app.route(route="calls", methods=["POST"])
        def write(req): ...

        @app.route(route="Calls")
        def anything(req): ...

        functions, errors = self.read(app)
        assert sorted(functions) == ["read", "write"]
        assert "already belongs to read" in errors["anything"]

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            pytest.param(None, "missing", id="no file"),
            pytest.param("x = 1", "one FunctionApp, it holds 0", id="no app"),
            pytest.param("a, b = func.FunctionApp(), func.FunctionApp()", "it holds 2", id="two apps"),
            pytest.param("raise OSError('no disk')", "OSError: no disk", id="exception"),
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

    def test_a_parameter_that_no_binding_fills_leaves_no_functions_as_in_azure(self, app):
        @app.route(route="good")
        def good(req, context): ...

        @app.route(route="bad")
        def bad(request): ...

        with pytest.raises(AppError, match=r"no functions found: bad .*\['request'\].*\['req'\]"):
            read_functions(app, {})

    def test_an_app_without_functions_says_so(self, app):
        with pytest.raises(AppError, match="declares none"):
            read_functions(app, {})

    def test_two_functions_of_one_name_leave_none(self, app):
        for _ in range(2):

            @app.route(route="x")
            def same(req): ...

        with pytest.raises(AppError, match=r"no functions found: .*same"):
            read_functions(app, {})
