"""Reads ``tests/data/v18_calls.yml``: calls of 3CX V16 to V20 U5, with their right answers in a short notation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from cdr.intake.folding.fold import Entry, OwnerPolicy

PROJECT = Path(__file__).parents[2]
CASES: list[dict[str, Any]] = yaml.safe_load((PROJECT / "tests/data/v18_calls.yml").read_text("utf-8"))
POLICIES: tuple[OwnerPolicy, ...] = ("last_answered", "first_answered", "longest", "each")

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
NUMBERS = {"A": "+19075550141", "B": "+19075550142", "X": ""}
NAMES = {number: name for name, number in NUMBERS.items()}
DN_TYPES = {"": 0, "line": 1, "g": 2, "q": 4, "v": 5, "m": 6, "!": 12, "^": 13}

Row = dict[str, Any]


def _party(side: str, name: str) -> Row:
    """A party's columns; its ids are the same wherever the case names it."""
    mark, number = name.rstrip("0123456789ABX"), NUMBERS.get(name[-1])
    dn = name.removeprefix(mark) if number is None else "" if mark else "10000"
    if number is None:
        number = "" if mark == "!" else f"Ext.{dn}"
    kind = DN_TYPES[mark or ("line" if name in NUMBERS else "")]
    values = {
        "part_id": int.from_bytes(name.encode()),
        "info_id": 7,
        "dn_type": kind,
        "dn": dn,
        "caller_number": number,
    }
    return {f"{side}_{key}": value for key, value in values.items()}


def rows_of(segments: Sequence[str], call_id: int = 17) -> list[Row]:
    """Rows as PostgreSQL yields them. The later a segment, the lower its id."""
    rows: list[Row] = []
    for order, segment in enumerate(segments, 1):
        source, mark, destination, span, action = segment.split()
        begins, ends = (START + timedelta(seconds=float(each)) for each in span.split("-"))
        rows.append(
            {
                "call_id": call_id,
                "call_started_at": START,
                "call_ended_at": START + timedelta(minutes=10),
                "seg_id": call_id * 100 - order,
                "seg_order": order,
                "seg_type": 2 if mark == "=" else 1,
                "seg_action": int(action),
                "seg_started_at": begins,
                "seg_ended_at": ends,
                **_party("src", source),
                **_party("dst", destination),
            }
        )
    return rows


def written(entry: Entry | None) -> str | None:
    """An entry as the cases write it."""
    if entry is None:
        return None
    way = f"{entry.extension} {'in' if entry.direction == 'INBOUND' else 'out'} {NAMES.get(entry.number, entry.number)}"
    if entry.answered_at is not None:
        begins, ends = ((each - START).total_seconds() for each in (entry.answered_at, entry.ended_at))
        way += f" {entry.talk.total_seconds():g}s {begins:g}-{ends:g}"
    return f"{way} via {entry.group}" if entry.group else way


def expected(case: dict[str, Any]) -> dict[OwnerPolicy, list[str]]:
    """By policy; none where nobody talked."""
    each: list[str] = case.get("each", [])
    chosen = {policy: case.get(policy, each[0].split()[0] if each else None) for policy in POLICIES}
    found = {policy: [entry for entry in each if entry.split()[0] == chosen[policy]] for policy in POLICIES}
    return found | {"each": each}
