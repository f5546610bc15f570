"""A stand-in for the REST API of 3CX V20 (XAPI), with its vices: one valid token at a time, lists in pages, keys that
are left out, a call log that is cut short without a word; and misbehaviour on demand."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal

from flask import Flask, Response, abort, jsonify, request
from pysqlbridge.certificate import self_signed
from werkzeug.serving import WSGIRequestHandler, make_server

from shared.clock import Clock

HOST = "127.0.0.1"
CLIENT_ID = "call-logger"
CLIENT_SECRET = "xapi-secret"
TOKEN_LIFE = timedelta(seconds=60)

Item = Mapping[str, Any]
FIELDS = {
    "Users": {"Id", "Number", "FirstName", "LastName", "EmailAddress", "Enabled", "QueueStatus", "IsRegistered"},
    "Queues": {"Id", "Number", "Name"},
    "RingGroups": {"Id", "Number", "Name"},
    "Agents": {"Id", "Number", "Name", "SkillGroup", "Tags"},
    "Members": {"Id", "Number", "Name", "Tags"},
    "ActiveCalls": {"Id", "Caller", "Callee", "Status", "LastChangeStatus", "EstablishedAt", "ServerNow"},
    "LastCdrAndChatMessageTimestamp": {"LastCdrStartedAt"},
}
CALL_LOG = re.compile(
    r"/xapi/v1/ReportCallLogData/Pbx\.GetCallLogData\(periodFrom=(?P<start>[^,]+),periodTo=(?P<end>[^,]+),sourceType=0,"
    r"sourceFilter='',destinationType=0,destinationFilter='',callsType=0,callTimeFilterType=0,"
    r"callTimeFilterFrom='0:00:0',callTimeFilterTo='0:00:0',hidePcalls=true\)"
)
SPELLINGS = {
    "encoded": r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\dZ",
    "encoded, with a fraction": r"\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d\.\d{3}Z",
    "plain": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "plain, with a fraction": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}
"""How releases of the phone system want the moments of a period."""


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of its answer, or before it."""

    status: int = 200
    body: str | None = None
    delay_s: float = 0.0


