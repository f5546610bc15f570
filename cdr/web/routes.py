"""What the HTTP functions answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeVar

from cdr.calls.call import Reason
from cdr.groups.check import check
from cdr.intake.poll import poll
from cdr.intake.start_over import start_over
from cdr.operations.find_call import Wanted, find_calls
from cdr.operations.preview import preview as newest_calls
from cdr.operations.reconcile import reconcile as compare_days
from cdr.operations.rejected import list_rejected
from cdr.operations.replay import replay
from cdr.operations.side_by_side import Problem, SideBySide
from cdr.operations.status import status as overall_status
from cdr.operations.verdict import verdict
from cdr.web import endpoints
from cdr.web.endpoints import LONGEST_PAGE, LONGEST_PREVIEW, Endpoint
from cdr.web.present import (
    found_json,
    outcome_json,
    preview_json,
    reconciliation_json,
    rejected_json,
    status_json,
    until_json,
)
from cdr.web.requests import BadRequest, answer, check_request, refusal, wants_html
from shared import log
from shared.config.phone_system import start_in, start_moment
from shared.errors import DaysForgotten, InvalidConfig, LeaseHeld, NoSuchCalls, NoSuchStart, PipelineError

if TYPE_CHECKING:
    import azure.functions as func

    from cdr.intake.ports import StartFrom
    from cdr.wiring.parts import Parts

LONGEST_RANGE = timedelta(days=31)
LONGEST_TEXT = 1_000
"""Nothing in the ledger has a longer name."""
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""Beyond these no call ended, and databases have no dates of their own any more."""

Found = TypeVar("Found")

Parameters = Mapping[str, Any]
"""Of the query and the JSON body together."""


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
        overview = parts.overview
        found, now = overall_status(overview), overview.clock.now()
        judged = verdict(found, now, overview.poll_interval)
        return answer(status_json(found, judged), headers={"Vary": "Accept"})

    def show(_: Parameters) -> func.HttpResponse:
        from cdr.web.html import html_answer
        from cdr.web.page import page_of, page_of_mistakes

        try:
            overview = parts.overview
        except InvalidConfig as exc:
            return html_answer(page_of_mistakes(exc.mistakes), token_urlsafe(), 503)
        found, now = overall_status(overview), overview.clock.now()
        judged = verdict(found, now, overview.poll_interval)
        return html_answer(page_of(found, judged, now), token_urlsafe())

    return _answered(request, endpoints.STATUS, show if wants_html(request) else look)


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
        return answer(asdict(start_over(parts.poller, _start(given, parts.settings.three_cx.timezone))))

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
        reveal, limit = _flag(given, "reveal"), _number(given, "limit", 100, LONGEST_PAGE)
        after, reason = _text(given, "after"), _text(given, "reason")
        records = parts.seen_records
        page = _in_time(parts, lambda: list_rejected(records, after=after, limit=limit, reason=reason))
        if isinstance(page, Problem):
            return answer({"error": page.error}, 503)
        return answer(rejected_json(page, reveal=reveal))

    return _answered(request, endpoints.REJECTED, look)


