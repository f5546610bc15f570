"""The functions as a child process: Azure Functions Core Tools where they are installed, else `local.host`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

STOP_SECONDS = 20
LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Output:
    """A line that the functions wrote, to standard output or error."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has gone, and all it wrote was handed over."""

    status: int


class Functions:
    """A running host of the functions. As a context manager it is stopped at the end of the block."""

    def __init__(
        self, root: Path, port: int, environment: Mapping[str, str], hand_over: Callable[[Output | Ended], None]
    ) -> None:
        """`hand_over` is called from another thread."""
        core_tools = shutil.which("func")
        self.is_core_tools = core_tools is not None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._port = port
        self._hand_over = hand_over
        program = [core_tools, "start"] if core_tools else [sys.executable, "-m", "local.host.with_parent"]
        self._process = subprocess.Popen(
            [*program, "--port", str(port)],
            cwd=root,
            env=with_this_python(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C reaches all programs of a terminal, but it is the parent who stops its parts, one after the other.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name="functions", daemon=True)
        self._reader.start()

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
        try:
            connection.request("GET", "/admin/host/status")
            return bool(json.loads(connection.getresponse().read())["state"] == "Running")
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Let them finish what they work on, then end them and whatever they started."""
        self._ask_to_end()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._kill_the_rest()
        self._reader.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                text = line.rstrip()
                self.last_lines.append(text)
                self._hand_over(Output(text))
        self._hand_over(Ended(self._process.wait()))

    def _ask_to_end(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if not self.is_core_tools:
            return
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                os.killpg(self._process.pid, signal.SIGINT)

    def _kill_the_rest(self) -> None:
        """Core Tools have children of their own, the Python worker among them."""
        if sys.platform != "win32":
            # macOS says "not permitted" of a group of which only unburied processes are left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def with_this_python(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which this Python's packages are found, too, by programs that look for `python` on PATH."""
    folder = str(Path(sys.executable).parent)
    return {
        **environment,
        "PATH": os.pathsep.join([folder, environment.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": sys.prefix,
        "PYTHONUTF8": "1",
    }
