"""The local host as a process of its own, and what it prints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import requests

from tests.support.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
READY = "Host ready on "
STOP_S = 20.0


class Process(Protocol):
    """What is asked of a `subprocess.Popen`."""

    @property
    def stdout(self) -> Any: ...
    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...
    def wait(self, seconds: float | None = None, /) -> int: ...


Launch = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""Starts a program with these arguments and this environment, in this folder."""


def python(*program: str) -> Launch:
    """As everybody starts it."""

    def launch(arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Process:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    return launch


LOCAL_HOST = python("-m", "local.host")


class HostProcess:
    """Started on a free port, and up when its address is asked for; killed at the end of a block."""

    def __init__(
        self,
        script_root: Path,
        environment: Mapping[str, str],
        *arguments: str,
        launch: Launch = LOCAL_HOST,
        cwd: Path = PROJECT,
    ) -> None:
        self.lines: list[str] = []
        self._process = launch(
            ["--script-root", str(script_root), "--port", "0", *arguments],
            {**os.environ, "PYTHON_THREADPOOL_THREAD_COUNT": "18", "PYTHONUNBUFFERED": "1", **environment},
            cwd,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def base_url(self) -> str:
        def ready() -> list[str]:
            assert self.is_running, self.output
            return [line for line in list(self.lines) if line.startswith(READY)]

        return wait_until(ready)[0].removeprefix(READY)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.base_url + path, **{"timeout": 90, **options})

    def ask_to_end(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.ask_to_end()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL: it finishes nothing and says nothing."""
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended and all it printed was read."""
        try:
            return self._process.wait(STOP_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def _read(self) -> None:
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def is_refused(address: str) -> bool:
    """Whether nobody takes requests there any more."""
    try:
        requests.get(address, timeout=10)
    except requests.exceptions.RequestException:
        return True
    return False
