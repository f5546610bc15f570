"""What a V20 phone system does, as a stage on which calls are played: it writes legs, and notes who talks.

Every step takes at least a millisecond, so that no two of them need an order.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from local.phone_system.office import LARGE_OFFICE, Office

Row = dict[str, Any]
Party = dict[str, Any]


def party(entity: str, number: str, phone_number: str = "") -> Party:
    return {
        "entity_type": entity,
        "dn_number": number,
        "dn_type": "extension" if entity == "voicemail" else entity,
        "participant_id": None,
        "participant_phone_number": number if entity == "extension" else phone_number,
        "participant_is_incoming": False,
    }


def line_to(participant: str, number: str, *, incoming: bool) -> Party:
    own = {"participant_id": participant, "participant_is_incoming": incoming}
    return party("external_line", "10000", number) | own


@dataclass
class Leg:
    row: Row
    started: int
    answered: int | None = None
    ended: int | None = None

    @property
    def id(self) -> str:
        return str(self.row["cdr_id"])


@dataclass
class Said:
    """Somebody talks; ``caller`` is the colleague who called, if it was one."""

    extension: str
    number: str
    direction: str
    group: str | None
    leg: Leg
    caller: str | None


@dataclass
class Stage:
    """``now`` is in milliseconds since the beginning, ``pace`` makes another wait of one. ``at`` is the leg that the
    caller is on, ``talking`` the last one that was answered, ``waiting`` those that go on until the next one is."""

    random: Random
    office: Office = LARGE_OFFICE
    pace: Callable[[int], int] = int
    now: int = 0
    legs: list[Leg] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    caller: Party = field(default_factory=dict)
    at: Leg | None = None
    talking: Leg | None = None
    waiting: list[tuple[Leg, str, str]] = field(default_factory=list)
    redirecting: Leg | None = None
    group: str | None = None
    empty_group: str | None = None
    addressed: dict[str, str] = field(default_factory=dict)
    dialled: tuple[str, str] | None = None
    hops: int = 3

    def leg(self, source: Party, to: Party, method: str, why: str = "none", *, flow: int = 1, **ids: Leg | None) -> Leg:
        self.after(1, 40)
        origin, base = ids.get("origin"), ids.get("base") or ids.get("origin")
        row = {
            "cdr_id": self.new_id(),
            "call_history_id": flow,
            "main_call_history_id": 1,
            **{f"source_{name}": value for name, value in source.items()},
            **{f"destination_{name}": value for name, value in to.items()},
            "base_cdr_id": base and base.id,
            "originating_cdr_id": origin and origin.id,
            "continued_in_cdr_id": None,
            "creation_method": method,
            "creation_forward_reason": why,
            "termination_reason": None,
            "termination_reason_details": None,
            "offload_id": None,
        }
        new = Leg(row, self.now)
        if self.redirecting is not None and flow == 1:
            self.redirecting.row["continued_in_cdr_id"] = new.id
            self.redirecting = None
        self.legs.append(new)
        return new

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128)))

    def after(self, least: int, most: int) -> None:
        self.now += self.pace(self.random.randint(least, most))

    def chance(self, part: float) -> bool:
        """Whether what happens in this part of all cases happens now."""
        return self.random.random() < part

    def answer(self, leg: Leg) -> None:
        self.after(1, 30_000)
        leg.answered = self.now
        for before, reason, details in self.waiting:
            self.end(before, reason, details, leg)
        self.waiting = []

    def end(self, leg: Leg, reason: str, details: str | None = None, successor: Leg | None = None) -> None:
        leg.ended = self.now
        leg.row |= {"termination_reason": reason, "termination_reason_details": details}
        leg.row["continued_in_cdr_id"] = successor and successor.id

    def hang_up(self) -> None:
        """Everything that goes on ends, a few milliseconds apart."""
        self.after(1, 20_000)
        for leg in (leg for leg in self.legs if leg.ended is None):
            self.after(1, 3)
            if leg.answered is None and leg is not self.at:
                self.end(leg, "cancelled", "terminated_by_originator")
            else:
                self.end(leg, self.random.choice(["src_participant_terminated", "dst_participant_terminated"]))
        self.waiting = []

    def to(self, to: Party, method: str, why: str = "none") -> Leg:
        """The caller goes on to somebody else, who is thereby addressed."""
        self.at = self.leg(self.caller, to, method, why, origin=self.at, base=self.talking or self.at)
        if to["entity_type"] in ("extension", "voicemail"):
            self.addressed["line"] = to["dn_number"]
        elif to["entity_type"] in ("script", "ivr", "fax"):
            self.addressed["machine"] = to["dn_number"]
        return self.at

    def redirects(self, why: str) -> None:
        """The leg that the caller is on; the next one is where it goes on."""
        if self.at is not None:
            self.end(self.at, "redirected", why)
        self.redirecting = self.at

    def talks(self, leg: Leg, extension: str, other: Party | None = None) -> None:
        other = other or self.caller
        internal = other["entity_type"] == "extension"
        number = other["dn_number"] if internal else other["participant_phone_number"]
        incoming = internal or other["participant_is_incoming"]
        group = self.group or self.empty_group
        caller = number if internal else None
        self.said.append(Said(extension, number, "INBOUND" if incoming else "OUTBOUND", group, leg, caller))

    @property
    def is_from_outside(self) -> bool:
        return bool(self.caller["entity_type"] == "external_line")
