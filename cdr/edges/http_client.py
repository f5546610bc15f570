"""One HTTP exchange: a request and its whole answer, before a deadline. Whatever speaks HTTP itself goes through here;
what an SDK sends goes through azure_transport.

What fails is one of two things, because they decide whether the same may be sent again:

    NeverSent     no connection came about, or it is no request at all: nobody has seen it
    Unanswered    it went out, in part at least, and no whole answer came back: nobody knows what became of it
"""

from __future__ import annotations

import json as json_codec
import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from requests import PreparedRequest, Request
from requests.auth import AuthBase
from requests.utils import default_headers
from urllib3 import BaseHTTPResponse

from cdr.edges.http_connection import Progress, of_exchange
from cdr.edges.http_errors import FOREIGN, reason_of, root_of
from cdr.edges.http_line import Adapter, Line, Surroundings
from shared.once import once

MAX_ANSWER_BYTES = 65_536
LONGEST_WORDS = 1_000
UNAUTHORIZED = 401
SUCCESSES = range(200, 300)
BODILESS = frozenset({204, 304})
"""By their own rules, whatever their heads say."""
SHORTEST_SECRET = 6
"""What is shorter stands in many an answer by chance."""
OF_ANY_REQUEST = (*default_headers(), "Content-Length", "Content-Type")

# At the level of debugging it writes every path and query, which of a webhook is the secret.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


class HttpFailure(Exception):
    """No whole answer. The message says why, on one line and without the address; ``timed_out``: it took too long."""

    def __init__(self, why: str, *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        super().__init__(why)


class NeverSent(HttpFailure):
    """Nobody has seen the request."""


class Unanswered(HttpFailure):
    """The request went out, and no whole answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, but for what of its body was beyond the limit. The headers' names are without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return self.status in SUCCESSES

    @property
    def content_type(self) -> str:
        """Without parameters, in small letters; empty if there is none. Said twice it is said once."""
        whole = self.headers.get("Content-Type", "").lower()
        kinds = {each.partition(";")[0].strip() for each in whole.split(",")}
        return kinds.pop() if len(kinds) == 1 else whole.partition(";")[0].strip()

    @property
    def words(self) -> str:
        """The body for people: on one line, and not all of a long one."""
        text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", self.body.decode("utf-8", "replace")).strip()
        return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}…"

    def json(self) -> Any:
        """:raises ValueError: the body is not JSON"""
        try:
            return json_codec.loads(self.body)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc


class Renewed(AuthBase, ABC):
    """Credentials of which there are new ones to be had."""

    @abstractmethod
    def refused(self) -> None:
        """A request with these was answered 401: they are not good any more, whatever our clock says of that."""


class HttpClient:
    """Exchanges with one address (scheme, host and what every path begins with), over a pool of connections.

    Redirections are answers like any other, and never followed. Proxies, NO_PROXY and a bundle of certificates come
    from the environment, which is asked once; a ``ca_file`` goes before that bundle. A netrc file's passwords are for
    nobody, and cookies are not kept.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: timedelta,
        auth: AuthBase | None = None,
        ca_file: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        adapter: Adapter | None = None,
    ) -> None:
        """:param timeout: of each whole exchange, from the look-up of the name to the last byte of the answer
        :param monotonic: the clock that this is measured by, in seconds
        """
        self._address = address
        self._timeout = timeout
        self._auth = auth
        self._ca_file = ca_file
        self._monotonic = monotonic
        self._adapter = adapter or Adapter()

    def exchange(
        self,
        method: str,
        path: str = "",
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Answer:
        """Send a request and read its answer; of a body that is longer than ``most_bytes``, so much.

        :param timeout: of this exchange, instead of the client's
        :param may_send: asked right before the request goes out, whatever time it took to come to that; if not, it does
            not
        :raises NeverSent, Unanswered: and what the credentials raise that are put on the request
        """
        within_s = (self._timeout if timeout is None else timeout).total_seconds()
        progress = Progress(self._monotonic, self._monotonic() + within_s, may_send=may_send)
        try:
            asked = Request(
                method,
                self._address + path,
                headers={**default_headers(), **(headers or {})},
                params=params,
                json=json,
                data=form,
                auth=self._auth,
            ).prepare()
            with of_exchange(progress), closing(self._ask(asked, progress)) as answer:
                if answer.status == UNAUTHORIZED and isinstance(self._auth, Renewed):
                    self._auth.refused()
                return Answer(answer.status, answer.headers, _without(_credentials(asked), _body(answer, most_bytes)))
        except FOREIGN as exc:
            root = root_of(exc)
            kind = Unanswered if progress.is_sent else NeverSent
            raise kind(reason_of(root), timed_out=isinstance(root, TimeoutError)) from exc

    def _ask(self, asked: PreparedRequest, progress: Progress) -> BaseHTTPResponse:
        method, body = str(asked.method), asked.body
        return self._line.ask(method, asked.path_url, body, asked.headers, progress)

    @once
    def _line(self) -> Line:
        return self._adapter.line_to(self._address, Surroundings.of(self._address, self._ca_file))


def _credentials(asked: PreparedRequest) -> Iterator[str]:
    """Whatever was put on a request beside what each has; of `Bearer x` also the x."""
    for name, value in asked.headers.items():
        if name not in OF_ANY_REQUEST:
            yield from (str(value), str(value).rpartition(" ")[2])


def _without(secrets: Iterable[str], body: bytes) -> bytes:
    """An answer as words that may be shown: some servers and gateways repeat in it all that they were sent."""
    for secret in sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True):
        for form in (secret, json_codec.dumps(secret)[1:-1], quote(secret, safe="")):
            body = body.replace(form.encode(), b"***")
    return body


def _body(answer: BaseHTTPResponse, most_bytes: int) -> bytes:
    raw = bytearray()
    if not most_bytes:
        return b""
    for piece in answer.stream(65_536):
        raw += piece
        if len(raw) >= most_bytes:
            break
    if not raw and answer.tell():
        raise HTTPException("there was a body, and nothing of it could be decoded")
    if not raw and _announces_body(answer):
        raise ConnectionError("the answer broke off before its body")
    return bytes(raw[:most_bytes])


def _announces_body(answer: BaseHTTPResponse) -> bool:
    """Of a body that ends where the connection does, which is no proof that there was none."""
    is_open_ended = not any(name in answer.headers for name in ("Content-Length", "Transfer-Encoding"))
    return is_open_ended and "Content-Type" in answer.headers and answer.status not in BODILESS
