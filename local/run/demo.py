"""The demo: a simulated phone system, storage in memory, and a stand-in for the Call Logger, all on 127.0.0.1.

A check of the call groups is asked for every few seconds: the timer's shortest interval, a minute, is long to watch.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from local import azurite, call_logger
from local.phone_system import pbx, v20_pbx
from local.phone_system.agents import AgentEvent, Agents
from local.phone_system.pbx import CallEvent, Pbx
from local.phone_system.v20_pbx import Told, V20Pbx
from local.run.options import Source
from local.run.tally import Backend

CONFIG_FILE = "local/run/demo.yml"
# With these calls each outcome is soon to be seen.
SEED = 25
CHECK_EVERY_S = 3.0
LATE_LEG_WAIT_S = 8.0  # nobody watches for a quarter of an hour; more than v20_pbx.LATE_BY_S
REQUEST_TIMEOUT_S = 10.0

PhoneEvent = CallEvent | Told | AgentEvent


class Demo:
    """Its parts are there from the start of the block to its end; the phone system is busy from `begin` to `end`."""

    def __init__(self, on_event: Callable[[PhoneEvent], None], *, source: Source = "v20", pace: float = 1.0) -> None:
        """`on_event` is called from other threads. `pace` stretches all seconds (0.2: five times as fast)."""
        self._on_event = on_event
        self._source = source
        self._pace = pace
        self._port = 0
        self._parts = ExitStack()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            folder = parts.enter_context(TemporaryDirectory(prefix="3cx-demo-", ignore_cleanup_errors=True))
            self._storage = parts.enter_context(azurite.start())
            self._call_logger = parts.enter_context(call_logger.start())
            self._cdr_file = Path(folder) / "cdr.sqlite"
            self._phone_system: Pbx | V20Pbx = self._make_phone_system()
            parts.enter_context(self._phone_system)
            self._agents = Agents(self._cdr_file, pace=self._pace, on_event=self._on_event)
            self._parts = parts.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._parts.close()

    @property
    def environment(self) -> dict[str, str]:
        """What the functions need to work on the demo."""
        return {
            **os.environ,
            "AzureWebJobsStorage": self._storage.connection_string,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_THREADPOOL_THREAD_COUNT": "20",
            "CONFIG_FILE": CONFIG_FILE,
            "CDR_SOURCE": self._source,
            "CDR_DB_NAME": str(self._cdr_file),
            "LATE_LEG_WAIT": f"{math.ceil(LATE_LEG_WAIT_S * self._pace)} s",
            "API_BASE_URL": self._call_logger.base_url,
            # A proxy, where the machine has one, is not for the demo's own addresses.
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    @property
    def title(self) -> str:
        written = {"v20": "3CX V20, legs of calls", "calllog": "a table of calls"}[self._source]
        return (
            f"Demo: simulated phone system ({written}) → functions, Azurite's queue and tables → stand-in Call Logger"
        )

    @property
    def backend(self) -> Backend:
        logger = self._call_logger.call_logger
        return Backend(len(logger.entries), tuple(logger.double_submissions))

    def entry(self, entry_id: str) -> Mapping[str, Any] | None:
        """What the Call Logger has under this id."""
        return next((entry for entry in self._call_logger.call_logger.entries if entry["id"] == entry_id), None)

    @property
    def links(self) -> list[tuple[str, str]]:
        return [
            ("Call Logger", self._call_logger.entries_url),
            ("alerts", f"{self._call_logger.base_url}/alerts/call-groups"),
        ]

    def begin(self, port: int) -> None:
        """Let calls and agents come and go, and the functions on this port check the groups."""
        self._port = port
        works = {
            "calls": lambda: self._phone_system.run(self._stop, calls_per_minute=self._calls_per_minute / self._pace),
            "agents": lambda: self._agents.run(self._stop),
            "checks": self._ask_for_checks,
        }
        self._threads = [threading.Thread(target=work, name=name) for name, work in works.items()]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Hang up all calls that still run. May be called at any time, and more than once."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def ask_for_poll(self) -> None:
        """Nobody who waits for the last calls should wait for the timer, too."""
        self._ask_for("poll")

    def _make_phone_system(self) -> Pbx | V20Pbx:
        rng = random.Random(SEED)
        if self._source == "v20":
            return V20Pbx(self._cdr_file, rng=rng, pace=self._pace, on_event=self._on_event)
        return Pbx(self._cdr_file, rng=rng, pace=self._pace, on_event=self._on_event)

    @property
    def _calls_per_minute(self) -> float:
        return v20_pbx.CALLS_PER_MINUTE if self._source == "v20" else pbx.CALLS_PER_MINUTE

    def _ask_for_checks(self) -> None:
        while not self._stop.wait(CHECK_EVERY_S * self._pace):
            self._ask_for("alerts")

    def _ask_for(self, what: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
        # What keeps the functions from it they say themselves, in their own lines.
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", f"/trigger/{what}")
            connection.getresponse().read()
