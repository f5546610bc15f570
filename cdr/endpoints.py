"""What the HTTP functions answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cdr.edges.http_answers import BadRequest, answer, check_request, refusal
from shared.errors import InvalidConfig, PipelineError

if TYPE_CHECKING:
    import azure.functions as func

    from cdr.wiring import Pipeline


def health(request: func.HttpRequest, pipeline: Pipeline) -> func.HttpResponse:
    """200 if every part is usable, else 503. Anybody may ask: states and times only, no names, no reasons."""
    try:
        check_request(request, "GET")
    except BadRequest as exc:
        return refusal(exc, "GET")
    parts = pipeline.health.parts()
    usable = all(part.state == "ok" for part in parts.values())
    body: dict[str, Any] = {
        "status": "ok" if usable else "unavailable",
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    if pipeline.configuration_mistakes:
        body["configuration_mistakes"] = pipeline.configuration_mistakes
    return answer(body, 200 if usable else 503)


def status(request: func.HttpRequest, pipeline: Pipeline) -> func.HttpResponse:
    try:
        check_request(request, "GET")
        return answer(pipeline.status())
    except BadRequest as exc:
        return refusal(exc, "GET")
    except InvalidConfig as exc:
        return answer({"error": "the configuration is not usable", "mistakes": exc.mistakes}, 503)


def trigger_poll(request: func.HttpRequest, pipeline: Pipeline) -> func.HttpResponse:
    """200 with what the poll did, 409 while another one holds the lease, 503 if it could not do its work."""
    try:
        check_request(request, "POST")
        outcome = pipeline.poll()
    except BadRequest as exc:
        return refusal(exc, "POST")
    except InvalidConfig as exc:
        return answer({"error": "the configuration is not usable", "mistakes": exc.mistakes}, 503)
    except PipelineError as exc:
        return answer({"result": "failed", "error": str(exc)}, 503)
    return answer(asdict(outcome), 200 if outcome.result == "finished" else 409)
