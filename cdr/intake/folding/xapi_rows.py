"""Rows of the phone system's call log report, made into legs. Pure.

The report tells less than the table of legs that it is made from, so that some answers are the nearest right ones:

- There is no end: a row ends its ringing and its talking after its start. What the report leaves out (how agents of a
  queue were rung, routing rules, who listened in) may have ended some milliseconds later.
- No row names another: each is taken to come from the one before it in the call. Only that a call went on, and at
  which number, a row may say; as long as nothing of the call is found there, it is not whole. Otherwise that cannot be
  seen, and has to be waited for.
- Numbers for the kinds of the two sides are a guess, so words and the numbers shown go before them.
- A ring group without members cannot be told from one in which nobody answered, nor a page from a call.
- An answered row that does not say how long it lasted has no end, and its call ends as a record that says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from cdr.intake.folding.columns import RawColumns, flag_in, id_in, text_in, time_if_readable, word_in
from cdr.intake.folding.fold import FoldedCall
from cdr.intake.folding.leg import Leg, Side
from cdr.intake.folding.v20_legs import calls_of, grouped

_PERSON, _OUTSIDE, _MAILBOX = "extension", "external_line", "voicemail"
_BY_CALL_TYPE = {
    "extension": _PERSON,
    "external": _OUTSIDE,
    "queue": "queue",
    "ring group": "ring_group",
    "digital receptionist": "ivr",
    "voicemail": _MAILBOX,
}
_BY_TYPE = {"0": _PERSON, "1": _OUTSIDE, "2": "ring_group", "4": "queue", "5": _MAILBOX, "6": "ivr"}
"""``SourceType`` and ``DestinationType``, numbered as the segments of earlier releases: where nothing surer tells."""

_REPLACED = re.compile(r".*was replaced by .*\((.*)\)\s*", re.DOTALL)
_AT_ONCE = timedelta(seconds=2)

_DURATION = re.compile(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?")


def calls_of_report(legs: Iterable[Leg]) -> list[FoldedCall]:
    """The calls of all these legs, by start. Neither their order nor copies of them matter."""
    found = list(legs)
    by_id = {leg.id: leg for leg in found}
    places: dict[str, tuple[str | None, Sequence[Leg]]] = {}
    for call in grouped(found):
        others = [by_id[leg] for leg in call]
        places.update((leg, (before, others)) for before, leg in zip([None, *call], call, strict=False))
    return calls_of(_linked(leg, *places[leg.id]) for leg in found)


def _linked(leg: Leg, before: str | None, others: Sequence[Leg]) -> Leg:
    """A row names the number at which the call went on: that is the row there which goes on beyond its end."""
    at, until = leg.continued_in, leg.ended_at
    leg = replace(leg, originating=before)
    if at is None or until is None:
        return leg
    beyond = [
        other
        for other in others
        if other.id != leg.id and (other.ended_at is None or other.ended_at >= until - _AT_ONCE)
    ]
    is_named = at.isdigit()
    if is_named:
        beyond = [other for other in beyond if at in (other.destination.number, other.source.number)]
    if beyond:
        return replace(leg, continued_in=beyond[0].id)
    termination = leg.termination_reason if is_named else "continued_in"
    return replace(leg, continued_in=at if is_named else None, termination_reason=termination)


def leg_of_report(row: RawColumns) -> Leg:
    """Total: what is missing or cannot be read is not known of the leg."""
    flow = id_in(row, "CallHistoryId") or id_in(row, "MainCallHistoryId")
    leg_id = _leg_id(row, flow)
    source, destination = _sides(row)
    started_at, ringing, talking = time_if_readable(row, "StartTime"), _ringing(row), _talking(row)
    connected_at = None if started_at is None or ringing is None else started_at + ringing
    return Leg(
        id=leg_id,
        flow=flow or leg_id,
        main_flow=id_in(row, "MainCallHistoryId"),
        source=source,
        destination=destination,
        started_at=started_at,
        answered_at=connected_at if _is_answered(row) else None,
        ended_at=None if connected_at is None or talking is None else connected_at + talking,
        continued_in=_went_on_at(row),
    )


def duration_in(row: RawColumns, column: str) -> timedelta | None:
    """From ISO 8601, such as PT1M12.5S; None for what is no duration."""
    found = _DURATION.fullmatch(text_in(row, column) or "")
    if found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _went_on_at(row: RawColumns) -> str | None:
    """The number of whom the one who was called was replaced by, or a name that stands for it. None of a row that says
    nothing, or does not name anybody."""
    found = _REPLACED.fullmatch(text_in(row, "Reason") or "")
    return (found.group(1).strip() or None) if found else None


def _ringing(row: RawColumns) -> timedelta | None:
    """What is left out did not ring."""
    return duration_in(row, "RingingDuration") if "RingingDuration" in row else timedelta()


def _talking(row: RawColumns) -> timedelta | None:
    """What is left out is no talk, except where there was one: then how long it was is not known."""
    is_left_out = "TalkingDuration" not in row and not _is_answered(row)
    return timedelta() if is_left_out else duration_in(row, "TalkingDuration")


def _leg_id(row: RawColumns, flow: str | None) -> str:
    """A row that names itself in no way still is one of its own."""
    if leg_id := id_in(row, "CdrId"):
        return leg_id
    if flow and (segment := text_in(row, "SegmentId")):
        return f"{flow}/{segment}"
    return f"row-{sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:32]}"


def _sides(row: RawColumns) -> tuple[Side, Side]:
    """From outside to outside, the call came in from the one and was forwarded to the other."""
    direction = word_in(row, "Direction") or ""
    destination = _destination_kind(row)
    source = _source_kind(row, direction, destination)
    is_incoming = True if direction.startswith("inbound") else False if direction == "outbound" else None
    is_forwarded = source == destination == _OUTSIDE
    return (
        _side(row, "Source", source, is_incoming=is_incoming),
        _side(row, "Destination", destination, is_incoming=False if is_forwarded else is_incoming),
    )


def _side(row: RawColumns, name: str, kind: str | None, *, is_incoming: bool | None) -> Side:
    return Side(
        entity_type=kind,
        number=text_in(row, f"{name}Dn"),
        phone_number=text_in(row, f"{name}CallerId"),
        is_incoming=is_incoming if kind == _OUTSIDE else None,
    )


def _destination_kind(row: RawColumns) -> str | None:
    """A mailbox may be told by either column; for the rest the word is surer than the number."""
    by_number, by_word = _kind(row, "DestinationType"), _BY_CALL_TYPE.get(word_in(row, "CallType") or "")
    return _MAILBOX if by_number == _MAILBOX and by_word in (None, _PERSON) else by_word or by_number


def _source_kind(row: RawColumns, direction: str, destination: str | None) -> str | None:
    """As the words say, where they leave no doubt. To a line, both a person may call and a caller be passed on: who
    calls from outside shows another number than that of the line."""
    by_number = _kind(row, "SourceType")
    is_outbound = direction == "outbound"
    if direction == "internal" or not (is_outbound or direction.startswith("inbound")):
        return _PERSON if direction == "internal" else by_number
    if destination != _OUTSIDE:
        return _OUTSIDE
    shows_another = text_in(row, "SourceDn") != text_in(row, "SourceCallerId")
    if is_outbound:
        return _OUTSIDE if shows_another and by_number == _OUTSIDE else _PERSON
    return _OUTSIDE if shows_another and by_number != _PERSON else _PERSON


def _kind(row: RawColumns, column: str) -> str | None:
    return _BY_TYPE.get(text_in(row, column) or "")


def _is_answered(row: RawColumns) -> bool:
    """A queue's row is ``Answered`` while it is ``Waiting``, whether anybody took the call or not."""
    status = word_in(row, "Status")
    if status in ("answered", "unanswered", "waiting"):
        return status == "answered"
    return flag_in(row, "Answered") is True
