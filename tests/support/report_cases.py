"""The cases of tests/data/xapi/calls.txt: rows as JSON has them, and the right answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "data" / "xapi" / "calls.txt"
START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
POLICIES = {"last": "last_answered", "first": "first_answered", "longest": "longest", "each": "each"}

Answer = tuple[str, str, str | None, float, float | None, float, str | None]
"""Extension, direction, number, seconds of talk, when it was answered and ended (seconds after START), group."""

_KINDS = {
    "extension": ("Extension", 0),
    "line": ("External", 1),
    "ring_group": ("Ring Group", 2),
    "queue": ("Queue", 4),
    "mailbox": ("Voicemail", 5),
    "ivr": ("Digital Receptionist", 6),
}
_ROW = re.compile(
    r"(?P<at>[\d.]+)\s+(?P<source>\S+) > (?P<destination>\S+)\s+(?P<rang>[\d.]+)(?: (?P<talked>[\d.]+))?"
    r"(?:  (?P<direction>[A-Z]\w+))?(?:  flow (?P<flow>\d))?"
)
_ANSWER = re.compile(
    r"(?P<whose>\w+)\s+(?P<extension>\S+) (?P<direction>\S+) (?P<number>\S+)"
    r"(?:  (?P<talk>[\d.]+)  (?P<answered>[\d.]+))?\s+(?P<ended>[\d.]+)(?:  in (?P<group>\S+))?"
)


@dataclass
class Case:
    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    owners: dict[str, list[Answer]] = field(default_factory=dict)
    unanswered: Answer | None = None


def cases() -> Iterator[Case]:
    for block in FILE.read_text().split("\n== ")[1:]:
        name, *lines = [line for line in block.splitlines() if line]
        case = Case(name)
        for line in lines:
            if row := _ROW.fullmatch(line):
                case.rows.append(make_row(len(case.rows) + 1, **row.groupdict()))
            else:
                _add_answer(case, _ANSWER.fullmatch(line).groupdict())
        yield case


def make_row(
    number: int,
    *,
    at: str,
    source: str,
    destination: str,
    rang: str,
    talked: str | None,
    direction: str | None,
    flow: Any,
) -> dict[str, Any]:
    (from_kind, from_dn, from_number), (to_kind, to_dn, to_number) = _party(source), _party(destination)
    plain = "Inbound" if from_kind == "line" else "Outbound" if to_kind == "line" else "Internal"
    status = "Waiting" if to_kind == "queue" else "Answered" if talked else "Unanswered"
    return {
        "MainCallHistoryId": "flow-1",
        "CallHistoryId": f"flow-{flow or 1}",
        "CdrId": f"row-{number}",
        "SegmentId": number,
        "StartTime": (START + timedelta(seconds=float(at))).isoformat().replace("+00:00", "Z"),
        "SourceType": _KINDS[from_kind][1],
        "SourceDn": from_dn,
        "SourceCallerId": from_number,
        "DestinationType": _KINDS[to_kind][1],
        "DestinationDn": to_dn,
        "DestinationCallerId": to_number,
        "RingingDuration": _duration(float(rang)),
        "TalkingDuration": _duration(float(talked or 0)),
        "Answered": status != "Unanswered",
        "Direction": direction or ("Inbound Queue" if to_kind == "queue" else plain),
        "CallType": _KINDS[to_kind][0],
        "Status": status,
    }


def _party(text: str) -> tuple[str, str, str]:
    """Kind, own number and the number shown."""
    if text.startswith("+"):
        return "line", "10000", text.replace("+anonymous", "anonymous")
    kind, _, number = text.rpartition(":")
    return kind or "extension", number, number


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"PT{f'{hours}H' * bool(hours)}{f'{minutes}M' * bool(minutes)}{round(rest, 3):g}S"


def _add_answer(case: Case, words: dict[str, str | None]) -> None:
    answered = None if words["answered"] is None else float(words["answered"])
    who = (words["extension"], words["direction"], words["number"])
    answer = (*who, float(words["talk"] or 0), answered, float(words["ended"]), words["group"])
    if words["whose"] == "unanswered":
        case.unanswered = answer
        return
    for short, policy in POLICIES.items():
        if words["whose"] in (short, "all"):
            case.owners.setdefault(policy, []).append(answer)
