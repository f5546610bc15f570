"""What there is to tell of a call while it goes on, from its legs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from local.phone_system.programme import NAMES
from local.phone_system.stage import Row

AT_ONCE = timedelta(milliseconds=200)
SILENT = ("inbound_routing", "external_line")
GROUPS = ("queue", "ring_group_ring_all", "ring_group_hunt")
TALKERS = ("extension", "external_line")
METHODS: Mapping[str, str] = {"transfer": "transfer", "join": "joins", "pickup": "picks up"}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happens in a call: ``what`` in a word or two, ``detail`` with whom."""

    at: datetime
    what: str
    detail: str


def story(legs: Sequence[Row]) -> list[Moment]:
    """From its beginning to its end, in order of time."""
    by_start = sorted(legs, key=lambda leg: leg["cdr_started_at"])
    moments = [_beginning(by_start), *_what_follows(by_start), *_answers(by_start), ending(legs)]
    return sorted(moments, key=lambda moment: moment.at)


def ending(legs: Sequence[Row]) -> Moment:
    talked = any(leg["cdr_answered_at"] and leg["destination_entity_type"] in TALKERS for leg in legs)
    count = f"{len(legs)} leg{'s' * (len(legs) != 1)} in cdroutput"
    return Moment(max(leg["cdr_ended_at"] for leg in legs), "ends", count if talked else f"nobody talked, {count}")


def _beginning(legs: Sequence[Row]) -> Moment:
    """Who calls, and where that leads at first."""
    first = legs[0]
    to = legs[1] if first["destination_entity_type"] == "inbound_routing" and len(legs) > 1 else first
    return Moment(first["cdr_started_at"], "begins", f"{_source(first)} → {_destination(to)}")


def _what_follows(legs: Sequence[Row]) -> Iterator[Moment]:
    """Of what the beginning has not told yet. Phones that are rung together are one moment."""
    told = 2 if legs[0]["destination_entity_type"] == "inbound_routing" else 1
    for origin, some in groupby(legs[told:], key=_rung_by):
        several = list(some)
        if origin is None:
            yield from (moment for leg in several if (moment := _step(leg)))
        else:
            yield from _rounds(several)


def _rung_by(leg: Row) -> str | None:
    """The leg of the queue or ring group whose agent's phone this is."""
    is_poll = leg["creation_forward_reason"] == "polling" and leg["destination_entity_type"] == "extension"
    return str(leg["originating_cdr_id"]) if is_poll else None


def _rounds(polls: Sequence[Row]) -> Iterator[Moment]:
    rung: list[Row] = []
    for poll in polls:
        if rung and poll["cdr_started_at"] - rung[-1]["cdr_started_at"] > AT_ONCE:
            yield _rings(rung)
            rung = []
        rung.append(poll)
    yield _rings(rung)


def _rings(polls: Sequence[Row]) -> Moment:
    return Moment(polls[0]["cdr_started_at"], "rings", ", ".join(map(_destination, polls)))


def _step(leg: Row) -> Moment | None:
    at, method, why = leg["cdr_started_at"], leg["creation_method"], leg["creation_forward_reason"]
    entity, to = leg["destination_entity_type"], _destination(leg)
    if method == "call_init":
        return Moment(at, "asks", f"{_source(leg)} → {to}")
    if method in METHODS:
        return Moment(at, METHODS[method], f"→ {to}")
    if entity in SILENT or leg["termination_reason_details"] == "no_destinations":
        return None
    if entity in GROUPS and why in ("none", "by_did"):
        return Moment(at, "waits", f"in {to}")
    reason = "" if why in ("none", "by_did") else f"{why.replace('_', ' ')} "
    return Moment(at, "goes on", f"{reason}→ {to}")


def _answers(legs: Sequence[Row]) -> Iterator[Moment]:
    for leg in legs:
        is_talk = leg["destination_entity_type"] in TALKERS and leg["creation_method"] != "join"
        if is_talk and leg["cdr_answered_at"]:
            yield Moment(leg["cdr_answered_at"], "answers", _destination(leg))


def _source(leg: Row) -> str:
    return _party(leg, "source")


def _destination(leg: Row) -> str:
    return _party(leg, "destination")


def _party(leg: Row, side: str) -> str:
    entity, number = leg[f"{side}_entity_type"], leg[f"{side}_dn_number"]
    if entity in ("external_line", "outbound_rule"):
        return leg[f"{side}_participant_phone_number"] or "no number"
    named = f"{number} {NAMES.get(number, '')}".strip()
    return f"mailbox of {named}" if entity == "voicemail" else named
