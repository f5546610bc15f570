"""Writes calls of the player as a phone system's report has them, and says what is under way of them meanwhile.

The report leaves out routing, rules, listeners, agents who are rung in vain, and what callbacks and clicks are made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

from cdr.intake.folding.leg import Leg
from cdr.intake.folding.xapi_rows import leg_of_report
from cdr.intake.window_order.under_way import UnderWay
from local.phone_system.stage import Row
from local.phone_system.v20 import PlayedCall

When = Literal["leg end", "flow end", "leg start"]
Telling = Literal["current talk", "first talk", "last change"]
"""What a phone system tells of a call that is under way: when it was established, or only when it last changed."""

_HIDDEN = ("inbound_routing", "outbound_rule", "paging_group")
_KINDS = {
    "extension": ("Extension", 0),
    "external_line": ("External", 1),
    "queue": ("Queue", 4),
    "voicemail": ("Voicemail", 5),
    "script": ("Digital Receptionist", 6),
    "ivr": ("Digital Receptionist", 6),
}


@dataclass(frozen=True)
class Reported:
    """A row of the report, and from when on it is there."""

    at: datetime
    leg: Leg
    report: dict[str, Any] = field(default_factory=dict)
    """As JSON has it."""


@dataclass(frozen=True)
class ReportedCall:
    """``rows`` by when they come, the same row more than once where it changes; ``final`` as they are in the end."""

    played: PlayedCall
    rows: list[Reported]
    final: list[Leg]

    def under_way(self, now: datetime, telling: Telling, *, one_id: bool) -> UnderWay | None:
        if not self.played.started_at <= now < self.played.ended_at:
            return None
        begun = [row for row in self.played.rows if row["cdr_started_at"] <= now]
        answers = sorted(at for row in begun if (at := row["cdr_answered_at"]) and at <= now)
        ends = [row["cdr_ended_at"] for row in begun if row["cdr_ended_at"] <= now]
        changes = [row["cdr_started_at"] for row in begun] + answers + ends
        established = answers[-1 if telling == "current talk" else 0] if answers and telling != "last change" else None
        name = self.played.id if one_id else f"{self.played.id}-{answers[-1:]}"
        return UnderWay(name, established, max(changes))


def reported(
    call: PlayedCall, random: Random, when: When = "leg end", *, late: timedelta = timedelta(), part_late: float = 0.2
) -> ReportedCall:
    """:param late: this part of the rows comes up to that much later"""
    flows = dict.fromkeys(row["call_history_id"] for row in call.rows)
    ids = {flow: time_id(_started(call, flow), number) for number, flow in enumerate(flows)}
    final, rows = [], []
    for row in filter(is_told, call.rows):
        report = report_row(row, call, ids)
        leg = leg_of_report(report)
        final.append(leg)
        flow = [each for each in call.rows if each["call_history_id"] == row["call_history_id"]]
        ended = max(each["cdr_ended_at"] for each in flow) if when == "flow end" else row["cdr_ended_at"]
        if when == "leg start":
            rows.append(Reported(row["cdr_started_at"], leg_of_report(_begun(report)), _begun(report)))
        delay = late * random.random() if random.random() < part_late else timedelta()
        rows.append(Reported(ended + delay, leg, report))
    return ReportedCall(call, sorted(rows, key=lambda each: each.at), final)


def time_id(moment: datetime, number: int) -> str:
    """As the phone system makes them: the time in units of 100 ns since 1601, then a counter."""
    ticks = (moment - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    digits = f"{0:08x}{ticks:016x}{number:08x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _started(call: PlayedCall, flow: Any) -> datetime:
    return min(row["cdr_started_at"] for row in call.rows if row["call_history_id"] == flow)  # type: ignore[no-any-return]


def is_told(row: Row) -> bool:
    bells = {row["source_dn_number"], row["destination_dn_number"]} & {"QCB", "MakeCall"}
    in_vain = row["creation_forward_reason"] == "polling" and row["cdr_answered_at"] is None
    polled = in_vain and row["destination_entity_type"] == "extension"
    hidden = row["destination_entity_type"] in _HIDDEN or row["creation_method"].startswith("barge_in")
    return not (bells or polled or hidden)


def report_row(row: Row, call: PlayedCall, ids: dict[Any, str]) -> dict[str, Any]:
    answered_at, started_at, ended_at = row["cdr_answered_at"], row["cdr_started_at"], row["cdr_ended_at"]
    call_type, to_number = _kind(row["destination_entity_type"])
    is_queue, is_answered = call_type == "Queue", answered_at is not None
    talks = is_answered and not is_queue
    rang_until = answered_at if talks else ended_at
    return {
        "MainCallHistoryId": ids[call.rows[0]["call_history_id"]],
        "CallHistoryId": ids[row["call_history_id"]],
        "CdrId": row["cdr_id"],
        "StartTime": started_at.isoformat().replace("+00:00", "Z"),
        "SourceType": _kind(row["source_entity_type"])[1],
        "SourceDn": row["source_dn_number"],
        "SourceCallerId": row["source_participant_phone_number"],
        "DestinationType": to_number,
        "DestinationDn": row["destination_dn_number"],
        "DestinationCallerId": row["destination_participant_phone_number"],
        "RingingDuration": _duration(rang_until - started_at),
        "TalkingDuration": _duration(ended_at - answered_at if talks else timedelta()),
        "Answered": is_answered,
        "Direction": _direction(row, is_queue=is_queue),
        "CallType": call_type,
        "Status": "Waiting" if is_queue else "Answered" if talks else "Unanswered",
        "Reason": _reason(row, call),
    }


def _kind(entity: str) -> tuple[str, int]:
    return ("Ring Group", 2) if entity.startswith("ring_group") else _KINDS.get(entity, ("Extension", 0))


def _direction(row: Row, *, is_queue: bool) -> str:
    outside = [side for side in ("source", "destination") if row[f"{side}_entity_type"] == "external_line"]
    if not outside:
        return "Internal"
    incoming = row[f"{outside[0]}_participant_is_incoming"]
    return ("Inbound Queue" if is_queue else "Inbound") if incoming else "Outbound"


def _reason(row: Row, call: PlayedCall) -> str | None:
    successor = next((each for each in call.rows if each["cdr_id"] == row["continued_in_cdr_id"]), None)
    if successor is not None:
        return f"Somebody ({row['destination_dn_number']}) was replaced by Jones ({successor['destination_dn_number']})"
    return "Ended by Jones" if str(row["termination_reason"]).endswith("terminated") else None


def _begun(report: dict[str, Any]) -> dict[str, Any]:
    return report | {"RingingDuration": "PT0S", "TalkingDuration": "PT0S", "Status": "Unanswered", "Reason": None}


def _duration(span: timedelta) -> str:
    return f"PT{span.total_seconds():.6f}S"


def under_way_of(calls: list[ReportedCall], now: datetime, telling: Telling, *, one_id: bool) -> Iterator[UnderWay]:
    for call in calls:
        if (found := call.under_way(now, telling, one_id=one_id)) is not None:
            yield found
