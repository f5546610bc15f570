"""Reads ``tests/data/v20/calls.txt``: calls of a V20 phone system in a short notation, with their right answers.

A case is a heading, its legs, and what is right of each of its calls::

    == name: what happens
    1  in:a:+19075550142 > queue:700            to 2  call_init         continued_in/polling  0 .04 6
    2  a > extension:201                  by 1        route_to/polling  redirected            .05 6 52 #7
    call 1  0 52  lacks name of 2
    all  201 INBOUND +19075550142  46  6 52  in 700  by 2

A leg: its number, ``@flow`` and ``+main flow`` (else flow 1, joined to none), its sides as ``entity:number:phone``, or
``in``, ``out`` or ``line`` (it does not say) with a participant, who afterwards stands for it; the legs it came from as
``by base,originating``, the one it went on in, creation, end, and the seconds of start, answer and end; ``-`` is NULL.
``#`` is the offload id; lines with one number are copies. A leg that is only named is not there.

A call: its flows, the first one first, start, end, and what it ``lacks``. An entry: policies, extension, direction,
number, seconds of talk, first answer and last end, ``in`` which group, ``by`` which leg. What is not said is not so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.phone_system.v20 import POLICIES, Answer

CASES = Path(__file__).parents[1] / "data" / "v20" / "calls.txt"
POLICY = {"last": "last_answered", "first": "first_answered", "longest": "longest", "each": "each"}
BEGIN = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)


@dataclass
class RightCall:
    """``missing`` has leg and word, ``legs`` the ones that entries were made of."""

    flows: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    missing: frozenset[tuple[str, str]]
    owners: dict[str, list[Answer]] = field(default_factory=lambda: {policy: [] for policy in POLICIES})
    unanswered: Answer | None = None
    legs: set[str | None] = field(default_factory=set)


@dataclass(frozen=True)
class Case:
    name: str
    rows: list[dict[str, Any]]
    calls: list[RightCall]


def cases() -> Iterator[Case]:
    for number, text in enumerate(re.split(r"^== ", CASES.read_text(), flags=re.MULTILINE)[1:], 1):
        heading, *lines = (line for line in text.splitlines() if line.strip())
        yield _Reader(number).case(heading.partition(":")[0], lines)


@dataclass(frozen=True)
class _Reader:
    number: int
    lines: dict[str, str] = field(default_factory=dict)

    def case(self, name: str, lines: list[str]) -> Case:
        rows = [self._row(line) for line in lines if line[0].isdigit()]
        calls: list[RightCall] = []
        for words in (line.split() for line in lines if not line[0].isdigit()):
            if words[0] == "call":
                calls.append(self._call(words))
            else:
                self._add_entry(calls[-1], words)
        return Case(name, rows, calls)

    def _id(self, kind: str, name: str) -> str | None:
        return None if name == "-" else f"{kind}-{self.number:02}-{name.zfill(3)}"

    def _row(self, line: str) -> dict[str, Any]:
        named = re.fullmatch(
            r"(?P<leg>\d+)(@(?P<flow>\d+))?(\+(?P<main>\d+))? +(?P<source>\S+) > (?P<destination>\S+)"
            r"( +by (?P<base>[\d-]+)(,(?P<origin>[\d-]+))?)?( +to (?P<next>[\d-]+))?"
            r" +(?P<method>[^/\s]+)(/(?P<why>\S+))? +(?P<end>[^/\s]+)(/(?P<details>\S+))?"
            r" +(?P<started>\S+) (?P<answered>\S+) (?P<ended>\S+)( +#(?P<sent>\d+))?",
            line.strip(),
        )
        assert named, line
        base = named["base"] or "-"
        return {
            "cdr_id": self._id("leg", named["leg"]),
            "call_history_id": self._id("flow", named["flow"] or "1"),
            "main_call_history_id": self._id("flow", named["main"] or "-"),
            **self._side("source", named["source"]),
            **self._side("destination", named["destination"]),
            "base_cdr_id": self._id("leg", base),
            "originating_cdr_id": self._id("leg", named["origin"] or base),
            "continued_in_cdr_id": self._id("leg", named["next"] or "-"),
            "creation_method": named["method"],
            "creation_forward_reason": named["why"] or "none",
            "termination_reason": None if named["end"] == "-" else named["end"],
            "termination_reason_details": named["details"],
            "cdr_started_at": _moment(named["started"]),
            "cdr_answered_at": _moment(named["answered"]),
            "cdr_ended_at": _moment(named["ended"]),
            "offload_id": named["sent"],
        }

    def _side(self, side: str, text: str) -> dict[str, Any]:
        text = self.lines.get(text, text)
        entity, number, phone = (*text.split(":"), "", "")[:3]
        is_line = entity in ("in", "out", "line")
        if is_line:
            self.lines[number] = text
        return {
            f"{side}_entity_type": "external_line" if is_line else entity,
            f"{side}_dn_number": "10000" if is_line else number,
            f"{side}_dn_type": "extension",  # as a mailbox has it, too
            f"{side}_participant_id": self._id("party", number) if is_line else None,
            f"{side}_participant_phone_number": phone,
            f"{side}_participant_is_incoming": {"in": True, "line": None}.get(entity, False),
        }

    def _call(self, words: list[str]) -> RightCall:
        _, flows, started_at, ended_at, *lacks = words
        missing = frozenset(zip((self._id("leg", leg) for leg in lacks[3::3]), lacks[1::3], strict=True))
        ids = tuple(self._id("flow", flow) for flow in flows.split(","))
        return RightCall(ids, _moment(started_at), _moment(ended_at), missing)  # type: ignore[arg-type]

    def _add_entry(self, call: RightCall, words: list[str]) -> None:
        policies, extension, direction, number, *rest = words
        if policies == "unanswered":
            rest = ["0", "-", *rest]
        talk, answered_at, ended_at, *further = rest
        said = dict(zip(further[::2], further[1::2], strict=True))
        times = timedelta(seconds=float(talk)), _moment(answered_at), _moment(ended_at)
        entry = Answer(extension, direction, None if number == "-" else number, *times, said.get("in"))  # type: ignore[arg-type]
        if policies == "unanswered":
            call.unanswered = entry
            return
        call.legs.add(self._id("leg", said["by"]))
        for policy in POLICIES if policies == "all" else [POLICY[word] for word in policies.split(",")]:
            call.owners[policy].append(entry)


def _moment(seconds: str) -> datetime | None:
    return None if seconds == "-" else BEGIN + timedelta(seconds=float(seconds))
