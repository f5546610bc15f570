"""Legs of a V20 phone system's table ``cdroutput``, folded into calls. Pure.

In this order: copies, calls, what is missing, talks (and whom, which way, through which group), nobody talked. Whose
a call is, and for how long, ``talks`` says; both can be used for rows of another kind that have been made into legs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cdr.calls.call import Direction
from cdr.intake.folding.fold import Entry, FoldedCall, Lack, Missing
from cdr.intake.folding.leg import OUTBOUND_RULE, Leg, Side
from cdr.intake.folding.talks import Talk, entries_of

_FOREVER = datetime.max.replace(tzinfo=UTC)


def calls_of(legs: Iterable[Leg]) -> list[FoldedCall]:
    """Every call that the legs tell of, whole or not, by start. Neither their order nor copies of them matter."""
    calls = [_folded(of_a_call) for of_a_call in grouped(legs)]
    return sorted(calls, key=lambda call: (call.started_at or _FOREVER, call.id))


def grouped(legs: Iterable[Leg]) -> list[Mapping[str, Leg]]:
    """The legs of each call by their ids, in order of their start, and of copies one."""
    return _by_call(_last_copies(legs))


# Copies: rows with one id are one leg, and the one sent last counts for everything.


def _last_copies(legs: Iterable[Leg]) -> Collection[Leg]:
    kept: dict[str, Leg] = {}
    for leg in legs:
        other = kept.setdefault(leg.id, leg)
        if other != leg and _sent(other) < _sent(leg):
            kept[leg.id] = leg
    return kept.values()


def _sent(leg: Leg) -> tuple[bool, int, int, bool, str]:
    """Copies by the order they were sent in, else by what they know; at last by their text, so that order is none."""
    known = sum(fact is not None for fact in (leg.ended_at, leg.answered_at, leg.continued_in))
    is_joined = leg.main_flow not in (None, leg.flow)
    return leg.offload_id is not None, leg.offload_id or 0, known, is_joined, repr(leg)


# Calls: all legs of all flows that have been joined, over any number of steps.


def _by_call(legs: Collection[Leg]) -> list[Mapping[str, Leg]]:
    joined: dict[str, str] = {}

    def first_of(flow: str) -> str:
        while (beyond := joined.setdefault(flow, flow)) != flow:
            joined[flow] = flow = joined[beyond]
        return flow

    for leg in legs:
        joined[first_of(leg.flow)] = first_of(leg.main_flow or leg.flow)
    calls: defaultdict[str, dict[str, Leg]] = defaultdict(dict)
    for leg in sorted(legs, key=lambda leg: (leg.started_at or _FOREVER, leg.id)):
        calls[first_of(leg.flow)][leg.id] = leg
    return list(calls.values())


def _folded(legs: Mapping[str, Leg]) -> FoldedCall:
    flows = tuple(dict.fromkeys(leg.flow for leg in legs.values()))
    started = [leg.started_at for leg in legs.values() if leg.started_at is not None]
    ended = [leg.ended_at for leg in legs.values() if leg.ended_at is not None]
    call = FoldedCall(
        id=flows[0],
        flows=flows,
        legs=tuple(legs),
        missing=tuple(_missing(legs)),
        started_at=min(started, default=None),
        ended_at=max(ended) if len(ended) == len(legs) else None,
        problem=next((leg.problem for leg in legs.values() if leg.problem), None),
        absent_flows=frozenset(leg.main_flow for leg in legs.values() if leg.main_flow is not None).difference(flows),
    )
    if not call.may_be_logged or call.ended_at is None:
        return call
    owners = entries_of(_talks(legs))
    return replace(call, owners=owners, unanswered=None if owners else _nobody_talked([*legs.values()], call.ended_at))


# What is missing: a leg's end, or a leg that another one of the same call names.


def _missing(legs: Mapping[str, Leg]) -> Iterator[Missing]:
    for leg in legs.values():
        if leg.ended_at is None:
            yield Missing(leg.id, Lack.END)
        if leg.continued_in is None and leg.termination_reason in ("continued_in", "redirected"):
            yield Missing(leg.id, Lack.NAME_OF_SUCCESSOR)
        elif leg.continued_in is not None and leg.continued_in not in legs:
            yield Missing(leg.id, Lack.SUCCESSOR)
        if any(origin is not None and origin not in legs for origin in (leg.base, leg.originating)):
            yield Missing(leg.id, Lack.ORIGIN)


# Talks: an answered leg between a person and an outside party; between two persons where nobody outside takes part.


def _talks(legs: Mapping[str, Leg]) -> list[Talk]:
    chains = _Chains(legs)
    first = _first_outside(legs.values())
    outside = first and first[1]
    return [talk for leg in legs.values() if _may_be_talk(leg, legs) and (talk := _talk(leg, outside, chains))]


def _may_be_talk(leg: Leg, legs: Mapping[str, Leg]) -> bool:
    """Nobody talks to those who listen in, nor to a room full of paged phones."""
    origin = legs.get(leg.originating or "")
    paged = origin is not None and origin.destination.is_paging_group
    return leg.answered_at is not None and not _is_barge_in(leg) and not paged


def _is_barge_in(leg: Leg) -> bool:
    return (leg.creation_method or "").startswith("barge_in")


def _talk(leg: Leg, outside: Side | None, chains: _Chains) -> Talk | None:
    sides = _between_two_of_ours(leg) if outside is None else _with_outside(leg) or _forwarded(leg, outside, chains)
    if sides is None or leg.answered_at is None or leg.ended_at is None:
        return None
    person, other = sides
    return Talk(
        leg=leg.id,
        extension=person.number,
        number=other.number if outside is None else other.phone_number,
        direction=_direction(leg, other),
        party=None if outside is None else other.participant_id or other.phone_number,
        answered_at=leg.answered_at,
        ended_at=leg.ended_at,
        group=chains.group_behind(leg),
        is_internal=outside is None,
        hangup_cause=leg.termination_reason,
    )


def _between_two_of_ours(leg: Leg) -> tuple[Side, Side] | None:
    both = leg.source.is_person and leg.destination.is_person
    return (leg.destination, leg.source) if both else None


def _with_outside(leg: Leg) -> tuple[Side, Side] | None:
    ways = ((leg.destination, leg.source), (leg.source, leg.destination))
    return next((way for way in ways if way[0].is_person and way[1].is_outside), None)


def _forwarded(leg: Leg, first: Side, chains: _Chains) -> tuple[Side, Side] | None:
    """Between two outside: of the person who forwarded the caller there. Who had answered has transferred instead."""
    if not (leg.source.is_outside and leg.destination.is_outside):
        return None
    behind = chains.person_behind(leg)
    if behind is None or behind.person is None or behind.answered_at is not None:
        return None
    caller = behind.source if behind.source.is_outside else first
    sides = (leg.source, leg.destination)
    return behind.person, next((side for side in sides if side.is_same_party(caller)), leg.source)


def _direction(leg: Leg, other: Side) -> Direction:
    """Of whoever is outside, by that side's word; in the house, and without a word, by who called."""
    incoming = other.is_incoming if other.is_outside and other.is_incoming is not None else other is leg.source
    return Direction.INBOUND if incoming else Direction.OUTBOUND


