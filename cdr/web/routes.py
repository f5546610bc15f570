"""What the HTTP functions answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from secrets import token_urlsafe
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeVar

from cdr.groups.check import check
from cdr.intake.poll import poll
from cdr.intake.start_over import start_over
from cdr.operations.find_call import find_calls
from cdr.operations.preview import preview as newest_calls
from cdr.operations.reconcile import reconcile as compare_days
from cdr.operations.rejected import list_rejected
from cdr.operations.replay import replay
from cdr.operations.side_by_side import Problem, SideBySide
from cdr.operations.status import Overview, Status
from cdr.operations.status import status as overall_status
from cdr.operations.verdict import Verdict, verdict
from cdr.web import endpoints
from cdr.web.endpoints import LONGEST_PAGE, LONGEST_PREVIEW, Endpoint
from cdr.web.parameters import Parameters
from cdr.web.present import (
    found_json,
    outcome_json,
    preview_json,
    reconciliation_json,
    rejected_json,
    status_json,
    until_json,
)
from cdr.web.requests import BadRequest, answer, parameters_of, refusal, wants_html
from shared import log
from shared.errors import DaysForgotten, InvalidConfig, LeaseHeld, NoSuchCalls, NoSuchStart, PipelineError

if TYPE_CHECKING:
    import azure.functions as func

    from cdr.wiring.parts import Parts

Found = TypeVar("Found")


def health(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """200 if every part is usable, else 503. Anybody may ask: states and times only, no names, no reasons."""

    def look(_: Parameters) -> func.HttpResponse:
        found = parts.health.parts()
        usable = all(part.state == "ok" for part in found.values())
        body: dict[str, Any] = {
            "status": "ok" if usable else "unavailable",
            "parts": {name: asdict(part) for name, part in found.items()},
        }
        if parts.mistakes:
            body["configuration_mistakes"] = len(parts.mistakes)
        return answer(body, 200 if usable else 503)

    return _answered(request, endpoints.HEALTH, look)


def status(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """For a browser a page, for a program JSON."""

    def look(_: Parameters) -> func.HttpResponse:
        found, judged, _now = _judged(parts.overview)
        return answer(status_json(found, judged), headers={"Vary": "Accept"})

    def show(_: Parameters) -> func.HttpResponse:
        from cdr.web.html import html_answer
        from cdr.web.page import page_of, page_of_mistakes

        try:
            overview = parts.overview
        except InvalidConfig as exc:
            return html_answer(page_of_mistakes(exc.mistakes), token_urlsafe(), 503)
        return html_answer(page_of(*_judged(overview)), token_urlsafe())

    return _answered(request, endpoints.STATUS, show if wants_html(request) else look)


def _judged(overview: Overview) -> tuple[Status, Verdict, datetime]:
    """The status, whether calls flow by it, and the moment for which that is true."""
    found, now = overall_status(overview), overview.clock.now()
    return found, verdict(found, now, overview.poll_interval), now


def page(request: func.HttpRequest, _: Parts) -> func.HttpResponse:
    """The page before anybody has shown a key: nothing stands on it. Anybody may ask."""

    def show(_: Parameters) -> func.HttpResponse:
        from cdr.web.html import html_answer

        return html_answer(None, token_urlsafe())

    return _answered(request, endpoints.PAGE, show)


def openapi(request: func.HttpRequest, _: Parts) -> func.HttpResponse:
    """What all of them take and answer, for programs."""

    def describe(_: Parameters) -> func.HttpResponse:
        from cdr.web.openapi import openapi

        return answer(openapi())

    return _answered(request, endpoints.OPENAPI, describe)


def trigger_poll(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """200 with what the poll did, 409 while another one holds the lease, 503 if it could not do its work."""

    def act(_: Parameters) -> func.HttpResponse:
        outcome = poll(parts.poller)
        return answer(outcome_json(outcome), 200 if outcome.result == "finished" else 409)

    return _answered(request, endpoints.POLL, act)


def trigger_start_over(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """Lets the next poll begin at ``from``: "beginning", "now", an id or a date. 409 while a poll is at work."""

    def act(given: Parameters) -> func.HttpResponse:
        return answer(asdict(start_over(parts.poller, given.start(parts.settings.three_cx.timezone))))

    return _answered(request, endpoints.START_OVER, act)


def trigger_alerts(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """200 with what the check saw and did, 409 while another one is at work."""

    def act(_: Parameters) -> func.HttpResponse:
        outcome = check(parts.watched_groups, parts.group_check)
        return answer(asdict(outcome), 200 if outcome.result == "finished" else 409)

    return _answered(request, endpoints.ALERTS, act)


def rejected(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """A page of rejected calls, the newest first: ``limit`` (100), ``after`` from the page before, ``reason``,
    ``reveal``."""

    def look(given: Parameters) -> func.HttpResponse:
        reveal, limit = given.flag("reveal"), given.number("limit", 100, LONGEST_PAGE)
        after, reason = given.text("after"), given.text("reason")
        records = parts.seen_records
        page = _in_time(parts, lambda: list_rejected(records, after=after, limit=limit, reason=reason))
        if isinstance(page, Problem):
            return answer({"error": page.error}, 503)
        return answer(rejected_json(page, reveal=reveal))

    return _answered(request, endpoints.REJECTED, look)


def calls(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """What the ledger knows of a call: ``call``, ``row`` or ``extension``, with or without its ``day``; ``reveal``."""

    def look(given: Parameters) -> func.HttpResponse:
        reveal, wanted = given.flag("reveal"), given.wanted()
        found = _in_time(parts, lambda: find_calls(parts.seen_records, wanted, parts.clock.now()))
        if isinstance(found, Problem):
            return answer({"error": found.error}, 503)
        return answer(found_json(found, reveal=reveal))

    return _answered(request, endpoints.CALLS, look)


def _in_time(parts: Parts, look: Callable[[], Found]) -> Found | Problem:
    return SideBySide(parts.times.longest_look.total_seconds()).begin(look).result()


def trigger_replay(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """Replays ``{"all": true}``, ``{"reason": ...}`` or ``{"call": ...}``."""

    def act(given: Parameters) -> func.HttpResponse:
        reason, call = given.replayed()
        return answer(asdict(replay(parts.replayer, reason=reason, call=call)))

    return _answered(request, endpoints.REPLAY, act)


def preview(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """The newest calls as they would be submitted, or why not: ``limit`` (20), ``reveal``."""

    def look(given: Parameters) -> func.HttpResponse:
        reveal, limit = given.flag("reveal"), given.number("limit", 20, LONGEST_PREVIEW)
        previewer = parts.previewer
        found = _in_time(parts, lambda: newest_calls(previewer, limit))
        if isinstance(found, Problem):
            return answer({"error": found.error}, 503)
        return answer(preview_json(found, reveal=reveal))

    return _answered(request, endpoints.PREVIEW, look)


def reconcile(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """Compares the days ``from`` to ``to`` (UTC, both included) with the ledger; ``again`` is a reason."""

    def compare(given: Parameters) -> func.HttpResponse:
        return answer(reconciliation_json(compare_days(parts.reconciler, *given.days(), again=given.reason("again"))))

    return _answered(request, endpoints.RECONCILE, compare)


def trigger_reconcile(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """The same, and queues what is missing, what was changed, and what was not logged for the reason ``again``."""

    def compare(given: Parameters) -> func.HttpResponse:
        days, again = given.days(), given.reason("again")
        return answer(reconciliation_json(compare_days(parts.reconciler, *days, queue_missing=True, again=again)))

    return _answered(request, endpoints.RECONCILE_NOW, compare)


def _answered(
    request: func.HttpRequest, endpoint: Endpoint, act: Callable[[Parameters], func.HttpResponse]
) -> func.HttpResponse:
    """What every function has in common: a reason for each refusal, 503 for what may work later, 500 for a defect."""
    try:
        given = parameters_of(
            request, endpoint.method, endpoint.parameters, others_are_ignored=endpoint.others_are_ignored
        )
        return act(Parameters(given))
    except BadRequest as exc:
        return refusal(exc, endpoint.method)
    except PipelineError as exc:
        return answer(*_failure(exc))
    except Exception as exc:  # noqa: BLE001 - the host would answer with no word of it
        # Not its text, which may hold anything: a number, an address with its signature.
        error = type(exc).__name__
        log.event("request.failed", level=logging.ERROR, path=endpoint.path, error=error, where=_where(exc))
        return answer({"error": f"a defect of the app ({error}); its log has more"}, 500)


def _where(exc: Exception) -> str:
    """In the code: the last steps to it."""
    steps = extract_tb(exc.__traceback__)[-5:]
    return " > ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)


def _failure(exc: PipelineError) -> tuple[Mapping[str, Any], int]:
    match exc:
        case LeaseHeld():
            return {"error": str(exc), **until_json(exc.until)}, 409
        case NoSuchCalls():
            return {"error": str(exc), "rejected": exc.there}, 404
        case DaysForgotten() | NoSuchStart():
            return {"error": str(exc)}, 400
        case InvalidConfig():
            return {"error": "the configuration is not usable", "mistakes": exc.mistakes}, 503
    return {"error": str(exc)}, 503
