"""A runner for `function_app.py` on one's own machine, for where Azure Functions Core Tools are not installed.

    python -m local.host [--script-root DIR] [--port 7071] [--functions NAME ...]

It triggers the same functions as Azure does, with the same `host.json` and `local.settings.json`: by timers, storage
queues and HTTP, nothing else. It has no function keys, no time limit, no lock between instances, no memory between two
starts. The line `Host ready on http://127.0.0.1:PORT` says that it is up.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from azure.functions.timer import TimerRequest

from local.host.admin import Admin
from local.host.functions import (
    AppError,
    HostedFunction,
    HttpTrigger,
    QueueTrigger,
    TimerTrigger,
    import_app,
    read_functions,
)
from local.host.http import ADDRESS, HttpListener, Routes
from local.host.invoke import Invoker, worker_threads
from local.host.queue import QueueListener
from local.host.settings import HostError, QueueSettings, apply_local_settings, read_host_settings
from local.host.timer import TimerListener

logger = logging.getLogger("local.host")

DEFAULT_PORT = 7071


@dataclass(frozen=True, slots=True)
class Times:
    """What no setting changes; tests, which cannot wait so long, hand in their own."""

    queue_lease: timedelta = timedelta(minutes=10)
    """How long a message is hidden from others, as in Azure; renewed at half time."""
    stop: timedelta = timedelta(seconds=10)
    """How long `stop` waits for what runs."""


USUAL_TIMES = Times()


class FunctionHost:
    """The functions of one script root. Made, it has imported them and holds its port; started, it triggers them.

    `port` 0 takes a free one; `functions` names those to run, else all do. Raises HostError for what keeps it from
    starting. Values of local.settings.json stay in os.environ, where the functions read them.
    """

    def __init__(
        self, script_root: Path, port: int = 0, functions: Sequence[str] | None = None, times: Times = USUAL_TIMES
    ) -> None:
        root = script_root.resolve()
        self._times = times
        apply_local_settings(root, os.environ)
        settings = read_host_settings(root)
        found, errors = read_functions(import_app(root), os.environ)
        chosen = _chosen(functions, {*(function.name for function in found), *errors})
        self.functions = [function for function in found if function.name in chosen]
        self.errors = {name: error for name, error in errors.items() if name in chosen}
        self._invoker = Invoker(worker_threads(os.environ), root)
        self._routes = Routes(self.functions, settings.route_prefix)
        self._http = HttpListener(port, self._routes, Admin(self.functions, self._invoker), self._invoker)
        self._timers = [
            self._timer_listener(function, function.trigger)
            for function in self.functions
            if isinstance(function.trigger, TimerTrigger)
        ]
        self._queues = [
            self._queue_listener(function, function.trigger, settings.queues)
            for function in self.functions
            if isinstance(function.trigger, QueueTrigger)
        ]

    @property
    def base_url(self) -> str:
        return f"http://{ADDRESS}:{self._http.port}"

    def start(self) -> None:
        for timer in self._timers:
            timer.start()
        for queue in self._queues:
            queue.start()
        self._http.start()

    def stop(self) -> int:
        """Trigger nothing more and wait for what runs, at most `times.stop`. Returns how much still runs."""
        deadline = time.monotonic() + self._times.stop.total_seconds()
        for timer in self._timers:
            timer.stop()
        for queue in self._queues:
            queue.stop()
        self._http.stop()
        for queue in self._queues:
            queue.join(max(0.0, deadline - time.monotonic()))
        running = self._invoker.stop(max(0.0, deadline - time.monotonic()))
        for queue in self._queues:
            queue.close()
        return running

    def _timer_listener(self, function: HostedFunction, trigger: TimerTrigger) -> TimerListener:
        def run() -> None:
            concurrent.futures.wait([self._invoker.submit(self._invoker.invoke, function, TimerRequest())])

        return TimerListener(function.name, trigger.schedule, run, run_on_startup=trigger.run_on_startup)

    def _queue_listener(
        self, function: HostedFunction, trigger: QueueTrigger, settings: QueueSettings
    ) -> QueueListener:
        return QueueListener(
            trigger.queue,
            trigger.connection_string,
            settings,
            run=functools.partial(self._invoker.invoke, function),
            submit=self._invoker.submit,
            lease=self._times.queue_lease,
            is_binary=trigger.is_binary,
        )

    def describe(self) -> str:
        """The functions with their addresses, schedules and queues, and what is wrong with those that cannot run."""
        lines = [
            f"\t{function.name}: {_methods(function.trigger)} {self.base_url}/{self._routes.paths[function.name]}\n"
            if isinstance(function.trigger, HttpTrigger)
            else f"\t{function.name}: {function.trigger}\n"
            for function in sorted(self.functions, key=lambda function: not isinstance(function.trigger, HttpTrigger))
        ]
        refusals = [f"The '{name}' function is in error: {error}" for name, error in self.errors.items()]
        return "\n".join(["Functions:\n", *lines, *refusals])


def _chosen(wanted: Sequence[str] | None, known: set[str]) -> set[str]:
    unknown = set(wanted or ()) - known
    if unknown:
        raise HostError(f"there is no function {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return set(wanted) if wanted else known


def _methods(trigger: HttpTrigger) -> str:
    return f"[{','.join(sorted(trigger.methods)) or 'any method'}]"


class _LogFormatter(logging.Formatter):
    """`[2026-11-22T15:29:22.123Z] message`, in UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] %(message)s")


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_LogFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("azure", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Run function_app.py on this machine.")
    parser.add_argument("--script-root", type=Path, default=Path(), help="the folder of host.json (default: this one)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--functions", nargs="+", metavar="NAME", help="run only these")
    return parser.parse_args(arguments)


def _make_host(options: argparse.Namespace, times: Times) -> FunctionHost:
    root: Path = options.script_root
    if not root.is_dir():
        raise HostError(f"{root} is no folder")
    # Functions find their files where they do in Azure: the current folder is the script root.
    os.chdir(root)
    return FunctionHost(Path.cwd(), options.port, options.functions, times)


def _wait_for_signal(received: list[int]) -> None:
    # Polled, because a handler that sets a threading.Event can lock up with the thread that waits for it.
    while not received:
        time.sleep(0.1)


def main(
    arguments: Sequence[str] | None = None, times: Times = USUAL_TIMES, prepare: Callable[[], None] = lambda: None
) -> int:
    """``prepare`` is called once the functions are imported, and before anything triggers them."""
    options = _arguments(arguments)
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: received.append(caught))
    _configure_logging()
    print(
        "local.host stands in for Azure Functions Core Tools: `func start` would run these functions, too.", flush=True
    )
    try:
        host = _make_host(options, times)
        prepare()
    except HostError as exc:
        if isinstance(exc, AppError) and exc.__cause__:
            traceback.print_exception(exc.__cause__)
        print(f"local.host: {exc}", file=sys.stderr)
        return 1
    host.start()
    print(f"\n{host.describe()}\n\nHost ready on {host.base_url}", flush=True)
    _wait_for_signal(received)
    running = host.stop()
    if running:
        logger.warning("%d invocations still ran after %g s and were cut off", running, times.stop.total_seconds())
        # Their threads would keep the interpreter from ending.
        os._exit(0)
    return 0
