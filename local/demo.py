"""The demo: a simulated phone system, storage in memory, and a stand-in for the Call Logger, all on 127.0.0.1."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from local import azurite, call_logger
from local.books import Backend
from local.pbx import CallEvent, Pbx

CONFIG_FILE = "local/demo.yml"
# With these calls each outcome is soon to be seen: the third one is rejected, the fifth one skipped.
SEED = 25


class Demo:
    """Its parts are there from the start of the block to its end; calls come from `begin_calls` to `end_calls`."""

    def __init__(self, on_call: Callable[[CallEvent], None]) -> None:
        """`on_call` is called from another thread."""
        self._on_call = on_call
        self._parts = ExitStack()
        self._stop_calls = threading.Event()
        self._calls = threading.Thread(target=self._run_phone_system, name="phone-system")

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            folder = parts.enter_context(TemporaryDirectory(prefix="3cx-demo-", ignore_cleanup_errors=True))
            self._storage = parts.enter_context(azurite.start())
            self._call_logger = parts.enter_context(call_logger.start())
            self._cdr_file = Path(folder) / "cdr.sqlite"
            self._phone_system = parts.enter_context(
                Pbx(self._cdr_file, rng=random.Random(SEED), on_event=self._on_call)
            )
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
            "CDR_DB_NAME": str(self._cdr_file),
            "API_BASE_URL": self._call_logger.base_url,
            # A proxy, where the machine has one, is not for the demo's own addresses.
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    @property
    def backend(self) -> Backend:
        logger = self._call_logger.call_logger
        return Backend(len(logger.entries), tuple(logger.double_submissions))

    @property
    def links(self) -> list[tuple[str, str]]:
        return [("Call Logger", f"{self._call_logger.control_url}/entries")]

    def begin_calls(self) -> None:
        self._calls.start()

    def end_calls(self) -> None:
        """Hang up all calls that still run. May be called at any time, and more than once."""
        self._stop_calls.set()
        if self._calls.is_alive():
            self._calls.join()

    def _run_phone_system(self) -> None:
        self._phone_system.run(self._stop_calls)