# From where: back from leg to leg, to the nearest person, queue or ring group.


@dataclass(frozen=True, slots=True)
class _Chain:
    """No leg is looked at twice, however many ask; legs that name each other in a circle lead nowhere."""

    behind: Callable[[Leg], Leg | None]
    is_wanted: Callable[[Leg], bool]
    known: dict[str, Leg | None] = field(default_factory=dict)

    def nearest(self, leg: Leg) -> Leg | None:
        passed: list[str] = []
        at = self.behind(leg)
        while at is not None and at.id not in self.known and not self.is_wanted(at):
            self.known[at.id] = None
            passed.append(at.id)
            at = self.behind(at)
        found = at and self.known.get(at.id, at)
        self.known.update(dict.fromkeys(passed, found))
        return found


class _Chains:
    def __init__(self, legs: Mapping[str, Leg]) -> None:
        def originating(leg: Leg) -> Leg | None:
            return legs.get(leg.originating or "")

        def origin(leg: Leg) -> Leg | None:
            return originating(leg) or legs.get(leg.base or "")

        self._person = _Chain(originating, lambda leg: leg.person is not None)
        self._group = _Chain(origin, lambda leg: leg.destination.is_group and not _has_no_members(leg))
        self._any_group = _Chain(origin, lambda leg: leg.destination.is_group)

    def person_behind(self, leg: Leg) -> Leg | None:
        return self._person.nearest(leg)

    def group_behind(self, leg: Leg) -> str | None:
        """A ring group without members only passes the call on: what is behind it counts, if there is anything."""
        found = self._group.nearest(leg) or self._any_group.nearest(leg)
        return found.destination.number if found else None


def _has_no_members(leg: Leg) -> bool:
    return leg.destination.is_ring_group and leg.termination_details == "no_destinations"


# Nobody talked: outbound it is the caller's, else that of whoever was addressed last, other than by polling.


def _first_outside(legs: Iterable[Leg]) -> tuple[Leg, Side] | None:
    return next(((leg, side) for leg in legs for side in (leg.source, leg.destination) if side.is_outside), None)


def _nobody_talked(legs: Sequence[Leg], ended_at: datetime) -> Entry | None:
    """None where nobody of ours was addressed, or by nobody: a phone that rings at its own user's click."""
    first = _first_outside(legs)
    dialled = first or next(
        ((leg, leg.destination) for leg in legs if leg.destination.entity_type == OUTBOUND_RULE), None
    )
    if dialled is not None and _direction(*dialled) is Direction.OUTBOUND:
        return _not_reached(legs, *dialled, ended_at)
    return _missed(legs, first[1] if first else None, ended_at)


def _not_reached(legs: Sequence[Leg], leg: Leg, dialled: Side, ended_at: datetime) -> Entry | None:
    caller = next((each.source for each in (leg, *legs) if each.source.is_person), None)
    if caller is None:
        return None
    return Entry(
        extension=caller.number,
        direction=Direction.OUTBOUND,
        number=dialled.phone_number,
        ended_at=ended_at,
        hangup_cause=leg.termination_reason,
    )


def _missed(legs: Sequence[Leg], outside: Side | None, ended_at: datetime) -> Entry | None:
    called = [leg for leg in legs if (outside or leg.source.is_person) and not _is_barge_in(leg)]
    lines = [leg for leg in called if leg.destination.is_own_line and leg.forward_reason != "polling"]
    groups = [leg for leg in called if leg.destination.is_group]
    addressed = lines or groups or [leg for leg in called if leg.destination.is_machine]
    if not addressed:
        return None
    last = addressed[-1]
    return Entry(
        extension=last.destination.number,
        direction=Direction.INBOUND,
        number=outside.phone_number if outside else last.source.number,
        ended_at=ended_at,
        group=groups[-1].destination.number if groups else None,
        is_internal=outside is None,
        hangup_cause=last.termination_reason,
    )
