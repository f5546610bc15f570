"""Misbehaviour on demand: how a network, a proxy or a tired backend can treat a submission."""

import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SUBMISSION = ("POST", "/api/calls/from-pbx")


class FaultKind(StrEnum):
    SERVE = "serve"
    """Do the work and answer: for faults that are nothing but slow."""
    ANSWER = "answer"
    """Answer `status` with `headers` and an empty body, without doing the work."""
    RESET_BEFORE_WORK = "reset_before_work"
    """Read the request, then reset the connection."""
    RESET_AFTER_WORK = "reset_after_work"
    """Do the work, then reset the connection: the answer is lost."""
    TRUNCATE = "truncate"
    """Do the work, send the head of the answer and half of its body, then close."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one submission. A wait beyond the client's timeout is how it loses the answer while
    the work is still to come (`before_work_s`) or already done (`before_answer_s`)."""

    kind: FaultKind = FaultKind.SERVE
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    before_work_s: float = 0.0
    before_answer_s: float = 0.0


class FaultPlan:
    """Which fault each submission gets: the queued ones in turn, then the standing one, if any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: deque[Fault] = deque()
        self._standing: Fault | None = None
        self._requests = 0

    @property
    def requests(self) -> int:
        """How many submissions have arrived, whatever became of them."""
        with self._lock:
            return self._requests

    def add(self, fault: Fault, *, times: int = 1) -> None:
        """Let the next submissions that no earlier fault takes have this one."""
        with self._lock:
            self._queued.extend([fault] * times)

    def stand(self, fault: Fault) -> None:
        """Let every submission have this fault until the plan is cleared, queued faults first."""
        with self._lock:
            self._standing = fault

    def clear(self) -> None:
        """Forget the faults so far."""
        with self._lock:
            self._queued.clear()
            self._standing = None

    def take(self) -> Fault | None:
        """The fault for a submission that arrives now."""
        with self._lock:
            self._requests += 1
            return self._queued.popleft() if self._queued else self._standing


class FaultyApp:
    """Stands before a WSGI application and treats its submissions as the plan says.

    `pause` waits for some seconds and answers True if the server stops meanwhile.
    """

    def __init__(self, app: "WSGIApplication", plan: FaultPlan, pause: Callable[[float], bool]) -> None:
        self._app = app
        self._plan = plan
        self._pause = pause

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        request = Request(environ)
        fault = self._plan.take() if (request.method, request.path) == SUBMISSION else None
        if fault is None:
            return self._app(environ, start_response)
        return self._treat(fault, request)(environ, start_response)

    def _treat(self, fault: Fault, request: Request) -> Response:
        self._wait(fault.before_work_s, request)
        if fault.kind is FaultKind.RESET_BEFORE_WORK:
            request.get_data()
            reset_connection(request)
        if fault.kind is FaultKind.ANSWER:
            return Response(status=fault.status, headers=dict(fault.headers))
        response = Response.from_app(self._app, request.environ, buffered=True)
        self._wait(fault.before_answer_s, request)
        if fault.kind is FaultKind.RESET_AFTER_WORK:
            reset_connection(request)
        return truncated(response) if fault.kind is FaultKind.TRUNCATE else response

    def _wait(self, seconds: float, request: Request) -> None:
        if seconds and self._pause(seconds):
            reset_connection(request)


def reset_connection(request: Request) -> None:
    """Closing with a linger time of zero sends RST, not FIN. Always raises, so that the server lets go as well."""
    connection: socket.socket = request.environ["werkzeug.socket"]
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    socket.close(connection.detach())
    raise ConnectionResetError("reset on purpose")


def truncated(response: Response) -> Response:
    """The same head, Content-Length included, and half of the body."""
    body = response.get_data()

    def first_half() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise ConnectionResetError("cut off on purpose")

    return Response(first_half(), status=response.status, headers=response.headers)
