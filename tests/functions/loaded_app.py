"""function_app, imported afresh as a worker process does at its start, and its functions called as the worker does."""

from __future__ import annotations

import importlib.util
import json
from base64 import b64encode
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest

from cdr.calls.message import Letter
from cdr.wiring.parts import Parts
from shared.clock import Clock
from tests.functions.surroundings import LATE, Storage
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

_number = count()


@dataclass(frozen=True)
class Answer:
    """What an HTTP function answered."""

    status: int
    body: Any
    headers: dict[str, str]
    text: str


class LoadedApp:
    """The functions under the environment of the moment of loading."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location(f"function_app_{next(_number)}", ROOT / "function_app.py")
        self.module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.declared = {item.get_function_name(): item for item in self.module.app.get_functions()}

    @property
    def parts(self) -> Parts:
        return self.module.parts

    def run_by(self, clock: Clock, environment: dict[str, str]) -> None:
        """Let other parts do the work, which have their time from a test."""
        self.module.parts = Parts(environment, ROOT, clock=clock)

    def tick(self, function: str) -> Any:
        """What the function returns to a timer."""
        return self._call(function, TimerRequest(past_due=False))

    def deliver(self, function: str, body: Letter | str | bytes, dequeue_count: int = 1) -> Any:
        """What the function returns to a queue. Text comes in Base64, as the app sends it; bytes as they are."""
        text = body if isinstance(body, str | bytes) else body.to_text()
        raw = text if isinstance(text, bytes) else b64encode(text.encode())
        message = QueueMessage(id="1b7c", body=raw, dequeue_count=dequeue_count, pop_receipt="AgAAAA==")
        return self._call(function, message)

    def submit_all(self, storage: Storage) -> None:
        """Deliver what is on the queue, as the host does."""
        for text in storage.take():
            assert self.deliver("submit_call", text) is None

    def ask(
        self, function: str, method: str = "GET", body: object = None, /, *, raw: bytes | None = None, **query: str
    ) -> Answer:
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = func.HttpRequest(method, f"https://example.com/{function}", params=query, headers={}, body=sent)
        response = self._call(function, request)
        text = response.get_body().decode()
        return Answer(response.status_code, json.loads(text), dict(response.headers), text)

    @property
    def status(self) -> Any:
        """What it tells once every part was looked at in time, which a busy machine may need several looks for."""
        return wait_until(lambda: LATE not in (found := self.ask("status")).text and found).body

    def _call(self, function: str, argument: object) -> Any:
        declared = self.declared[function]
        name = declared.get_trigger().name
        return declared.get_user_function()(**{name: argument})
