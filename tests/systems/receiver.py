"""An HTTP server that keeps what it is sent and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class Receiver:
    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)
    """Of the next requests; then it is ``usual`` again."""
    usual: Answer = field(default_factory=Answer)
    answer_with: Callable[[Received], Answer] | None = None
    """Makes the answer to a request where none is queued, in place of ``usual``."""

    def answer_to(self, request: Received) -> Answer:
        if self.answers:
            return self.answers.popleft()
        return self.answer_with(request) if self.answer_with else self.usual


@contextmanager
def start() -> Iterator[Receiver]:
    """On a free port, for as long as the block lasts."""
    receiver, over = Receiver(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Received(self.command, self.path, dict(self.headers), body)
            receiver.received.append(request)
            answer = receiver.answer_to(request)
            over.wait(answer.delay_s)
            with suppress(ConnectionError):  # whoever was kept waiting may be gone
                self.send(answer)

        def send(self, answer: Answer) -> None:
            text = answer.body.encode()
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(text))} | dict(answer.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """No line per request."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    receiver.url = f"http://{HOST}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
