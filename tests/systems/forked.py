"""Processes that have imported everything when they begin: they are forked from one that has done nothing else.

Each is a process of its own all the same, with its own environment, and may be killed as any other.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

Main = Callable[[Sequence[str]], int]
"""Takes a program's arguments and returns its exit status; of a module, so that it can be found by name."""

IMPORTED = (
    "tests.e2e.hasty_host",
    "azure.data.tables",
    "cdr.edges.sql.row_table",
    "cdr.web.routes",
    "cdr.wiring.plans",
)


@cache
def _forks() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


class Forked:
    """Runs ``main``. What it prints is to be read from ``stdout``; otherwise as a `subprocess.Popen`."""

    def __init__(self, main: Main, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        ours, its = _forks().Pipe(duplex=False)
        with ours, its:
            self._process = _forks().Process(target=_run, args=(its, main, arguments, dict(environment), cwd))
            self._process.start()
            self.stdout = os.fdopen(os.dup(ours.fileno()), encoding="utf-8")

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> int:
        """:raises subprocess.TimeoutExpired: it still runs"""
        self._process.join(seconds)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", seconds or 0)
        return status


def _run(output: Connection, main: Main, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
    with output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.exit(main(arguments))
