"""Makes the queue's time as fast as the workers' clock.

The queue service hides messages by real time. So the proxy, not the product, shortens ``visibilitytimeout`` in every
request, and signs the request anew, because the signature covers the query.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import b64decode, b64encode
from urllib.parse import parse_qsl, urlsplit

from tests.faults.proxies import Request

HOST_LEASE_S = 4
"""Of a message that the host has in hand (ten minutes in Azure): a dead worker's messages are back this soon. Not less:
on a slow machine, messages would be handed out again while they are still being worked on."""

_VISIBILITY = re.compile(r"(visibilitytimeout=)(\d+)")
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def make_faster(request: Request, speed: float, account: str, key: str, host_lease_s: int) -> None:
    """Shorten what a request asks to hide a message for, if it does."""

    def shorter(found: re.Match[str]) -> str:
        seconds = math.ceil(int(found[2]) / speed)
        return f"{found[1]}{min(seconds, host_lease_s) if request.method != 'POST' else seconds}"

    target = _VISIBILITY.sub(shorter, request.target)
    if target != request.target:
        request.target = target
        request.headers["authorization"] = f"SharedKey {account}:{_signature(request, account, key)}"


def _signature(request: Request, account: str, key: str) -> str:
    address = urlsplit(request.target)
    values = {name: request.headers.get(name, "") for name in _SIGNED}
    if values["content-length"] == "0":
        values["content-length"] = ""
    own = sorted((name, value) for name, value in request.headers.items() if name.startswith("x-ms-"))
    parameters = sorted((name.lower(), value) for name, value in parse_qsl(address.query, keep_blank_values=True))
    lines = [request.method, *values.values(), *(f"{name}:{value}" for name, value in own)]
    lines += [f"/{account}{address.path}", *(f"{name}:{value}" for name, value in parameters)]
    return b64encode(hmac.digest(b64decode(key), "\n".join(lines).encode(), hashlib.sha256)).decode()
