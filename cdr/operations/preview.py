"""Use case: what would become of the newest calls? Nothing is queued, claimed or submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cdr.calls.call import Call, CallRecord, NotLogged, Reason
from cdr.calls.rules import CallRules, to_call
from cdr.intake.folding.fold import OwnerPolicy
from cdr.intake.ports import CallSource
from cdr.operations.explain import Because, explain
from cdr.submission.email_addresses import Known
from shared.errors import InvalidRow, PermanentError, PhoneBookUnread

Outcome = Literal["submitted", "skipped", "rejected", "waits"]


@dataclass(frozen=True, slots=True)
class Previewer:
    """What is looked at, and by which rules. ``owner`` is what ``calls.owner`` says."""

    source: CallSource
    rules: CallRules
    known: Callable[[], Known]
    owner: OwnerPolicy


@dataclass(frozen=True, slots=True)
class Previewed:
    """What would become of a call. ``call`` None: it would not be submitted, for ``reason``.

    ``detail`` says it in full, and ``field`` which column cannot make a call.
    """

    record: CallRecord
    outcome: Outcome
    because: Because
    call: Call | None = None
    reason: Reason | None = None
    detail: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """``calls`` are the newest first."""

    source: str
    known: Known
    calls: Sequence[Previewed]


def preview(previewer: Previewer, limit: int) -> Preview:
    """:raises SourceUnavailable, SourceMisconfigured: the phone system cannot be read"""
    with previewer.source.connect() as reader:
        records = reader.newest(limit)
    known = previewer.known()
    rules = known.added_to(previewer.rules)
    calls = [_previewed(record, rules, known, previewer.owner) for record in records]
    return Preview(previewer.source.name, known, _without_doubles(calls))


def _previewed(record: CallRecord, rules: CallRules, known: Known, owner: OwnerPolicy) -> Previewed:
    found, because = None, explain(record, None, rules, known, owner)
    try:
        found = to_call(record, rules)
    except PhoneBookUnread as exc:
        return Previewed(record, "waits", because, reason=Reason.UNMAPPED_EXTENSION, detail=str(exc))
    except PermanentError as exc:
        column = exc.field if isinstance(exc, InvalidRow) else None
        return Previewed(record, "rejected", because, reason=Reason(exc.reason), detail=str(exc), field=column)
    if isinstance(found, NotLogged):
        return Previewed(record, "skipped", because, reason=found.reason, detail=found.reason.sentence)
    return Previewed(record, "submitted", explain(record, found, rules, known, owner), found)


def _without_doubles(calls: Sequence[Previewed]) -> Sequence[Previewed]:
    """Of several with one pbxCallId the oldest is submitted."""
    submitted: dict[str, str] = {}
    judged: list[Previewed] = []
    for each in reversed(calls):
        first = submitted.setdefault(each.call.pbx_call_id, each.record.id) if each.call else each.record.id
        judged.append(each if first == each.record.id else _doubled(each, first))
    return judged[::-1]


def _doubled(each: Previewed, first: str) -> Previewed:
    detail = f"row {first} has the same pbxCallId (calls.pbx_call_id)"
    return replace(each, outcome="skipped", call=None, reason=Reason.SAME_PBX_CALL_ID, detail=detail)
