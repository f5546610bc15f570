"""The app's routes behind HTTP, as a browser meets them in Azure: most of them want a function key."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any

import azure.functions as func
from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from cdr.web.html import html_answer
from cdr.web.page import Page
from cdr.web.requests import BadRequest, answer, parameters_of, refusal

KEY = "a-function-key/+=="
ANONYMOUS = ("page", "health")


@dataclass
class Served:
    """Shows a page, and notes what it was asked. ``answers`` are those of other functions, by path."""

    page: Page
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Whole addresses."""
    done: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Actions that were not refused, with what they were given."""
    raw: dict[str, str] = field(default_factory=dict)
    """Pages that are none of ours, by path."""
    base_url: str = ""
    wants_key: bool = True

    def answer(self, request: Request) -> func.HttpResponse:
        path = request.path.strip("/")
        self.asked.append(f"{request.method} {request.full_path}")
        if path in self.raw:
            return func.HttpResponse(self.raw[path], mimetype="text/html")
        given = request.headers.get("x-functions-key") or request.args.get("code")
        if self.wants_key and path not in ANONYMOUS and given != KEY:
            return func.HttpResponse(status_code=401)
        if path in ("page", "status"):
            return html_answer(self.page if path == "status" else None, token_urlsafe())
        return self._act(path, request)

    def _act(self, path: str, request: Request) -> func.HttpResponse:
        method = "POST" if path.startswith("trigger/") else "GET"
        asked = func.HttpRequest(
            method=request.method,
            url=request.url,
            headers=dict(request.headers),
            params=request.args.to_dict(),
            body=request.get_data(),
        )
        try:
            body = parameters_of(asked, method, ("reason", "call", "extension", "day"))
        except BadRequest as exc:
            return refusal(exc, method)
        self.done.append((path, body))
        return answer(self.answers.get(path, {"result": "finished"}))


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name of its parent's
        pass


@contextmanager
def serve(served: Served) -> Iterator[Served]:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        found = served.answer(Request(environ))
        response = Response(found.get_body(), found.status_code, content_type=found.mimetype)
        response.headers.update(dict(found.headers))
        return response(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    served.base_url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
