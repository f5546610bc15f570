"""The local host as a process of its own, and what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import requests

from shared.log import EVENTS
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
READY = "Host ready on "
START_S = 60.0
STOP_S = 20.0

_EVENT = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] (\{.*\})")
_STARTING = re.compile(r"|Functions:|\t\w+: .*|Host ready on .*|local\.host stands in for Azure Functions Core Tools.*")


class HostProcess:
    """Started, and up when its address is asked for. ``hasty``: with leases of seconds instead of minutes."""

    def __init__(self, environment: dict[str, str], *functions: str, hasty: bool = False) -> None:
        module = "tests.e2e.hasty_host" if hasty else "local.host"
        chosen = ["--functions", *functions] if functions else []
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--script-root", str(ROOT), "--port", "0", *chosen],
            cwd=ROOT,
            env={**os.environ, "PYTHON_THREADPOOL_THREAD_COUNT": "18", "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def base_url(self) -> str:
        def ready() -> list[str]:
            assert self.is_running, self.output
            return [line for line in list(self.lines) if line.startswith(READY)]

        return wait_until(ready, START_S)[0].removeprefix(READY)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def events(self) -> list[dict[str, Any]]:
        found = map(_EVENT.fullmatch, list(self.lines))
        return [json.loads(match[1]) for match in found if match]

    def events_of(self, *names: str) -> list[dict[str, Any]]:
        assert EVENTS.keys() >= set(names)
        return [event for event in self.events if event["event"] in names]

    @property
    def remarks(self) -> list[str]:
        """The lines that are neither events nor what every start says, without their time."""
        others = [line for line in list(self.lines) if not _EVENT.fullmatch(line) and not _STARTING.fullmatch(line)]
        return [re.sub(r"^\[[^\]]*\] ", "", line) for line in others]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.base_url + path, timeout=90, **options)

    def poll(self) -> dict[str, Any]:
        """Let it poll now, after the timer's own poll where that is at work."""
        answer = wait_until(lambda: (found := self.ask("POST", "/trigger/poll")).status_code != 409 and found)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> None:
        """SIGKILL: it finishes nothing and says nothing."""
        self._process.kill()
        self._wait()

    def _wait(self) -> int:
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process.wait()
            self._reader.join()
        return status

    def _read(self) -> None:
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))