@dataclass
class Xapi:
    """What the phone system knows, and who asked for what. Keys whose value is None are left out of answers."""

    clock: Clock
    users: list[Item] = field(default_factory=list)
    queues: list[Item] = field(default_factory=list)
    ring_groups: list[Item] = field(default_factory=list)
    agents: dict[int, list[Item]] = field(default_factory=dict)
    members: dict[int, list[Item]] = field(default_factory=dict)
    role: str = "System Owner"
    """Of the API client; with another one the call log is forbidden."""
    calls: list[tuple[datetime, Item]] = field(default_factory=list)
    """Rows of the call log, and from when on each can be seen: its call's end."""
    active_calls: list[Item] = field(default_factory=list)
    row_limit: int = 20_000
    """Of the call log, for one period: the newest ones, and no word of the others."""
    spelling: str = "encoded"
    slow_beyond: timedelta | None = None
    """Periods longer than this are answered with 504."""
    arriving: deque[Item] = field(default_factory=deque)
    """Each request for the call log finds one of these rows more."""
    drip_s: float = 0.0
    """How long each byte of an answer takes, those of its headers too."""
    most_items: int | None = None
    """The largest page that the server hands out, with a link to the next, whatever it is asked for."""
    expires_in: Any = int(TOKEN_LIFE.total_seconds())
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The path and query of every request for data, in order."""
    answers: list[int] = field(default_factory=list)
    """The status of every answer, in order."""
    token_requests: int = 0
    most_at_once: int = 0
    """How many requests were being answered at the same time, at most."""
    _faults: dict[str, deque[Fault]] = field(default_factory=lambda: {"token": deque(), "data": deque()})
    _token: str = ""
    _token_ends: datetime | None = None
    over: threading.Event = field(default_factory=threading.Event)
    """Set at the end of a test: nobody is kept waiting any more."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _busy: int = 0

    def fail_next(self, kind: Literal["token", "data"], *faults: Fault) -> None:
        """Let the next requests for a token, or for data, have these faults."""
        self._faults[kind].extend(faults)

    def end_token(self) -> None:
        """As when another tool asks for a token with the same credentials."""
        self._token = ""

    def fault(self, kind: str) -> None:
        """Aborts the request under way if that is its fate."""
        with self._lock:
            fault = self._faults[kind].popleft() if self._faults[kind] else None
        if fault is None:
            return
        self.over.wait(fault.delay_s)
        if fault.status != 200 or fault.body is not None:
            abort(Response(fault.body or "", status=fault.status, content_type="text/html"))

    def new_token(self) -> dict[str, Any]:
        with self._lock:
            self.token_requests += 1
        self.fault("token")
        wanted = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "client_credentials"}
        if request.form.to_dict() != wanted:
            abort(Response('{"error":"invalid_client"}', status=400, content_type="application/json"))
        with self._lock:
            self._token, self._token_ends = f"token-{next(self._numbers)}", self.clock.now() + TOKEN_LIFE
            return {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": self._token}

    def check_token(self) -> None:
        with self._lock:
            good = self._token and self._token_ends and self.clock.now() < self._token_ends
            if not good or request.headers.get("Authorization") != f"Bearer {self._token}":
                abort(401)

    def page(self, kind: str, items: Sequence[Item]) -> Response:
        """The part of a list that the query asks for, as OData writes it."""
        self.asked.append(request.full_path.removeprefix("/xapi/v1/"))
        self.check_token()
        self.fault("data")
        wanted = request.args.get("$select")
        names = set(wanted.split(",")) if wanted else FIELDS[kind]
        if not names <= FIELDS[kind]:
            abort(400)
        skip, top = int(request.args.get("$skip", 0)), int(request.args.get("$top", 100))
        size = min(top, self.most_items or top)
        body: dict[str, Any] = {
            "@odata.context": f"{self.url}/xapi/v1/$metadata#{kind}",
            "value": [_written(item, names) for item in items[skip : skip + size]],
        }
        if size < top and skip + size < len(items):
            body["@odata.nextLink"] = f"{self.url}/xapi/v1/{kind}?$skip={skip + size}"
        return jsonify(body)

    def call_log(self) -> Response:
        """Newest first, the limit before the page, and if sorting is asked for, the newest rows are missing."""
        self.asked.append(request.environ["RAW_URI"].removeprefix("/xapi/v1/"))
        self.check_token()
        self.fault("data")
        if self.role != "System Owner":
            abort(403)
        start, end = self.period(request.environ["RAW_URI"])
        if self.slow_beyond is not None and end - start > self.slow_beyond:
            abort(504)
        now = self.clock.now()
        if self.arriving:
            self.calls.append((now, self.arriving.popleft()))
        seen = [row for visible_from, row in self.calls if visible_from <= now and start <= started(row) < end]
        rows = sorted(seen, key=started, reverse=True)[: self.row_limit]
        if "$orderby" in request.args:
            rows = rows[1:]
        skip, top = int(request.args.get("$skip", 0)), int(request.args.get("$top", self.row_limit))
        return jsonify({"value": [_written(row, set(row)) for row in rows[skip : skip + top]]})

    def period(self, uri: str) -> tuple[datetime, datetime]:
        found = CALL_LOG.fullmatch(uri.partition("?")[0])
        if found is None or not all(re.fullmatch(SPELLINGS[self.spelling], text) for text in found.groups()):
            abort(404)
        start, end = (datetime.fromisoformat(text.replace("%3A", ":")) for text in found.groups())
        return start, end

    @contextmanager
    def one_more(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
            self.most_at_once = max(self.most_at_once, self._busy)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1


def _written(item: Item, names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name in names and value is not None}


def started(row: Item) -> datetime:
    return datetime.fromisoformat(row["StartTime"])


def create_app(xapi: Xapi) -> Flask:
    app = Flask("xapi")

    @app.post("/connect/token")
    def token() -> Response:
        return jsonify(xapi.new_token())

    @app.get("/xapi/v1/Users")
    def users() -> Response:
        return xapi.page("Users", xapi.users)

    @app.get("/xapi/v1/Queues")
    def queues() -> Response:
        return xapi.page("Queues", xapi.queues)

    @app.get("/xapi/v1/RingGroups")
    def ring_groups() -> Response:
        return xapi.page("RingGroups", xapi.ring_groups)

    @app.get("/xapi/v1/ReportCallLogData/<path:_function>")
    def call_log(_function: str) -> Response:
        return xapi.call_log()

    @app.get("/xapi/v1/LastCdrAndChatMessageTimestamp")
    def newest() -> Response:
        newest = max((row["StartTime"] for _, row in xapi.calls), default=None)
        return xapi.page("LastCdrAndChatMessageTimestamp", [{"LastCdrStartedAt": newest}])

    @app.get("/xapi/v1/ActiveCalls")
    def active_calls() -> Response:
        return xapi.page("ActiveCalls", xapi.active_calls)

    @app.get("/xapi/v1/Queues(<int:group>)/Agents")
    def agents(group: int) -> Response:
        return xapi.page("Agents", xapi.agents[group]) if group in xapi.agents else abort(404)

    @app.get("/xapi/v1/RingGroups(<int:group>)/Members")
    def members(group: int) -> Response:
        return xapi.page("Members", xapi.members[group]) if group in xapi.members else abort(404)

    return app


class _Dripping:
    """The way to a client, byte by byte where the phone system is in that mood."""

    def __init__(self, out: Any, xapi: Xapi) -> None:
        self._out, self._xapi = out, xapi

    def write(self, data: bytes) -> None:
        if not self._xapi.drip_s:
            self._out.write(data)
            return
        for byte in bytes(data):
            self._out.write(bytes([byte]))
            time.sleep(self._xapi.drip_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def _handler(xapi: Xapi) -> type[WSGIRequestHandler]:
    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections last, as they do in front of a phone system
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.wfile = _Dripping(self.wfile, xapi)

        def log(self, *_: object, **__: object) -> None:
            """No line per request."""

    return Handler


@contextmanager
def start(clock: Clock, *, certificate: Path | None = None) -> Iterator[Xapi]:
    """An empty phone system on a free port, for as long as the block lasts.

    :param certificate: where to write the certificate; then it speaks https, as localhost
    """
    xapi = Xapi(clock)
    app = create_app(xapi)

    @app.after_request
    def note(answer: Response) -> Response:
        xapi.answers.append(answer.status_code)
        return answer

    def counted(environ: Any, start_response: Any) -> Any:
        with xapi.one_more():
            return app(environ, start_response)

    server = make_server(
        HOST, 0, counted, threaded=True, request_handler=_handler(xapi), ssl_context=_certificate(certificate)
    )
    xapi.url = f"{'https://localhost' if certificate else f'http://{HOST}'}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield xapi
    finally:
        xapi.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(file: Path | None) -> tuple[str, str] | None:
    if file is None:
        return None
    made = self_signed("localhost")
    key = file.with_suffix(".key")
    file.write_bytes(made.cert_pem)
    key.write_bytes(made.key_pem)
    return str(file), str(key)
