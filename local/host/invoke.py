"""One invocation: the function is called on the shared worker threads, and its end is judged as Azure judges it."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import azure.functions as func

from local.host.functions import HostedFunction, HttpTrigger
from local.host.settings import HostError

logger = logging.getLogger("local.host")

Result = TypeVar("Result")


@dataclass
class InvocationContext(func.Context):
    """What a parameter `context` gets. Nothing is traced or retried here, hence the two None."""

    invocation_id: str = ""
    function_name: str = ""
    function_directory: str = ""
    thread_local_storage: Any = None
    trace_context: Any = None
    retry_context: Any = None


class Invoker:
    """Runs functions on one pool of threads, as one worker process of Azure does.

    A queue message, a timer's tick or an HTTP request is one job on that pool: whoever has more than `workers` of them
    running keeps the rest waiting.
    """

    def __init__(self, workers: int, script_root: Path) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._script_root = script_root
        self._thread_local = threading.local()
        self._active: set[Future[Any]] = set()
        self._is_stopped = False
        self._lock = threading.Lock()

    def submit(self, job: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run `job` as soon as a thread is free. After `stop` it is cancelled instead."""
        with self._lock:
            if self._is_stopped:
                future: Future[Result] = Future()
                future.cancel()
                return future
            future = self._pool.submit(job, *arguments)
        self.wait_for_at_stop(future)
        return future

    def wait_for_at_stop(self, future: Future[Any]) -> None:
        """Let `stop` wait for `future`, too."""
        with self._lock:
            self._active.add(future)
        future.add_done_callback(self._forget)

    def invoke(self, function: HostedFunction, argument: object) -> Any:
        """Call `function` on this thread. An exception of its own, or a result Azure refuses, is logged and raised."""
        invocation_id = str(uuid.uuid4())
        arguments = {function.argument: argument}
        if function.wants_context:
            arguments["context"] = self._context(function, invocation_id)
        started = time.monotonic()
        outcome = "Failed"
        try:
            result = function.call(**arguments)
            _refuse_unexpected(result, function)
            outcome = "Succeeded"
        finally:
            duration_ms = round((time.monotonic() - started) * 1000)
            is_failed = outcome == "Failed"
            logger.log(
                logging.ERROR if is_failed else logging.DEBUG,
                "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)",
                *(function.name, outcome, invocation_id, duration_ms),
                exc_info=is_failed,
            )
        return result

    def stop(self, seconds: float) -> int:
        """Wait for running jobs, but no longer than `seconds`. Returns how many still run."""
        with self._lock:
            active = set(self._active)
        running = wait(active, seconds).not_done
        with self._lock:
            self._is_stopped = True
        self._pool.shutdown(wait=not running, cancel_futures=True)
        return len(running)

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._active.discard(future)

    def _context(self, function: HostedFunction, invocation_id: str) -> InvocationContext:
        self._thread_local.invocation_id = invocation_id
        return InvocationContext(invocation_id, function.name, str(self._script_root), self._thread_local)


def worker_threads(environ: Mapping[str, str]) -> int:
    """PYTHON_THREADPOOL_THREAD_COUNT, else the default of Python that Azure uses as well."""
    text = environ.get("PYTHON_THREADPOOL_THREAD_COUNT")
    if text is None:
        return min(32, (os.cpu_count() or 1) + 4)
    if not text.isdecimal() or int(text) < 1:
        raise HostError(f"PYTHON_THREADPOOL_THREAD_COUNT is {text!r}; it must be a whole number, 1 or more")
    return int(text)


def _refuse_unexpected(result: object, function: HostedFunction) -> None:
    is_http = isinstance(function.trigger, HttpTrigger)
    if not isinstance(result, (func.HttpResponse, str, NoneType) if is_http else NoneType):
        allowed = "an HttpResponse, text or nothing" if is_http else "nothing: it has no $return binding"
        message = f"function {function.name} returned a {type(result).__name__}; it may return {allowed}"
        raise RuntimeError(message)  # noqa: TRY004 - what Azure's worker raises
