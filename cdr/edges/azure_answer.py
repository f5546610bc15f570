"""A whole answer, in the form that the Azure SDKs take one of a transport of one's own."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from io import BytesIO
from typing import Any, Self

from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.rest import HttpRequest
from azure.core.rest import HttpResponse as SdkResponse
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError as WireDecodeError

FIRST_ERROR = 400

_CHARSET = re.compile(r"""charset=["']?([\w.:-]+)""", re.IGNORECASE)


class AzureAnswer(SdkResponse):
    """What came over the wire, all of it: there is nothing left to wait for when it is read or iterated."""

    def __init__(
        self, request: HttpRequest, status: int, reason: str, headers: MutableMapping[str, str], raw: bytes
    ) -> None:
        """:param headers: their names are without case
        :param raw: the body as it came
        :raises DecodeError: it was sent compressed, and is broken
        """
        self._request = request
        self._status = status
        self._reason = reason
        self._headers = headers
        self._raw = raw
        self._content = _decoded(raw, headers)
        self._encoding: str | None = None

    @property
    def request(self) -> HttpRequest:
        return self._request

    @property
    def url(self) -> str:
        return self._request.url

    @property
    def status_code(self) -> int:
        return self._status

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def headers(self) -> MutableMapping[str, str]:
        return self._headers

    @property
    def content_type(self) -> str | None:
        return self._headers.get("Content-Type")

    @property
    def is_closed(self) -> bool:
        return True

    @property
    def is_stream_consumed(self) -> bool:
        return True

    @property
    def encoding(self) -> str | None:
        if self._encoding is None and (named := _CHARSET.search(self.content_type or "")):
            with suppress(LookupError):
                self._encoding = codecs.lookup(named[1]).name
        return self._encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def content(self) -> bytes:
        return self._content

    def text(self, encoding: str | None = None) -> str:
        """UTF-8 unless it says otherwise; the service's XML begins with a byte order mark, which is no part of it."""
        chosen = encoding or self.encoding or "utf-8"
        return self._content.decode("utf-8-sig" if chosen == "utf-8" else chosen, "replace")

    def json(self) -> Any:
        return json.loads(self.text())

    def raise_for_status(self) -> None:
        if self._status >= FIRST_ERROR:
            raise HttpResponseError(response=self)

    def read(self) -> bytes:
        return self._content

    def iter_bytes(self, **_: Any) -> Iterator[bytes]:
        yield self._content

    def iter_raw(self, **_: Any) -> Iterator[bytes]:
        yield self._raw

    def close(self) -> None:
        """The connection went back long ago."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _decoded(raw: bytes, headers: MutableMapping[str, str]) -> bytes:
    if "Content-Encoding" not in headers:
        return raw
    try:
        return HTTPResponse(BytesIO(raw), headers=headers).data
    except WireDecodeError as exc:
        raise DecodeError("what was sent compressed is broken", error=exc) from exc
