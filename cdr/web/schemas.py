"""The JSON that requests and answers are made of, as JSON Schema: what a use case answers comes from its dataclass."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cdr.calls.call import Reason, State
from cdr.groups.check import GroupsOutcome
from cdr.intake.poll import PollOutcome
from cdr.intake.start_over import StartedOver
from cdr.operations.reconcile import Reconciliation
from cdr.operations.replay import ReplayOutcome
from cdr.operations.verdict import Flow, Part

Schema = dict[str, Any]


def thing(optional: Collection[str] = (), /, **members: Schema) -> Schema:
    """An object with these members and no others."""
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


def table_of(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def one_of(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def word_of(words: Collection[str]) -> Schema:
    return {"type": "string", "enum": sorted(words)}


def maybe(schema: Schema) -> Schema:
    return one_of(schema, {"type": "null"})


TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
DAY: Schema = {"type": "string", "format": "date"}
MAYBE_TIME = maybe(TIME)
ANYTHING: Schema = {}
ID = one_of(WHOLE, TEXT)

ERROR = thing(
    ("mistakes", "rejected", "until"),
    error=TEXT,
    mistakes=list_of(TEXT),
    rejected=table_of(WHOLE),
    until=TIME,
)
"""``mistakes`` are those of the configuration, ``rejected`` what could be replayed instead, by reason."""
UNKNOWN = thing(error=TEXT)
"""In the place of what cannot be read."""


def or_unknown(schema: Schema) -> Schema:
    return one_of(schema, UNKNOWN)


HEALTH = thing(
    ("configuration_mistakes",),
    status=word_of(("ok", "unavailable")),
    parts=table_of(thing(state=word_of(("ok", "misconfigured", "unavailable")), duration_ms=WHOLE)),
    configuration_mistakes=WHOLE,
)

POLL = thing(at=TIME, result=TEXT, queued=WHOLE, duration_ms=WHOLE, error=maybe(TEXT))
PHONE_BOOK = thing(
    source=TEXT,
    read_at=MAYBE_TIME,
    age_seconds=maybe(WHOLE),
    failed_at=MAYBE_TIME,
    error=maybe(TEXT),
    problems=WHOLE,
    first_problems=list_of(TEXT),
)
GROUP = thing(
    ("since", "members", "available", "alert_id", "last_check", "resolved_by_hand"),
    id=TEXT,
    name=TEXT,
    state=TEXT,
    since=MAYBE_TIME,
    members=maybe(WHOLE),
    available=maybe(WHOLE),
    alert_id=maybe(TEXT),
    last_check=MAYBE_TIME,
    resolved_by_hand=TEXT,
)
HOUR = thing(hour=TIME, submitted=WHOLE, skipped=WHOLE, rejected=WHOLE)
COUNTED = tuple(state.value for state in State)
STATUS = thing(
    ("open_rows", "missing_ids"),
    flow=thing(state=word_of([*Flow]), part=maybe(word_of([*Part])), since=MAYBE_TIME, why=TEXT),
    version=TEXT,
    uptime_seconds=WHOLE,
    source=or_unknown(TEXT),
    last_processed_cdr_id=or_unknown(maybe(ID)),
    open_rows=WHOLE,
    missing_ids=WHOLE,
    last_poll=or_unknown(maybe(POLL)),
    recent_polls=or_unknown(list_of(POLL)),
    source_watch=or_unknown(list_of(thing(found=TEXT, detail=TEXT, since=TIME))),
    lag=or_unknown(thing(newest_cdr_id=maybe(ID), ids_behind=WHOLE, seconds_behind=WHOLE)),
    queue=or_unknown(thing(waiting=WHOLE, poison=WHOLE)),
    api=or_unknown(word_of(("ok",))),
    ledger=or_unknown(thing(COUNTED, complete=FLAG, **dict.fromkeys(COUNTED, WHOLE))),
    rejected_by_reason=or_unknown(table_of(WHOLE)),
    hours=or_unknown(list_of(HOUR)),
    extensions=or_unknown(thing(in_file=WHOLE, elsewhere=WHOLE, phone_book=maybe(PHONE_BOOK))),
    business_hours=thing(open=FLAG, changes_at=maybe(TEXT), timezone=TEXT),
    monitored_groups=or_unknown(list_of(GROUP)),
)

ROW = one_of(table_of(ANYTHING), TEXT)
"""The phone system's record of the call; of a message that is none of ours its text."""
REJECTED = thing(
    calls=list_of(
        thing(call=TEXT, reason=TEXT, detail=TEXT, rejected_at=TIME, replayed_at=MAYBE_TIME, row=ROW),
    ),
    next=maybe(TEXT),
    complete=FLAG,
)
CALLS = thing(
    calls=list_of(
        thing(
            call=TEXT,
            day=TEXT,
            row_id=maybe(TEXT),
            state=TEXT,
            reason=maybe(TEXT),
            detail=maybe(TEXT),
            extension=maybe(TEXT),
            attempts=WHOLE,
            first_claimed_at=MAYBE_TIME,
            claimed_until=MAYBE_TIME,
            settled_at=MAYBE_TIME,
            replayed_at=MAYBE_TIME,
            entry_id=maybe(TEXT),
            last_error=maybe(TEXT),
            row=maybe(ROW),
        )
    ),
    days=list_of(TEXT),
    complete=FLAG,
)
PREVIEW = thing(
    source=TEXT,
    phone_book=maybe(thing(source=TEXT, read_at=MAYBE_TIME, error=maybe(TEXT))),
    calls=list_of(
        thing(
            id=TEXT,
            ended_at=maybe(TEXT),
            outcome=TEXT,
            reason=maybe(word_of([*Reason])),
            detail=TEXT,
            field=maybe(TEXT),
            call=maybe(table_of(ANYTHING)),
            because=table_of(TEXT),
        )
    ),
)


def answer_of(outcome: type, without: Collection[str] = (), /, **others: Schema) -> Schema:
    """What comes of a use case's dataclass; ``others`` are members that are told in another way."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(outcome).json_schema(mode="serialization")
    defined = schema.pop("$defs", {})
    members = {name: _inlined(member, defined) for name, member in schema["properties"].items()}
    return thing((), **{name: member for name, member in members.items() if name not in without} | others)


def _inlined(schema: Any, defined: Schema) -> Any:
    if isinstance(schema, list):
        return [_inlined(each, defined) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defined[schema["$ref"].rpartition("/")[2]], defined)
    return {name: _inlined(each, defined) for name, each in schema.items() if name not in ("title", "description")}


def polled() -> Schema:
    return answer_of(PollOutcome, ("held_until",)) | {"additionalProperties": TIME}


def reconciled() -> Schema:
    ids = {name: list_of(ID) for name in Reconciliation.__annotations__ if name.endswith("_ids")}
    return answer_of(Reconciliation, **ids)


def groups_checked() -> Schema:
    return answer_of(GroupsOutcome)


def replayed() -> Schema:
    return answer_of(ReplayOutcome)


def started_over() -> Schema:
    return answer_of(StartedOver)
