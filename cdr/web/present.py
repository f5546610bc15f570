"""What people get to see of the use cases' answers: JSON, with phone numbers masked unless they are to be revealed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from cdr.calls.body import body_of
from cdr.calls.call import Value
from cdr.calls.message import Letter, Message
from cdr.intake.poll import PollOutcome
from cdr.intake.poll_history import PollReport
from cdr.operations.find_call import FoundCalls
from cdr.operations.ports import KeptCall, LedgerCounts, RejectedRecord
from cdr.operations.preview import Preview, Previewed
from cdr.operations.reconcile import Reconciliation
from cdr.operations.rejected import RejectedPage
from cdr.operations.side_by_side import Problem
from cdr.operations.status import ExtensionsNow, GroupNow, HoursNow, Lagging, Status
from cdr.operations.verdict import Verdict
from cdr.operations.watch_memory import Finding
from shared import log

Json = dict[str, Any]
Found = TypeVar("Found")
Shown = TypeVar("Shown")

NUMBERS = ("caller_number", "dest_number")
NEVER_NUMBERS = ("id", "call_id", "started_at", "ended_at")
"""Digits in a record that give nobody away, and look like phone numbers."""

SHOWN_PROBLEMS = 20


def status_json(status: Status, found: Verdict) -> Json:
    return {
        "flow": {"state": found.flow, "part": found.part, "since": _seconds(found.since), "why": found.why},
        "version": status.version,
        "uptime_seconds": status.uptime_s,
        "source": _shown(status.source, str),
        **_progress(status),
        "last_poll": _shown(status.last_poll, lambda poll: _poll(poll) if poll else None),
        "recent_polls": _shown(status.polls, lambda history: [_poll(poll) for poll in history.polls]),
        "source_watch": _shown(status.source_watch, lambda findings: [_finding(each) for each in findings]),
        "lag": _shown(status.lag, _lag),
        "queue": _shown(status.queue, asdict),
        "api": _shown(status.api, str),
        **_ledger(status.ledger),
        "extensions": _shown(status.extensions, _extensions),
        "business_hours": _hours(status.hours),
        "monitored_groups": _shown(status.groups, lambda groups: [_group(group) for group in groups]),
    }


def _shown(found: Found | Problem, show: Callable[[Found], Shown]) -> Shown | Json:
    return _problem(found) if isinstance(found, Problem) else show(found)


def _problem(problem: Problem) -> Json:
    return {"error": problem.error}


def _progress(status: Status) -> Json:
    progress = status.progress
    if isinstance(progress, Problem):
        return {"last_processed_cdr_id": _problem(progress)}
    return {
        "last_processed_cdr_id": progress.position,
        "open_rows": progress.open_calls,
        "missing_ids": progress.missing_ids,
    }


def _poll(report: PollReport) -> Json:
    return {
        "at": _seconds(report.at),
        "result": report.result,
        "queued": report.queued,
        "duration_ms": report.duration_ms,
        "error": report.error,
    }


def _finding(found: Finding) -> Json:
    return {"found": found.kind.value, "detail": found.detail, "since": _seconds(found.since)}


def _lag(lagging: Lagging) -> Json:
    return {
        "newest_cdr_id": lagging.lag.newest,
        "ids_behind": lagging.lag.behind,
        "seconds_behind": lagging.seconds,
    }


def _ledger(counts: LedgerCounts | Problem) -> Json:
    if isinstance(counts, Problem):
        return dict.fromkeys(("ledger", "rejected_by_reason", "hours"), _problem(counts))
    return {
        "ledger": {**{state.value: n for state, n in counts.states.items()}, "complete": counts.complete},
        "rejected_by_reason": dict(counts.rejected),
        "hours": [{**asdict(each), "hour": _seconds(each.hour)} for each in counts.hours],
    }


def _extensions(extensions: ExtensionsNow) -> Json:
    counts, book = {"in_file": extensions.in_file, "elsewhere": extensions.elsewhere}, extensions.phone_book
    if book is None:
        return {**counts, "phone_book": None}
    problems = [f"extension {extension} {problem}" for extension, problem in book.book.problems.items()]
    shown = {
        "source": book.origin,
        "read_at": _seconds(book.read_at),
        "age_seconds": extensions.age_s,
        "failed_at": _seconds(book.failed_at),
        "error": book.failure,
        "problems": len(problems),
        "first_problems": problems[:SHOWN_PROBLEMS],
    }
    return {**counts, "phone_book": shown}


def _hours(hours: HoursNow) -> Json:
    changes = hours.changes_at.isoformat(timespec="minutes") if hours.changes_at else None
    return {"open": hours.open, "changes_at": changes, "timezone": hours.timezone}


def _group(group: GroupNow) -> Json:
    named, view = {"id": group.id, "name": group.name}, group.view
    if view is None:
        return {**named, "state": "not checked: call_groups.members.source is none"}
    if view.state is None:
        return {**named, "state": "not checked yet"}
    return {
        **named,
        "state": view.state.value,
        "since": _seconds(view.since),
        "members": view.members,
        "available": view.available,
        "alert_id": view.alert_id,
        "last_check": _seconds(view.last_check),
        **({"resolved_by_hand": view.resolved_by_hand.value} if view.resolved_by_hand else {}),
    }


def outcome_json(outcome: PollOutcome) -> Json:
    """Until when another poll is at work is said only where one is."""
    found = asdict(outcome)
    until = found.pop("held_until")
    return found | until_json(until)


def until_json(moment: datetime | None) -> Json:
    return {"until": _seconds(moment)} if moment else {}


def reconciliation_json(found: Reconciliation) -> Json:
    return {
        name: [_as_id(text) for text in value] if name.endswith("_ids") else value
        for name, value in asdict(found).items()
    }


def _as_id(text: str) -> int | str:
    """A whole number as such, as it stands in the phone system's table."""
    return int(text) if re.fullmatch("-?[0-9]{1,40}", text) else text


