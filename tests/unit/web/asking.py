"""Requests to the HTTP functions' routes, as the host hands them over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from cdr.web import routes
from cdr.wiring.parts import Parts

METHODS = {
    "health": "GET",
    "status": "GET",
    "rejected": "GET",
    "calls": "GET",
    "preview": "GET",
    "reconcile": "GET",
    "trigger_poll": "POST",
    "trigger_start_over": "POST",
    "trigger_alerts": "POST",
    "trigger_replay": "POST",
    "trigger_reconcile": "POST",
}
"""The only method of each route."""


@dataclass(frozen=True)
class Answer:
    """What a route answered."""

    status: int
    body: Any
    headers: dict[str, str]


def ask(
    parts: Parts,
    route: str,
    body: object = None,
    /,
    *,
    method: str | None = None,
    raw: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    **query: str,
) -> Answer:
    """By its own method, with a body of JSON, unless it is said otherwise."""
    sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    url = f"https://example.com/{route}"
    request = func.HttpRequest(method or METHODS[route], url, params=query, headers=headers or {}, body=sent)
    response = getattr(routes, route)(request, parts)
    return Answer(response.status_code, json.loads(response.get_body()), dict(response.headers))
