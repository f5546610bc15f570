"""The demo's calls: of each kind in turn, as a small office has them. Pure, given the randomness.

A kind is what came about in a call that was played by chance; one that is long or of another kind is not shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from local.phone_system.office import Office
from local.phone_system.script import GROUPS, MAPPED_EXTENSIONS, UNMAPPED_EXTENSION
from local.phone_system.v20 import PlayedCall, play

SALES, SUPPORT = GROUPS
SMALL_OFFICE = Office(
    phones=(*MAPPED_EXTENSIONS, UNMAPPED_EXTENSION),
    colleague="107",
    supervisor="108",
    queues=GROUPS,
    ring_groups=("810",),
    empty_groups=("820",),
    machines=("office.Hours", "850"),
    callers=("+12025550117", "+12025550163", "+442079460321", "+442079460750", "+493023125042", "anonymous", ""),
    mobiles=("+12025550178", "+12025550191", "+442079460909", "+442079460118", "+493023125088"),
    number="+12025550100",
    agents={SALES: MAPPED_EXTENSIONS[:3], SUPPORT: (*MAPPED_EXTENSIONS[3:], UNMAPPED_EXTENSION)},
)
NAMES: Mapping[str, str] = {
    **dict(zip(SMALL_OFFICE.phones, ("Alice", "Bob", "Carol", "Dan", "Erin", "Frank"), strict=True)),
    "107": "Grace",
    SALES: "Sales",
    SUPPORT: "Support",
    "810": "Reception",
    "820": "Night shift",
    "850": "Menu",
}

MOST_LEGS = 9
LONGEST = timedelta(seconds=16)  # at a pace of 1
NOTHING_TO_SEE_MS = 100


TWO = 2


def _is_second_round(call: PlayedCall) -> bool:
    """Two agents were rung in vain."""
    return [leg["termination_reason_details"] for leg in call.rows].count("timeout") == TWO


def _is_direct(call: PlayedCall) -> bool:
    return len(call.rows) == TWO


def _is_passed_on(call: PlayedCall) -> bool:
    return _talkers(call) == TWO


def _is_answered(call: PlayedCall) -> bool:
    """By one person, who keeps the caller."""
    is_kept = {leg["creation_method"] for leg in call.rows} <= {"call_init", "divert", "route_to"}
    return _talkers(call) == 1 and is_kept and not _reaches(call, "voicemail") and not _reaches(call, "ivr")


def _comes(call: PlayedCall, method: str) -> bool:
    """Somebody or something in the house is reached so, and answers."""
    answered = [
        leg for leg in call.rows if leg["cdr_answered_at"] and leg["destination_entity_type"] != "external_line"
    ]
    return any(leg["creation_method"] == method for leg in answered)


def _forwards(call: PlayedCall) -> bool:
    forwarded = ("no_answer", "busy", "forward_all", "not_registered")
    return any(leg["creation_forward_reason"] in forwarded for leg in call.rows)


def _talkers(call: PlayedCall) -> int:
    return len(call.owners["each"])


def _is_overheard(call: PlayedCall) -> bool:
    return any(leg["creation_method"].startswith("barge_in") for leg in call.rows)


def _reaches(call: PlayedCall, entity: str) -> bool:
    return any(leg["destination_entity_type"] == entity for leg in call.rows)


Kind = tuple[str, Callable[[PlayedCall], bool]]
"""A shape, and what else must be so of its calls."""

KINDS: Mapping[str, Kind] = {
    "queue, second round": (
        "into a queue",
        lambda call: _is_second_round(call) and _is_answered(call) and _comes(call, "route_to") and not _forwards(call),
    ),
    "mailbox": ("inbound", lambda call: _reaches(call, "voicemail") and not call.owners["each"]),
    "unmapped": ("inbound", lambda call: _talkers(call) == 1 and _is_direct(call)),
    "attended transfer": ("inbound", lambda call: _comes(call, "join") and _is_passed_on(call)),
    "outbound": ("outbound", lambda call: _talkers(call) == 1),
    "blind transfer": ("inbound", lambda call: _comes(call, "transfer") and _is_passed_on(call)),
    "unanswered": ("inbound", lambda call: _is_direct(call) and not _talkers(call)),
    "menu": ("over a machine", lambda call: _talkers(call) == 1),
    "forwarded": ("inbound", lambda call: _forwards(call) and _is_answered(call)),
    "internal": ("internal", lambda call: bool(call.owners["each"]) and len(call.rows) == 1),
    "abandoned queue": ("into a queue", lambda call: _is_second_round(call) and not _talkers(call)),
    "ring group": ("inbound", lambda call: _reaches(call, "ring_group_ring_all") and _is_answered(call)),
}


def shortened(milliseconds: int, pace: float = 1.0) -> int:
    """A wait as the demo has it: half a minute becomes two seconds, and what nobody could see stays as it is."""
    if milliseconds <= NOTHING_TO_SEE_MS:
        return milliseconds
    return math.ceil(pace * (300 + 280 * math.sqrt(milliseconds / 1000)))


@dataclass
class Programme:
    """Calls without end. ``pace`` stretches their seconds."""

    random: Random
    pace: float = 1.0
    kinds: itertools.cycle[str] = field(default_factory=lambda: itertools.cycle(KINDS))

    def next_call(self, begin: datetime) -> PlayedCall:
        return self.call_of(next(self.kinds), begin)

    def call_of(self, kind: str, begin: datetime) -> PlayedCall:
        shape, _ = KINDS[kind]
        while True:
            call = play(self.random, begin, shape, office=SMALL_OFFICE, pace=lambda wait: shortened(wait, self.pace))
            if self._is_shown(call, kind):
                return call

    def _is_shown(self, call: PlayedCall, kind: str) -> bool:
        """Short enough to watch; and its owner has no address if that is its kind, else one."""
        is_short = len(call.rows) <= MOST_LEGS and call.ended_at - call.started_at <= LONGEST * self.pace
        is_unmapped = any(each.extension == UNMAPPED_EXTENSION for each in call.owners["last_answered"])
        return is_short and not _is_overheard(call) and is_unmapped == (kind == "unmapped") and KINDS[kind][1](call)