def calls(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """What the ledger knows of a call: ``call``, ``row`` or ``extension``, with or without its ``day``; ``reveal``."""

    def look(given: Parameters) -> func.HttpResponse:
        reveal, wanted = _flag(given, "reveal"), _wanted(given)
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
        chosen = [name for name in ("all", "reason", "call") if given.get(name)]
        if len(chosen) != 1 or (chosen == ["all"] and not _flag(given, "all")):
            raise BadRequest(400, 'say which calls: {"all": true}, {"reason": "..."} or {"call": "..."}')
        return answer(asdict(replay(parts.replayer, reason=_text(given, "reason"), call=_text(given, "call"))))

    return _answered(request, endpoints.REPLAY, act)


def preview(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """The newest calls as they would be submitted, or why not: ``limit`` (20), ``reveal``."""

    def look(given: Parameters) -> func.HttpResponse:
        reveal, limit = _flag(given, "reveal"), _number(given, "limit", 20, LONGEST_PREVIEW)
        previewer = parts.previewer
        found = _in_time(parts, lambda: newest_calls(previewer, limit))
        if isinstance(found, Problem):
            return answer({"error": found.error}, 503)
        return answer(preview_json(found, reveal=reveal))

    return _answered(request, endpoints.PREVIEW, look)


def reconcile(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """Compares the days ``from`` to ``to`` (UTC, both included) with the ledger; ``again`` is a reason."""

    def compare(given: Parameters) -> func.HttpResponse:
        return answer(reconciliation_json(compare_days(parts.reconciler, *_days(given), again=_reason(given))))

    return _answered(request, endpoints.RECONCILE, compare)


def trigger_reconcile(request: func.HttpRequest, parts: Parts) -> func.HttpResponse:
    """The same, and queues what is missing, what was changed, and what was not logged for the reason ``again``."""

    def compare(given: Parameters) -> func.HttpResponse:
        days, again = _days(given), _reason(given)
        return answer(reconciliation_json(compare_days(parts.reconciler, *days, queue_missing=True, again=again)))

    return _answered(request, endpoints.RECONCILE_NOW, compare)


def _answered(
    request: func.HttpRequest, endpoint: Endpoint, act: Callable[[Parameters], func.HttpResponse]
) -> func.HttpResponse:
    """What every function has in common: a reason for each refusal, 503 for what may work later, 500 for a defect."""
    try:
        given = check_request(
            request, endpoint.method, endpoint.parameters, others_are_ignored=endpoint.others_are_ignored
        )
        return act(given)
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


def _start(given: Parameters, zone: str) -> StartFrom:
    value = given.get("from")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRequest(400, "from must be beginning, now, an id (rows after it) or a date such as 2026-11-01")
    try:
        start = start_in(str(value))
    except ValueError as exc:
        raise BadRequest(400, f"from {exc}") from exc
    return start_moment(start, zone) if isinstance(start, datetime) else start


def _wanted(given: Parameters) -> Wanted:
    chosen = {
        name: _short(name, text) for name in ("call", "row", "extension") if (text := str(given.get(name, "")).strip())
    }
    if len(chosen) != 1:
        raise BadRequest(400, "say which calls: call, row or extension, and if you know it the day")
    day = _day(given, "day") if "day" in given else None
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise BadRequest(400, f"day must be within {FIRST_DAY} and {LAST_DAY}")
    return Wanted(**chosen, day=day)


def _days(given: Parameters) -> tuple[date, date]:
    first, last = (_day(given, name) for name in ("from", "to"))
    if first < FIRST_DAY or last > LAST_DAY:
        raise BadRequest(400, f"from and to must be within {FIRST_DAY} and {LAST_DAY}")
    if last < first:
        raise BadRequest(400, "from is after to")
    if last - first >= LONGEST_RANGE:
        raise BadRequest(400, f"at most {LONGEST_RANGE.days} days at a time")
    return first, last


def _day(given: Parameters, name: str) -> date:
    try:
        return date.fromisoformat(str(given[name]))
    except (KeyError, ValueError):
        raise BadRequest(400, f"{name} must be a day such as 2026-11-01") from None


def _reason(given: Parameters) -> str | None:
    reason = _text(given, "again")
    if reason is not None and reason not in set(Reason):
        raise BadRequest(400, f"again must be a reason: {', '.join(sorted(Reason))}")
    return reason


def _number(given: Parameters, name: str, default: int, largest: int) -> int:
    text = str(given.get(name, default))
    if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= largest):
        raise BadRequest(400, f"{name} must be a number from 1 to {largest}")
    return int(text)


def _flag(given: Parameters, name: str) -> bool:
    text = str(given.get(name, "false")).lower()
    if text not in ("true", "false"):
        raise BadRequest(400, f"{name} must be true or false")
    return text == "true"


def _text(given: Parameters, name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(400, f"{name} must be text")
    return None if value is None else _short(name, value)


def _short(name: str, text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise BadRequest(400, f"{name} has {len(text)} characters, at most {LONGEST_TEXT} are taken")
    return text
