"""/health between real parts: whole, with each part broken in turn, silent about names, and not to be hammered with."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cdr.edges.storage import account as storage_account
from cdr.operations import status
from local.azurite import ACCOUNT, ACCOUNT_KEY
from shared.clock import HandMovedClock
from shared.config.phone_system import CdrDatabase
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import SECRETS, write_config

WELL = {"configuration": "ok", "database": "ok", "storage": "ok", "api": "ok"}
PASSWORD = "s3cret-42"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """One that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def dead_storage(closed_port) -> str:
    services = (f"{name}Endpoint=http://127.0.0.1:{closed_port}/{ACCOUNT};" for name in ("Blob", "Queue", "Table"))
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};" + "".join(services)


def states(answer):
    return {name: part["state"] for name, part in answer.body["parts"].items()}


def gives_away(answer, *more):
    """Names, paths and secrets of this test's parts that stand in an answer."""
    said = str(answer.headers) + answer.text
    told = ("127.0.0.1", "localhost", "/", "\\", "sqlite", "mysql", "devstore", "cdr_reader", PASSWORD, *SECRETS, *more)
    return [word for word in told if word in said.replace("application/json", "")]


def test_all_parts_in_order_are_ok_each_with_the_time_it_took(app):
    answer = app.ask("health")
    assert answer.status == 200
    assert answer.body["status"] == "ok"
    assert states(answer) == WELL
    assert all(part.keys() == {"state", "duration_ms"} for part in answer.body["parts"].values())
    assert all(0 <= part["duration_ms"] < 30_000 for part in answer.body["parts"].values())
    assert gives_away(answer) == []


class TestABrokenPart:
    """Each is told from the others, and nothing but its state is said."""

    def check(self, answer, part, state):
        assert answer.status == 503
        assert answer.body["status"] == "unavailable"
        assert states(answer) == WELL | {part: state}
        assert answer.body["parts"].keys() == WELL.keys()
        assert gives_away(answer) == []

    def test_database_file_missing(self, app, phone_system):
        phone_system.file.unlink()
        self.check(app.ask("health"), "database", "misconfigured")

    def test_database_table_missing(self, app, phone_system):
        phone_system.sql("DROP TABLE CallLog")
        self.check(app.ask("health"), "database", "misconfigured")

    def test_database_server_unreachable(self, storage, config_file, call_logger, closed_port):
        login = {"host": "127.0.0.1", "port": closed_port, "username": "cdr_reader", "password": PASSWORD}
        write_config(config_file, CdrDatabase(engine="mysql", database="cdr", **login), call_logger.base_url)
        self.check(LoadedApp().ask("health"), "database", "unavailable")

    def test_api_down(self, app, call_logger):
        call_logger.stop()
        self.check(app.ask("health"), "api", "unavailable")

    def test_api_refuses_our_credentials(self, storage, config_file, call_logger, phone_system):
        write_config(config_file, phone_system.settings(), call_logger.base_url, token="another token")
        self.check(LoadedApp().ask("health"), "api", "misconfigured")

    def test_api_address_of_something_else(self, storage, config_file, call_logger, phone_system):
        write_config(config_file, phone_system.settings(), call_logger.base_url + "/elsewhere")
        self.check(LoadedApp().ask("health"), "api", "misconfigured")

    def test_storage_down(self, config_file, dead_storage, monkeypatch):
        monkeypatch.setenv("AzureWebJobsStorage", dead_storage)
        monkeypatch.setattr(storage_account, "PATIENCE", dict.fromkeys(storage_account.PATIENCE, 0))
        self.check(LoadedApp().ask("health"), "storage", "unavailable")

    def test_one_that_hangs_is_not_waited_for(self, storage, config_file, phone_system, monkeypatch):
        monkeypatch.setattr(status, "LONGEST_LOOK_S", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
            write_config(config_file, phone_system.settings(), address)
            started = time.monotonic()
            answer = LoadedApp().ask("health")
            took_s = time.monotonic() - started
        self.check(answer, "api", "unavailable")
        assert took_s < 5
        assert answer.body["parts"]["api"]["duration_ms"] >= 500

    @pytest.mark.parametrize("setting", ["", "no connection string"])
    def test_storage_setting_missing_or_wrong(self, config_file, monkeypatch, setting):
        monkeypatch.setenv("AzureWebJobsStorage", setting)
        answer = LoadedApp().ask("health")
        assert answer.status == 503
        assert states(answer)["storage"] != "ok"
        assert gives_away(answer) == []

    def test_configuration_with_mistakes_is_counted_and_storage_looked_at_all_the_same(self, storage, config_file):
        config_file.write_text(config_file.read_text() + "calls: {phone_format: wrong}\nunknown_section: {}\n")
        answer = LoadedApp().ask("health")
        assert answer.status == 503
        assert answer.body["configuration_mistakes"] == 2
        assert states(answer) == {"configuration": "misconfigured", "storage": "ok"}
        assert gives_away(answer, "phone_format", "unknown_section") == []

    def test_several_at_once(self, app, phone_system, call_logger):
        phone_system.file.unlink()
        call_logger.stop()
        assert states(app.ask("health")) == WELL | {"database": "misconfigured", "api": "unavailable"}

    def test_mended_it_is_well_again(self, app, phone_system):
        app.run_by(clock := HandMovedClock(datetime(2026, 11, 22, tzinfo=UTC)), dict(os.environ))
        away = phone_system.file.rename(phone_system.file.with_name("elsewhere.db"))
        assert app.ask("health").status == 503
        away.rename(phone_system.file)
        clock.move(timedelta(seconds=10))
        assert app.ask("health").status == 200


class CountingApi(ThreadingHTTPServer):
    """Answers /health like the Call Logger, and counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HealthOnly)
        self.asked = 0
        self.base_url = f"http://127.0.0.1:{self.server_port}/api"
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self.asked += 1


class _HealthOnly(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.count()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class TestCache:
    @pytest.fixture
    def api(self) -> Iterator[CountingApi]:
        with CountingApi() as api:
            thread = threading.Thread(target=api.serve_forever, args=(0.02,))
            thread.start()
            yield api
            api.shutdown()
            thread.join()

    @pytest.fixture
    def clock(self):
        return HandMovedClock(datetime(2026, 11, 22, tzinfo=UTC))

    @pytest.fixture
    def counted(self, storage, config_file, phone_system, api, clock):
        write_config(config_file, phone_system.settings(), api.base_url)
        app = LoadedApp()
        app.run_by(clock, dict(os.environ))
        return app

    def test_many_who_ask_at_once_cost_one_look_at_the_parts(self, counted, api):
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: counted.ask("health").status, range(100)))
        assert answers == [200] * 100
        assert api.asked == 1

    def test_an_answer_is_kept_for_ten_seconds(self, counted, api, clock):
        for seconds in (0, 5, 4.9):
            clock.move(timedelta(seconds=seconds))
            counted.ask("health")
        assert api.asked == 1
        clock.move(timedelta(seconds=0.1))
        counted.ask("health")
        assert api.asked == 2

    def test_a_bad_answer_is_kept_too(self, counted, api, clock, phone_system):
        phone_system.file.unlink()
        assert [counted.ask("health").status for _ in range(3)] == [503] * 3
        assert api.asked == 1
