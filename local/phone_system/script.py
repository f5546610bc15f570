"""Calls as an office has them, made up: who rings whom, who answers, for how long. Pure, given the randomness.

The outside numbers are from ranges that are kept for fiction.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum

MAPPED_EXTENSIONS = ("101", "102", "103", "104", "105")
UNMAPPED_EXTENSION = "106"  # left without an e-mail address on purpose: what becomes of its calls should be seen, too
EXTENSIONS = (*MAPPED_EXTENSIONS, UNMAPPED_EXTENSION)
GROUPS = ("800", "801")

SHORTEST_S = 1.5
LONGEST_S = 4.0


class CallType(IntEnum):
    INBOUND = 0
    OUTBOUND = 1
    INTERNAL = 2


class CallKind(StrEnum):
    """The kinds of calls, in the order in which they take turns."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    GROUP = "group"
    TRANSFERRED = "transferred"
    UNANSWERED = "unanswered"
    INTERNAL = "internal"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of a call that one extension has: one row."""

    caller_number: str
    dest_number: str
    extension: str
    call_type: CallType
    seconds: float
    answered: bool = True
    hangup_cause: str = "NORMAL_CLEARING"


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A call from its first ring to its end; its legs follow each other and share its id."""

    kind: CallKind
    call_id: str
    legs: tuple[Leg, ...]


def scripted_calls(rng: random.Random) -> Iterator[ScriptedCall]:
    """Calls without end, of every kind in turn."""
    return (next_call(kind, rng) for kind in itertools.cycle(CallKind))


def next_call(kind: CallKind, rng: random.Random) -> ScriptedCall:
    return ScriptedCall(kind, f"{rng.getrandbits(64):016X}", legs_of(kind, rng))


def legs_of(kind: CallKind, rng: random.Random) -> tuple[Leg, ...]:
    own, colleague = rng.sample(EXTENSIONS, 2)
    outside = outside_number(rng)
    seconds = rng.uniform(SHORTEST_S, LONGEST_S)
    match kind:
        case CallKind.INBOUND:
            leg = Leg(outside, own, own, CallType.INBOUND, seconds)
        case CallKind.OUTBOUND:
            leg = Leg(own, outside, own, CallType.OUTBOUND, seconds)
        case CallKind.GROUP:
            leg = Leg(outside, rng.choice(GROUPS), own, CallType.INBOUND, seconds)
        case CallKind.TRANSFERRED:
            leg = Leg(outside, own, own, CallType.INBOUND, seconds, hangup_cause="TRANSFERRED")
            rest = rng.uniform(SHORTEST_S, LONGEST_S)
            return leg, Leg(outside, colleague, colleague, CallType.INBOUND, rest)
        case CallKind.UNANSWERED:
            leg = Leg(outside, own, own, CallType.INBOUND, seconds, answered=False, hangup_cause="NO_ANSWER")
        case CallKind.INTERNAL:
            leg = Leg(own, colleague, rng.choice((own, colleague)), CallType.INTERNAL, seconds)
        case CallKind.ANONYMOUS:
            leg = Leg(rng.choice(("", "anonymous")), own, own, CallType.INBOUND, seconds)
    return (leg,)


def outside_number(rng: random.Random) -> str:
    return rng.choice(
        (
            f"+1202555{rng.randint(100, 199):04}",
            f"+44207946{rng.randint(0, 999):04}",
            f"+493023125{rng.randint(0, 999):03}",
        )
    )
