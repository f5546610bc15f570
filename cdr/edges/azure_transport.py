"""What carries the Azure SDKs' requests, to storage and to who hands out tokens: azure-core takes one's own transport.

The one that azure-core has is built on requests, which costs more than the rest of a request does; this one uses the
pools of urllib3 beneath it, and keeps to the deadline of each exchange like every HTTP edge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import timedelta
from http.client import HTTPException
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from azure.core.exceptions import (
    AzureError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse
from urllib3 import BaseHTTPResponse

from cdr.edges.azure_answer import AzureAnswer
from cdr.edges.http_connection import Progress, of_exchange
from cdr.edges.http_errors import FOREIGN, reason_of, root_of
from cdr.edges.http_line import Adapter, Line, Surroundings

Hear = Callable[[Mapping[str, str], timedelta], None]
"""Told the headers of each whole answer, by names without case, and how long it took."""

MOST_BYTES = 128 * 1024 * 1024
"""Of an answer; far more than any page of a table, and less than would end the process."""

ONE_PIECE = 1024 * 1024

LONGEST_PAUSE_S = 10.0
"""Of all that the SDKs would make by themselves."""

ERRORS: dict[tuple[bool, bool], type[AzureError]] = {
    (False, False): ServiceRequestError,
    (False, True): ServiceRequestTimeoutError,
    (True, False): ServiceResponseError,
    (True, True): ServiceResponseTimeoutError,
}
"""By whether the request went out, and whether it took too long: what the SDKs' retries go by."""


class AzureTransport(HttpTransport[HttpRequest, HttpResponse]):
    """Proxies, NO_PROXY and a bundle of certificates come from the environment, which is asked once for each host.

    Redirections are answers like any other. Every answer is read whole before it is handed on, streamed ones too.
    """

    def __init__(
        self,
        *,
        connect_s: float,
        answer_s: float,
        hear: Hear = lambda *_: None,
        monotonic: Callable[[], float] = time.monotonic,
        most_bytes: int = MOST_BYTES,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        """:param answer_s: from the look-up of the name to the last byte of the answer; ``connect_s`` of it at most
            until there is a connection
        :param monotonic: the clock that this is measured by, in seconds
        :param longest_pause_s: before another try, whatever who answered asked for
        """
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._hear = hear
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._longest_pause_s = longest_pause_s
        self._adapter = Adapter()
        self._lines: dict[str, Line] = {}

    def send(self, request: HttpRequest, **options: Any) -> AzureAnswer:
        """:raises ServiceRequestError: nobody has seen the request
        :raises ServiceResponseError: it went out, in part at least, and no whole answer came
        """
        within_s = options.get("read_timeout", self._answer_s)
        began = self._monotonic()
        connect_s = options.get("connection_timeout", self._connect_s)
        progress = Progress(self._monotonic, began + within_s, connect_s=connect_s)
        try:
            with of_exchange(progress):
                wire = self._exchange(request, progress)
                raw = self._whole(wire)
        except FOREIGN as exc:
            root = root_of(exc)
            kind = ERRORS[progress.is_sent, isinstance(root, TimeoutError)]
            raise kind(reason_of(root), error=exc) from exc
        self._hear(wire.headers, timedelta(seconds=self._monotonic() - began))
        return AzureAnswer(request, wire.status, wire.reason or "", wire.headers, raw)

    def _exchange(self, request: HttpRequest, progress: Progress) -> BaseHTTPResponse:
        address = urlsplit(request.url)
        line = self._line_to(f"{address.scheme}://{address.netloc}")
        path = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
        body, headers = _body_of(request), dict(request.headers)
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        return line.ask(request.method, path, body, headers, progress)

    def _whole(self, wire: BaseHTTPResponse) -> bytes:
        """The body as it came."""
        raw = bytearray()
        with closing(wire):
            for piece in wire.stream(ONE_PIECE, decode_content=False):
                raw += piece
                if len(raw) > self._most_bytes:
                    raise HTTPException("there is no end to the answer")
        return bytes(raw)

    def _line_to(self, origin: str) -> Line:
        if (line := self._lines.get(origin)) is None:
            line = self._lines[origin] = self._adapter.line_to(origin, Surroundings.of(origin))
        return line

    def sleep(self, duration: float) -> None:
        """Before another try. The SDKs wait for as long as a ``Retry-After`` says, be it an hour, with a claim in hand
        and whoever else asks behind them."""
        super().sleep(min(duration, self._longest_pause_s))

    def open(self) -> None:
        """Connections are made when they are needed."""

    def close(self) -> None:
        self._lines.clear()
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _body_of(request: HttpRequest) -> bytes | Iterable[bytes] | None:
    content = request.content
    if isinstance(content, dict):  # a form, as who hands out tokens takes it
        return urlencode(content).encode()
    return content.encode() if isinstance(content, str) else content
