"""HTTP triggers and the host's own addresses, on 127.0.0.1.

Every caller is let in, as with Core Tools: function keys are checked in Azure only. What no function answers is 404
with an empty body, a wrong method included; so is 500 after an exception.
"""

from __future__ import annotations

import errno
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

import azure.functions as func
from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

from local.host.functions import HostedFunction, HttpTrigger
from local.host.invoke import Invoker
from local.host.settings import HostError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ADDRESS = "127.0.0.1"


class Routes:
    """The addresses of functions. Letter case and a slash at the end do not matter, as in Azure."""

    def __init__(self, functions: Sequence[HostedFunction], prefix: str) -> None:
        self.paths = {
            function.name: "/".join(filter(None, (prefix, function.trigger.route)))
            for function in functions
            if isinstance(function.trigger, HttpTrigger)
        }
        by_name = {function.name: function for function in functions}
        # A fixed segment wins over a parameter.
        ordered = sorted(self.paths.items(), key=lambda item: [part.startswith("{") for part in item[1].split("/")])
        self._patterns = [(_pattern(path), by_name[name]) for name, path in ordered]

    def find(self, path: str, method: str) -> tuple[HostedFunction, dict[str, str]] | None:
        """The function for a request and its route parameters."""
        for pattern, function in self._patterns:
            match = pattern.fullmatch(path.strip("/"))
            if match and isinstance(function.trigger, HttpTrigger) and function.trigger.takes(method):
                return function, match.groupdict()
        return None


class HttpListener:
    """Takes the port when it is made (0: a free one), answers from `start` on. Raises HostError for a taken port."""

    def __init__(
        self, port: int, routes: Routes, admin: Callable[[Request], Response | None], invoker: Invoker
    ) -> None:
        self._routes = routes
        self._admin = admin
        self._invoker = invoker
        # Werkzeug ends the process when it finds the port taken, so it gets a socket that already listens.
        with _listening_socket(port) as listening:
            self.port: int = listening.getsockname()[1]
            self._server = make_server(ADDRESS, self.port, self._serve, threaded=True, fd=listening.fileno())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections; requests that are being answered go on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answered: Future[None] = Future()
        self._invoker.wait_for_at_stop(answered)
        try:
            response = self._answer(Request(environ))
        except BaseException:
            answered.cancel()
            raise
        response.call_on_close(lambda: answered.set_result(None))
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            request.get_data()  # kept for whoever asks; left unread, it would reset the connection under the answer
        except (OSError, HTTPException):  # chunks that make no sense, or a body that ends too soon
            return Response(status=400)
        return self._admin(request) or self._call_function(request)

    def _call_function(self, request: Request) -> Response:
        found = self._routes.find(request.path, request.method)
        if found is None:
            return Response(status=404)
        function, route_params = found
        invocation = self._invoker.submit(self._invoker.invoke, function, _function_request(request, route_params))
        try:
            return _response(invocation.result())
        except CancelledError:
            return Response(status=503)
        except Exception:  # noqa: BLE001 - a function may raise anything; the invoker has logged it
            return Response(status=500)


def _listening_socket(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except (OSError, OverflowError) as exc:
        if isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE:
            raise HostError(f"port {port} is taken by another program: choose another with --port") from exc
        raise HostError(f"port {port} cannot be listened on: {exc}") from exc


def _pattern(path: str) -> re.Pattern[str]:
    parts = (
        f"(?P<{segment[1:-1]}>[^/]+)" if segment.startswith("{") else re.escape(segment) for segment in path.split("/")
    )
    return re.compile("/".join(parts), re.IGNORECASE)


def _function_request(request: Request, route_params: dict[str, str]) -> func.HttpRequest:
    return func.HttpRequest(
        method=request.method,
        url=request.host_url.rstrip("/") + request.environ["RAW_URI"],
        headers=dict(request.headers),
        # A name that is given twice comes as one text, as the Azure host hands it over.
        params={name: ",".join(values) for name, values in request.args.lists()},
        route_params=route_params,
        body=request.get_data(),
    )


def _response(result: Any) -> Response:
    if result is None:
        return Response(status=204)
    if isinstance(result, str):
        return Response(result, mimetype="text/plain")
    is_text = result.mimetype.startswith("text/")
    content_type = f"{result.mimetype}; charset={result.charset}" if is_text else result.mimetype
    response = Response(result.get_body(), status=result.status_code, content_type=content_type)
    if "Content-Type" in result.headers:
        del response.headers["Content-Type"]
    response.headers.extend(result.headers)
    return response
