"""Requests to the HTTP functions' routes, as the host hands them over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import azure.functions as func
from jsonschema import Draft202012Validator

from cdr.web import routes
from cdr.web.endpoints import ENDPOINTS
from cdr.web.openapi import openapi
from cdr.wiring.parts import Parts

METHODS = {name: endpoint.method for name, endpoint in ENDPOINTS.items() if "json" in endpoint.forms}
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
    """By its own method, with a body of JSON, unless it is said otherwise. What it answers is as it is described."""
    sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    url = f"https://example.com/{route}"
    request = func.HttpRequest(method or METHODS[route], url, params=query, headers=headers or {}, body=sent)
    response = getattr(routes, route)(request, parts)
    answer = Answer(response.status_code, json.loads(response.get_body()), dict(response.headers))
    if answer.status != 405:
        described(route, answer.status).validate(answer.body)
    return answer


@cache
def described(route: str, status: int) -> Draft202012Validator:
    """What the description of the functions says of such an answer."""
    responses = _paths()[f"/{ENDPOINTS[route].path}"][METHODS[route].lower()]["responses"]
    return Draft202012Validator(responses[str(status)]["content"]["application/json"]["schema"])


@cache
def _paths() -> Any:
    return openapi()["paths"]
