"""The functions in processes of their own, forked from a nursery that has imported everything: a start takes no time.

Run as a program, this is the nursery. It reads one order a line from standard input (JSON: environment, speed, origin
and where to log), forks a worker for each, and ends with all of them when its input ends.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
ROWS_A_PAGE = 4
"""Instead of 500: a handful of rows makes several pages, and so several places to fail in between."""

MESSAGES_A_PAGE = 3
"""Instead of 16: of a full page two calls each share a message, and fewer have one of their own."""


def main() -> None:
    """Fork a worker for each order. The nursery itself has one thread only, as forking demands."""
    _import_everything()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    _say({"ready": True})
    children: list[int] = []
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_a_worker(order)
        children = [child for child in children if _is_alive(child)]
        with suppress(ProcessLookupError):
            children.append(os.pidfd_open(pid))  # the number alone may soon be somebody else's
    for child in children:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)


def _import_everything() -> None:
    os.environ.setdefault("AzureWebJobsStorage", "")
    sys.path.insert(0, str(PROJECT))
    import pymysql  # noqa: F401
    import sqlalchemy.dialects.mysql.pymysql
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import function_app  # noqa: F401
    import local.host.host  # noqa: F401


def _is_alive(child: int) -> bool:
    try:
        signal.pidfd_send_signal(child, 0)
    except ProcessLookupError:
        os.close(child)
        return False
    return True


def _say(news: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def _be_a_worker(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(order["environment"])
    logging.basicConfig(filename=order["log"], level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    for noisy in ("azure", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.chdir(PROJECT)
    try:
        host = _make_host(order)
    except BaseException:
        logging.getLogger(__name__).exception("the worker did not start")
        os._exit(1)
    _say({"order": order["order"], "pid": os.getpid(), "url": host.base_url})
    host.start()
    nursery = os.getppid()
    while os.getppid() == nursery:
        time.sleep(0.5)
    os._exit(0)


def _make_host(order: dict[str, Any]) -> Any:
    from cdr.wiring.parts import Parts
    from cdr.wiring.times import Times
    from local.host.host import FunctionHost

    host = FunctionHost(PROJECT)
    functions: Any = sys.modules["function_app"]
    times = Times(messages_at_once=MESSAGES_A_PAGE)
    functions.parts = Parts(os.environ, PROJECT, clock=_fast_clock(order), times=times, page_size=ROWS_A_PAGE)
    return host


def fast_time(speed: float, origin: datetime) -> datetime:
    """What time it is where ``speed`` times as much of it has passed since ``origin``."""
    return origin + (datetime.now(UTC) - origin) * speed


def _fast_clock(order: dict[str, Any]) -> Any:
    """The clock of a system that is fast, and wrong by ``skew_s``; it hears the storage's, which the proxies make fast
    as well."""
    from shared.clock import SystemClock, ticks

    speed, origin, skew = order["speed"], datetime.fromisoformat(order["origin"]), timedelta(seconds=order["skew_s"])

    class FastClock(SystemClock):
        def sleep(self, seconds: float) -> None:
            time.sleep(seconds / speed)

    return FastClock(lambda: fast_time(speed, origin) + skew, lambda: ticks() * speed)


if __name__ == "__main__":
    main()
