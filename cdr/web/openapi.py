"""The description of all HTTP functions, as OpenAPI 3.1, from the table that they are answered by."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from cdr import __version__
from cdr.web.endpoints import ENDPOINTS, Endpoint, Form
from cdr.web.schemas import ERROR, TEXT, Schema, thing

MEDIA_TYPES: Mapping[Form, str] = {"json": "application/json", "html": "text/html"}
KEYS: list[dict[str, list[str]]] = [{"header": []}, {"query": []}]


def openapi() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "3CX calls to the Call Logger", "version": __version__},
        "paths": {f"/{each.path}": {each.method.lower(): _operation(name, each)} for name, each in ENDPOINTS.items()},
        "components": {
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "query": {"type": "apiKey", "in": "query", "name": "code"},
            }
        },
    }


def _operation(name: str, endpoint: Endpoint) -> dict[str, Any]:
    found = {
        "operationId": name,
        "summary": endpoint.says,
        "responses": _responses(endpoint),
        "security": [{}] if endpoint.is_open else KEYS,
    }
    if endpoint.method == "POST":
        return found | {"requestBody": _body(endpoint)}
    return found | {"parameters": [_parameter(name, endpoint) for name in endpoint.parameters]}


def _parameter(name: str, endpoint: Endpoint) -> dict[str, Any]:
    parameter = endpoint.parameters[name]
    shown = {"name": name, "in": "query", "description": parameter.says, "schema": parameter.schema}
    return shown | ({"required": True} if parameter.is_required else {})


def _body(endpoint: Endpoint) -> dict[str, Any]:
    members = {name: {**each.schema, "description": each.says} for name, each in endpoint.parameters.items()}
    optional = [name for name, each in endpoint.parameters.items() if not each.is_required]
    is_required = len(optional) < len(members)
    return {"required": is_required, "content": {"application/json": {"schema": thing(optional, **members)}}}


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    schemas = {"json": endpoint.answer(), "html": TEXT}
    content = {MEDIA_TYPES[form]: {"schema": schemas[form]} for form in endpoint.forms}
    found = {"200": {"description": "done", "content": content}}
    refusals = {
        400: "the request is not one that is taken, and why",
        500: "a defect of the app",
        503: "it may work later",
        **endpoint.refusals,
    }
    if endpoint.method == "POST":
        refusals[403] = "a page of another site asked"
    for status, says in sorted(refusals.items()):
        found[str(status)] = _refusal(says, _schema_of(status, endpoint))
    return found


def _schema_of(status: int, endpoint: Endpoint) -> Schema:
    """Who is held up says so in the words of the use case, where it has some."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return endpoint.failure
    return {"anyOf": [endpoint.answer(), ERROR]} if status == HTTPStatus.CONFLICT else ERROR


def _refusal(says: str, schema: Schema) -> dict[str, Any]:
    return {"description": says, "content": {"application/json": {"schema": schema}}}
