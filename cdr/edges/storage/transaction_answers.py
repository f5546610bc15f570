"""What the table service answers to writes: a transaction's answers taken apart, and its word for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence

from azure.core.rest import HttpResponse
from urllib3 import HTTPHeaderDict

_EMPTY_LINE = b"\r\n\r\n"
_BOUNDARY = re.compile(r"""boundary=["']?([^"';,\s]+)""")
_CODE = re.compile(r"""["<](?:\w+:)?code(?:"\s*:\s*"|>)(\w+)""", re.IGNORECASE)


def answers_in(body: bytes, content_type: str) -> Iterator[tuple[int, str, MutableMapping[str, str], bytes]]:
    """The HTTP answers within a multipart message, and within such messages in it: status, reason, headers, body.

    :raises ValueError: it is no such message

    The SDKs' own way, by the standard library's e-mail, takes a third of a transaction's time.
    """
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/mixed") or boundary is None:
        raise ValueError(f"{content_type[:100]} is no multipart message")
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, inner = part.partition(_EMPTY_LINE)
        kind = _headers_in(head.splitlines()).get("Content-Type", "")
        if kind.startswith("multipart/mixed"):
            yield from answers_in(inner, kind)
            continue
        answer, _, content = inner.partition(_EMPTY_LINE)
        first, *fields = answer.splitlines()
        _, status, *reason = first.decode("latin-1").split(" ", 2)
        yield int(status), " ".join(reason), _headers_in(fields), content.removesuffix(b"\r\n")


def code_in(answer: HttpResponse) -> str:
    """The service's word for what is wrong, in its JSON or its XML; empty where it has none."""
    found = _CODE.search(answer.text())
    return found[1] if found else ""


def _headers_in(lines: Sequence[bytes]) -> HTTPHeaderDict:
    pairs = (line.decode("latin-1").partition(":") for line in lines if line)
    return HTTPHeaderDict({name: value.strip() for name, _, value in pairs})
