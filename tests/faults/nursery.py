"""This side of ``worker``: starts workers and ends them, without mercy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import finalize

from tests.faults.worker import PROJECT

START_SECONDS = 30


@dataclass(eq=False)
class WorkerProcess:
    """One process that runs the functions."""

    log: Path
    pid: int = 0
    url: str = ""
    _came_up: threading.Event = field(default_factory=threading.Event)
    _process: int | None = None
    """What stands for it, and for no other."""

    def born(self, pid: int, url: str) -> None:
        self.pid, self.url = pid, url
        with suppress(ProcessLookupError):
            self._process = os.pidfd_open(pid)  # the number alone may be somebody else's once this one is dead
            finalize(self, os.close, self._process)
        self._came_up.set()

    def wait(self) -> None:
        if not self._came_up.wait(START_SECONDS):
            raise RuntimeError(f"no worker came up within {START_SECONDS} s: {self.log_tail()}")

    @property
    def is_alive(self) -> bool:
        try:
            self._send(0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL: nothing in the process gets to run any more."""
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, wherever it is, until it is thawed; its connections stay."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self.wait()
        with suppress(ProcessLookupError):
            self._send(number)

    def _send(self, number: int) -> None:
        if self._process is None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._process, number)

    def log_tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Nursery:
    """Starts workers; as a context manager it ends them all at the end of the block."""

    def __init__(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CDR_", "API_", "AzureWebJobs"))}
        environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": str(PROJECT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._orders = count(1)
        self._waiting: dict[int, WorkerProcess] = {}
        self._lock = threading.Lock()
        assert self._process.stdout
        if not self._process.stdout.readline():  # it says so when it has imported everything
            raise RuntimeError("the nursery did not start: the functions cannot be imported, see standard error")
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()

    def start(
        self, worker: WorkerProcess, environment: Mapping[str, str], *, speed: float, origin: datetime, skew_s: float
    ) -> None:
        """Returns when the process has begun its work."""
        with self._lock:
            number = next(self._orders)
            self._waiting[number] = worker
            order = {
                "environment": dict(environment),
                "log": str(worker.log),
                "speed": speed,
                "skew_s": skew_s,
                "origin": origin.isoformat(),
            }
            assert self._process.stdin
            self._process.stdin.write(json.dumps({**order, "order": number}) + "\n")
            self._process.stdin.flush()
        worker.wait()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            news = json.loads(line)
            self._waiting.pop(news["order"]).born(news["pid"], news["url"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()