def rejected_json(page: RejectedPage, *, reveal: bool) -> Json:
    calls = [_rejected(entry, reveal=reveal) for entry in page.calls]
    return {"calls": calls, "next": page.next, "complete": page.complete}


def _rejected(entry: RejectedRecord, *, reveal: bool) -> Json:
    call = entry.call
    return {
        "call": call.key.name,
        "reason": call.reason,
        "detail": call.detail if reveal else log.mask_numbers(call.detail),
        "rejected_at": _seconds(call.settled_at),
        "replayed_at": _seconds(call.replayed_at),
        "row": _row(entry.letter, reveal=reveal),
    }


def found_json(found: FoundCalls, *, reveal: bool) -> Json:
    calls = [_kept(each, reveal=reveal) for each in found.calls]
    return {"calls": calls, "days": found.days, "complete": found.complete}


def _kept(kept: KeptCall, *, reveal: bool) -> Json:
    def shown(text: str | None) -> str | None:
        return text if reveal or text is None else log.mask_numbers(text)

    return {
        "call": kept.key.name,
        "day": kept.key.day,
        "row_id": kept.record_id,
        "state": kept.state,
        "reason": kept.reason or None,
        "detail": shown(kept.detail) or None,
        "extension": shown(kept.extension),
        "attempts": kept.attempts,
        "first_claimed_at": _seconds(kept.first_claimed_at),
        "claimed_until": _seconds(kept.claimed_until),
        "settled_at": _seconds(kept.settled_at),
        "replayed_at": _seconds(kept.replayed_at),
        "entry_id": kept.entry_id,
        "last_error": shown(kept.last_error),
        "row": _row(kept.letter, reveal=reveal) if kept.letter else None,
    }


def preview_json(found: Preview, *, reveal: bool) -> Json:
    kept = found.known.kept
    book = {"source": kept.origin, "read_at": _seconds(kept.read_at), "error": kept.failure} if kept else None
    calls = [_previewed(each, reveal=reveal) for each in found.calls]
    return {"source": found.source, "phone_book": book, "calls": calls}


def _previewed(each: Previewed, *, reveal: bool) -> Json:
    body = body_of(each.call) if each.call else None
    if body and not reveal:
        body["phoneNumber"] = log.mask_number(body["phoneNumber"])
    because = {name: words for name, words in asdict(each.because).items() if words}
    return {
        "id": each.record.id,
        "ended_at": each.record.values.get("ended_at"),
        "outcome": each.outcome,
        "reason": each.reason.value if each.reason else None,
        "detail": each.detail if reveal else log.mask_numbers(each.detail),
        "field": each.field,
        "call": body,
        "because": because if reveal else {name: log.mask_numbers(words) for name, words in because.items()},
    }


def _row(letter: Letter | None, *, reveal: bool) -> Mapping[str, Value] | str:
    """The call detail record; of a message that is none of ours its text."""
    if not isinstance(letter, Message):
        text = letter.to_text() if letter else ""
        return text if reveal else log.mask_numbers(text)
    values = letter.records[0].values
    return dict(values) if reveal else {name: _masked(name, value) for name, value in values.items()}


def _masked(column: str, value: Value) -> Value:
    if column in NUMBERS:
        return log.mask_number(str(value)) if value else value
    return log.mask_numbers(value) if isinstance(value, str) and column not in NEVER_NUMBERS else value


def _seconds(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
