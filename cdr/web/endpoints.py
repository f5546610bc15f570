"""The HTTP functions: where each stands, what it takes, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cdr.calls.call import Reason
from cdr.web import schemas
from cdr.web.schemas import DAY, ERROR, FLAG, ID, TEXT, Schema, word_of

LONGEST_PAGE = 500
LONGEST_PREVIEW = 200

Form = Literal["json", "html"]


@dataclass(frozen=True, slots=True)
class Parameter:
    schema: Schema
    says: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``answer`` is the schema of what it answers in JSON; ``refusals`` are statuses beside those that each function
    has. ``others_are_ignored``: so are unknown parameters, which elsewhere are mistakes. Who asks without a key gets no
    answer, unless ``is_open``."""

    path: str
    method: str
    says: str
    answer: Callable[[], Schema]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    refusals: Mapping[int, str] = field(default_factory=dict)
    failure: Schema = field(default_factory=lambda: ERROR)
    is_open: bool = False
    forms: Sequence[Form] = ("json",)
    others_are_ignored: bool = False


def _limit(largest: int, usual: int) -> Parameter:
    return Parameter({"type": "integer", "minimum": 1, "maximum": largest, "default": usual}, "how many at the most")


_REVEAL = Parameter({**FLAG, "default": False}, "whether phone numbers are shown")
_DAYS = {
    "from": Parameter(DAY, "the first day (UTC)", is_required=True),
    "to": Parameter(DAY, "the last day (UTC), at most 31 days in all", is_required=True),
    "again": Parameter(word_of([*Reason]), "calls to be judged once more: those that were not logged for this reason"),
}
_HELD = {409: "another one is at work"}

HEALTH = Endpoint(
    "health",
    "GET",
    "whether every part is usable; states and times only",
    lambda: schemas.HEALTH,
    failure=schemas.HEALTH,
    is_open=True,
    others_are_ignored=True,
)
PAGE = Endpoint(
    "page", "GET", "the page for people, before they have given the key", lambda: TEXT, is_open=True, forms=("html",)
)
STATUS = Endpoint(
    "status", "GET", "how far along it is; for a browser a page", lambda: schemas.STATUS, forms=("json", "html")
)
OPENAPI = Endpoint("openapi.json", "GET", "this document", lambda: schemas.table_of(schemas.ANYTHING))
POLL = Endpoint("trigger/poll", "POST", "polls now", schemas.polled, refusals=_HELD)
START_OVER = Endpoint(
    "trigger/start-over",
    "POST",
    "lets the next poll begin elsewhere",
    schemas.started_over,
    {"from": Parameter(ID, "beginning, now, an id (rows after it), or a date such as 2026-11-01", is_required=True)},
    _HELD,
)
ALERTS = Endpoint("trigger/alerts", "POST", "checks the call groups now", schemas.groups_checked, refusals=_HELD)
REJECTED = Endpoint(
    "rejected",
    "GET",
    "rejected calls, the newest first",
    lambda: schemas.REJECTED,
    {
        "limit": _limit(LONGEST_PAGE, 100),
        "after": Parameter(TEXT, "where the page begins: next of the page before"),
        "reason": Parameter(TEXT, "only those for a reason"),
        "reveal": _REVEAL,
    },
)
CALLS = Endpoint(
    "calls",
    "GET",
    "what the ledger knows of a call: by call, row or extension, exactly one of them",
    lambda: schemas.CALLS,
    {
        "call": Parameter(TEXT, "its name in the ledger"),
        "row": Parameter(TEXT, "the id of its row"),
        "extension": Parameter(TEXT, "the extension of its owner"),
        "day": Parameter(DAY, "the day of its end (UTC); of a call of 3CX V20 that of its beginning"),
        "reveal": _REVEAL,
    },
)
REPLAY = Endpoint(
    "trigger/replay",
    "POST",
    "sends rejected calls through once more: all, those for a reason, or one",
    schemas.replayed,
    {
        "all": Parameter(FLAG, "all of them"),
        "reason": Parameter(TEXT, "those for this reason"),
        "call": Parameter(TEXT, "the one of this name"),
    },
    {404: "there are no such calls"},
)
PREVIEW = Endpoint(
    "preview",
    "GET",
    "the newest calls as they would be submitted, or why not",
    lambda: schemas.PREVIEW,
    {"limit": _limit(LONGEST_PREVIEW, 20), "reveal": _REVEAL},
)
RECONCILE = Endpoint("reconcile", "GET", "compares days with the ledger", schemas.reconciled, _DAYS)
RECONCILE_NOW = Endpoint("trigger/reconcile", "POST", "the same, and queues what is missing", schemas.reconciled, _DAYS)

ENDPOINTS: Mapping[str, Endpoint] = {
    "health": HEALTH,
    "page": PAGE,
    "status": STATUS,
    "openapi": OPENAPI,
    "trigger_poll": POLL,
    "trigger_start_over": START_OVER,
    "trigger_alerts": ALERTS,
    "rejected": REJECTED,
    "calls": CALLS,
    "trigger_replay": REPLAY,
    "preview": PREVIEW,
    "reconcile": RECONCILE,
    "trigger_reconcile": RECONCILE_NOW,
}
"""By the names of the functions."""
