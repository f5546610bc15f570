"""HTTP requests and answers of the functions: JSON in both directions, and a reason for every refusal."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func

MAX_BODY_BYTES = 65_536
KEY_PARAMETER = "code"
"""The host's own: the function key may stand in the URL."""


class BadRequest(Exception):
    """The request is not one that the function takes; ``status`` and the message say why."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> func.HttpResponse:
    text = json.dumps(body, indent=2, ensure_ascii=False)
    no_store = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    # Half a surrogate pair, echoed from a request, has no encoding.
    raw = (text + "\n").encode("utf-8", "replace")
    return func.HttpResponse(raw, status_code=status, mimetype="application/json", headers=no_store)


def refusal(exc: BadRequest, method: str) -> func.HttpResponse:
    headers = {"Allow": method} if exc.status == HTTPStatus.METHOD_NOT_ALLOWED else None
    return answer({"error": str(exc)}, exc.status, headers)


def wants_html(request: func.HttpRequest) -> bool:
    """Browsers ask for it by name, programs for anything."""
    return "text/html" in request.headers.get("Accept", "").lower()


def parameters_of(
    request: func.HttpRequest, method: str, known: Collection[str], *, others_are_ignored: bool = False
) -> dict[str, Any]:
    """Those of its query and the members of the JSON object in its body.

    Monitors put a number of their own into the query, so that no cache answers them: where a function takes no
    parameters that change anything, others are ignored.

    :raises BadRequest: another method, a body that is no JSON object, an unknown parameter, or an action that a page of
        another site asks for
    """
    if request.method.upper() != method and not (method == "GET" and request.method.upper() == "HEAD"):
        raise BadRequest(405, f"{request.method} is not allowed here, use {method}")
    if method != "GET" and _is_of_another_site(request.headers):
        raise BadRequest(403, "this was asked for by a page of another site")
    body = _object_in(request.get_body() or b"")
    given = {*body, *request.params} - {KEY_PARAMETER}
    if not others_are_ignored and (unknown := sorted(given - set(known))):
        taken = f"known: {', '.join(sorted(known))}" if known else "this function takes none"
        raise BadRequest(400, f"unknown parameter {', '.join(unknown)[:200]}; {taken}")
    if nested := [name for name, value in body.items() if isinstance(value, list | dict)]:
        raise BadRequest(400, f"{nested[0]} must be text, a number, true or false")
    return {**body, **{name: value for name, value in request.params.items() if name != KEY_PARAMETER}}


def _is_of_another_site(headers: Mapping[str, str]) -> bool:
    """As browsers say it, and nobody else does: a site that a person looks at must not act here, key or not."""
    if site := headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("Host")


def _object_in(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_BODY_BYTES:
        raise BadRequest(400, f"the body has {len(raw)} bytes, at most {MAX_BODY_BYTES} are taken")
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest(400, "the body must be a JSON object")
    return body
