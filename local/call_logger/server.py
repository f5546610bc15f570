"""The stand-in over HTTP, from a thread of its own.

The API is below /api; what was created can be seen at /entries. `id` is the only field of a created entry that
clients may rely on: the other names are made up. Credentials, where demanded, are demanded of everything below /api.
"""

import hmac
import socket
import threading
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from flask import Blueprint, Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from local.call_logger.faults import FaultPlan, FaultyApp
from local.call_logger.store import BackendError, CallExistsError, CallLogger, InvalidBodyError, milliseconds

HOST = "127.0.0.1"
BACKLOG = 128
SHUTDOWN_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Credential:
    """A header that every request must carry, and what it must say."""

    header: str
    value: str

    @classmethod
    def bearer(cls, token: str) -> Self:
        return cls("Authorization", f"Bearer {token}")

    def check(self) -> None:
        given = request.headers.get(self.header)
        if given is None:
            abort(401)
        if not hmac.compare_digest(given.encode(), self.value.encode()):
            abort(403)


def create_app(call_logger: CallLogger, credential: Credential | None) -> Flask:
    app = Flask("call_logger")
    app.url_map.merge_slashes = False  # //calls is an unknown path, not a redirect
    app.register_blueprint(api(call_logger, credential), url_prefix="/api")
    app.add_url_rule("/entries", view_func=lambda: jsonify(call_logger.entries))
    app.register_error_handler(CallExistsError, lambda _: Response(status=409))
    app.register_error_handler(InvalidBodyError, lambda error: refusal(call_logger.now(), error))
    app.register_error_handler(BackendError, lambda _: (problem(call_logger.now(), 500, "Internal Server Error"), 500))
    app.register_error_handler(HTTPException, lambda error: in_json(call_logger.now(), error))
    return app


def api(call_logger: CallLogger, credential: Credential | None) -> Blueprint:
    routes = Blueprint("api", __name__)
    if credential:
        routes.before_request(credential.check)

    @routes.post("/calls/from-pbx")
    def submit() -> tuple[Response, int]:
        return jsonify(call_logger.submit(request.get_json())), 201

    @routes.post("/alerts/call-groups")
    def raise_alert() -> tuple[Response, int]:
        return jsonify(call_logger.raise_alert(request.get_json())), 201

    @routes.get("/alerts/call-groups")
    def alerts() -> Response:
        only_active = request.args.get("active") == "true"
        return jsonify([alert for alert in call_logger.alerts if alert["isActive"] or not only_active])

    @routes.get("/alerts/call-groups/<group_id>")
    def alerts_of_group(group_id: str) -> Response:
        return jsonify([alert for alert in call_logger.alerts if alert["callGroupId"] == group_id])

    @routes.put("/alerts/call-groups/<alert_id>/resolve")
    def resolve_alert(alert_id: str) -> Response:
        return jsonify(call_logger.resolve_alert(alert_id))

    @routes.get("/health")
    def health() -> Response:
        return jsonify(status="ok", timestamp=int(call_logger.now().timestamp() * 1000))

    return routes


def problem(now: datetime, status: int, reason: str, **details: Any) -> Response:
    """The error body of Spring Boot."""
    return jsonify(timestamp=milliseconds(now), status=status, error=reason, path=request.path, **details)


def refusal(now: datetime, error: InvalidBodyError) -> tuple[Response, int]:
    errors = [
        {"field": found.field, "defaultMessage": found.message, "rejectedValue": found.rejected_value}
        for found in error.violations
    ]
    message = f"Validation failed. Error count: {len(errors)}"
    return problem(now, 400, "Bad Request", message=message, errors=errors), 400


def in_json(now: datetime, error: HTTPException) -> Response:
    response = problem(now, error.code or 500, error.name)
    response.status_code = error.code or 500
    response.headers.extend(header for header in error.get_headers() if header[0] != "Content-Type")
    return response


class QuietHandler(WSGIRequestHandler):
    def log(self, *_: object, **__: object) -> None:
        """No line per request: whoever runs this shows calls, not requests."""

    def connection_dropped(self, *_: object) -> None:
        # Without this the handler would wait for the next request on a connection that was cut on purpose.
        self.close_connection = True


class RunningCallLogger:
    """A Call Logger that answers until it is stopped; as a context manager it stops at the end of the block."""

    def __init__(
        self, server: ThreadedWSGIServer, call_logger: CallLogger, faults: FaultPlan, stop: threading.Event
    ) -> None:
        self.base_url = f"http://{HOST}:{server.port}/api"
        self.entries_url = f"http://{HOST}:{server.port}/entries"
        self.call_logger = call_logger
        self.faults = faults
        self._server = server
        self._stop = stop
        self._thread = threading.Thread(
            target=server.serve_forever, args=(SHUTDOWN_POLL_S,), name="call-logger", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more and give the port back. Requests that a fault holds up are reset."""
        self._stop.set()
        self._server.shutdown()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    port: int = 0,
    *,
    call_logger: CallLogger | None = None,
    credential: Credential | None = None,
) -> RunningCallLogger:
    """Serve on the loopback interface from a thread; port 0 takes a free one. Raises OSError when it is taken."""
    call_logger = call_logger or CallLogger()
    faults = FaultPlan()
    stop = threading.Event()
    app = FaultyApp(create_app(call_logger, credential), faults, pause=stop.wait)
    with socket.create_server((HOST, port), backlog=BACKLOG) as listener:
        # Bound here because werkzeug ends the whole process when it cannot bind.
        server = ThreadedWSGIServer(HOST, port, app, QuietHandler, fd=listener.fileno())
    return RunningCallLogger(server, call_logger, faults, stop)
