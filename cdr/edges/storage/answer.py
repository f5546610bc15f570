"""A whole answer of the storage account, in the form that the Azure SDKs take one of a transport of one's own."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from io import BytesIO
from typing import Any, Self

from azure.core.exceptions import DecodeError, HttpResponseError
from azure.core.pipeline import transport
from azure.core.rest import HttpRequest, HttpResponse
from urllib3 import BaseHTTPResponse
from urllib3 import HTTPResponse as WireResponse
from urllib3.exceptions import DecodeError as WireDecodeError

FIRST_ERROR = 400

_CHARSET = re.compile(r"""charset=["']?([\w.:-]+)""", re.IGNORECASE)


class StorageAnswer(HttpResponse):
    """What came over the wire, all of it: there is nothing left to wait for when it is read or iterated."""

    def __init__(self, request: HttpRequest, wire: BaseHTTPResponse) -> None:
        """:param wire: has been read without decoding it
        :raises DecodeError: what was sent compressed is broken
        """
        self._request = request
        self._status = wire.status
        self._reason = wire.reason or ""
        self._headers = wire.headers
        self._raw = wire.data
        self._content = _decoded(wire)
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

    def parts(self) -> Iterator[transport.HttpResponse]:
        """The answers to the operations of a transaction."""
        return _Envelope(self).parts()


class _Envelope(transport.HttpResponse):
    """What takes a transaction's answer apart."""

    def __init__(self, answer: StorageAnswer) -> None:
        super().__init__(answer.request, None)  # type: ignore[arg-type]
        self.content_type = answer.content_type
        self._whole = answer.content

    def body(self) -> bytes:
        return self._whole


def _decoded(wire: BaseHTTPResponse) -> bytes:
    if "Content-Encoding" not in wire.headers:
        return wire.data
    try:
        return WireResponse(BytesIO(wire.data), headers=wire.headers).data
    except WireDecodeError as exc:
        raise DecodeError("what was sent compressed is broken", error=exc) from exc
