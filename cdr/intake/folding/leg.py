"""One row of a V20 phone system's table ``cdroutput``: a leg, from one side to another. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cdr.intake.folding.columns import RawColumns, flag_in, id_in, text_in, time_in, whole_number_in, word_in
from shared.errors import InvalidRow

_OF_A_SIDE = (
    "entity_type",
    "dn_number",
    "participant_id",
    "participant_phone_number",
    "participant_is_incoming",
)
COLUMNS = (
    "cdr_id",
    "call_history_id",
    "main_call_history_id",
    *(f"{side}_{column}" for side in ("source", "destination") for column in _OF_A_SIDE),
    "base_cdr_id",
    "originating_cdr_id",
    "continued_in_cdr_id",
    "creation_method",
    "creation_forward_reason",
    "termination_reason",
    "termination_reason_details",
    "cdr_started_at",
    "cdr_answered_at",
    "cdr_ended_at",
    "offload_id",
)
"""What ``leg_of`` reads. Only the first two must be there; ``offload_id`` is not in every copy."""

OUTBOUND_RULE = "outbound_rule"


@dataclass(frozen=True, slots=True)
class Side:
    """One end of a leg. What it is tells its entity type, whatever its ``dn_type`` says."""

    entity_type: str | None = None
    number: str | None = None
    """Its ``dn_number``: of an extension, a queue, a line."""
    participant_id: str | None = None
    phone_number: str | None = None
    is_incoming: bool | None = None

    @property
    def is_person(self) -> bool:
        return self.entity_type == "extension"

    @property
    def is_own_line(self) -> bool:
        """A person's phone or mailbox."""
        return self.entity_type in ("extension", "voicemail")

    @property
    def is_outside(self) -> bool:
        return self.entity_type == "external_line"

    @property
    def is_paging_group(self) -> bool:
        return self.entity_type == "paging_group"

    @property
    def is_ring_group(self) -> bool:
        return (self.entity_type or "").startswith("ring_group")

    @property
    def is_group(self) -> bool:
        return self.entity_type == "queue" or self.is_ring_group

    @property
    def is_machine(self) -> bool:
        """Something that answers by itself and is nobody's own."""
        return self.entity_type in ("script", "ivr", "fax")

    def is_same_party(self, other: Side) -> bool:
        """An outside party stays one participant over all its legs; dialled anew, only the number is the same."""
        own, others = {self.participant_id, self.phone_number}, {other.participant_id, other.phone_number}
        return bool(own & others - {None})


@dataclass(frozen=True, slots=True)
class Leg:
    """Ids are lower-case text, times aware and in UTC. ``main_flow`` is the flow that this one was joined to, if any.

    ``base`` and ``originating`` name the legs that it came from, ``continued_in`` the one that it went on in.
    ``problem`` is a sentence that says what of it cannot be read: its call cannot be told of.
    """

    id: str
    flow: str
    source: Side = field(default_factory=Side)
    destination: Side = field(default_factory=Side)
    main_flow: str | None = None
    base: str | None = None
    originating: str | None = None
    continued_in: str | None = None
    creation_method: str | None = None
    forward_reason: str | None = None
    termination_reason: str | None = None
    termination_details: str | None = None
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    offload_id: int | None = None
    problem: str | None = None

    @property
    def person(self) -> Side | None:
        """The person of ours on it; of two, the one who was called."""
        return next((side for side in (self.destination, self.source) if side.is_person), None)


def leg_of(row: RawColumns) -> Leg:
    """The leg that a row tells of. What is strange reads as NULL, where a leg can be without it.

    :raises InvalidRow: it has no id or is of no flow, or a time is no time
    """
    return Leg(
        id=_own_id(row, "cdr_id"),
        flow=_own_id(row, "call_history_id"),
        source=_side_of(row, "source"),
        destination=_side_of(row, "destination"),
        main_flow=id_in(row, "main_call_history_id"),
        base=id_in(row, "base_cdr_id"),
        originating=id_in(row, "originating_cdr_id"),
        continued_in=id_in(row, "continued_in_cdr_id"),
        creation_method=word_in(row, "creation_method"),
        forward_reason=word_in(row, "creation_forward_reason"),
        termination_reason=word_in(row, "termination_reason"),
        termination_details=word_in(row, "termination_reason_details"),
        started_at=time_in(row, "cdr_started_at"),
        answered_at=time_in(row, "cdr_answered_at"),
        ended_at=time_in(row, "cdr_ended_at"),
        offload_id=whole_number_in(row, "offload_id"),
        problem=text_in(row, "problem"),
    )


def _side_of(row: RawColumns, side: str) -> Side:
    return Side(
        entity_type=word_in(row, f"{side}_entity_type"),
        number=text_in(row, f"{side}_dn_number"),
        participant_id=id_in(row, f"{side}_participant_id"),
        phone_number=text_in(row, f"{side}_participant_phone_number"),
        is_incoming=flag_in(row, f"{side}_participant_is_incoming"),
    )


def _own_id(row: RawColumns, column: str) -> str:
    found = id_in(row, column)
    if found is None:
        raise InvalidRow(column, "missing")
    return found
