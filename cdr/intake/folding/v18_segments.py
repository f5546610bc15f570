"""The calls of 3CX V16 to V20 Update 5, out of the segments that its ``cl_*`` tables keep of them. Pure.

A segment is a time in which two parties rang or were connected; ``seq_order`` puts those of a call in order, their ids
do not. What the tables themselves call answered counts mailboxes and menus, so it is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cdr.calls.call import Direction
from cdr.intake.folding.columns import RawColumns, text_in, time_if_readable, whole_number_in
from cdr.intake.folding.fold import Entry, FoldedCall, Lack, Missing
from cdr.intake.folding.talks import Talk, entries_of

_EXTENSION, _LINE, _RING_GROUP, _QUEUE, _MAILBOX, _NOT_FOUND, _OUTSIDE = 0, 1, 2, 4, 5, 12, 13  # dn_type
_CONNECTED = 2  # type; 1 is ringing
_NEVER = datetime.min.replace(tzinfo=UTC)

_ACTIONS = {
    3: "cancelled",
    5: "ended_by_source",
    6: "ended_by_destination",
    9: "source_replaced",
    10: "destination_replaced",
    101: "forwarded_no_answer",
    102: "forwarded_busy",
}
_RINGING_ENDED = frozenset({3, 5, 6, 7, 8, *range(400, 500)})
"""Actions after which a phone rang for nothing: it did not send the call on."""


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a segment. ``id`` is the participant's, which an outside party keeps over its segments; it is all
    there is as long as not ``is_written``."""

    id: str
    is_written: bool
    dn_type: int | None
    dn: str
    caller_number: str

    @property
    def is_extension(self) -> bool:
        return self.dn_type == _EXTENSION

    @property
    def is_line(self) -> bool:
        """A line stands for whoever is at its other end."""
        return self.dn_type == _LINE

    @property
    def is_somebodys(self) -> bool:
        """A person's phone or mailbox."""
        return self.dn_type in (_EXTENSION, _MAILBOX)

    @property
    def is_group(self) -> bool:
        return self.dn_type in (_RING_GROUP, _QUEUE)

    @property
    def is_outside(self) -> bool:
        return self.dn_type in (_LINE, _NOT_FOUND, _OUTSIDE)

    @property
    def number(self) -> str:
        """Empty where withheld: a line's own dn is the trunk's, and says nothing of who is at its other end."""
        if self.is_extension:  # whose caller_number reads Ext.101
            return self.dn
        return self.caller_number if self.is_line else self.caller_number or self.dn


@dataclass(frozen=True, slots=True)
class Segment:
    """A row of ``cl_segments`` with its two parties. Times are in UTC, None where they cannot be read."""

    id: str
    order: int | None
    is_connected: bool
    action: int | None
    source: Party
    destination: Party
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def hangup_cause(self) -> str | None:
        return None if self.action is None else _ACTIONS.get(self.action, f"action_{self.action}")


def _segment_of(row: RawColumns) -> Segment:
    """The segment of a row of the SELECT."""
    return Segment(
        id=text_in(row, "seg_id") or "",
        order=whole_number_in(row, "seg_order"),
        is_connected=whole_number_in(row, "seg_type") == _CONNECTED,
        action=whole_number_in(row, "seg_action"),
        source=_party(row, "src"),
        destination=_party(row, "dst"),
        started_at=time_if_readable(row, "seg_started_at"),
        ended_at=time_if_readable(row, "seg_ended_at"),
    )


def _party(row: RawColumns, side: str) -> Party:
    return Party(
        id=text_in(row, f"{side}_part_id") or "",
        is_written=text_in(row, f"{side}_info_id") is not None,
        dn_type=whole_number_in(row, f"{side}_dn_type"),
        dn=text_in(row, f"{side}_dn") or "",
        caller_number=text_in(row, f"{side}_caller_number") or "",
    )


def calls_of(rows: Iterable[RawColumns]) -> list[FoldedCall]:
    """The calls of rows of the SELECT, in the order in which they begin there. All rows of a call must be among them; a
    call without segments has one row, without a segment."""
    by_call: dict[str, list[RawColumns]] = {}
    for row in rows:
        by_call.setdefault(text_in(row, "call_id") or "", []).append(row)
    return [
        call_of(max(own, key=_call_ended_at), [_segment_of(row) for row in own if text_in(row, "seg_id")])
        for own in by_call.values()
    ]


def _call_ended_at(row: RawColumns) -> datetime:
    """A call whose row a replica was sent twice ended as the latest of them says."""
    return time_if_readable(row, "call_ended_at") or _NEVER


def unreadable_call(row: RawColumns) -> FoldedCall:
    """A call of which some column cannot be read, as ``problem`` says: nothing is waited for, nor told of it."""
    call_id = text_in(row, "call_id") or ""
    return FoldedCall(
        id=call_id,
        flows=(call_id,),
        legs=(),
        missing=(),
        started_at=time_if_readable(row, "call_started_at"),
        ended_at=time_if_readable(row, "call_ended_at"),
        problem=text_in(row, "problem") or "its segments cannot be read",
    )


def call_of(row: RawColumns, segments: Iterable[Segment]) -> FoldedCall:
    """A call out of its segments, in whatever order they come. ``row`` is any of its rows, for the call's own columns.

    The call's row is written when the call has ended, so a call is complete; only not where its segments, or their
    parties, have not been written yet.
    """
    ordered = _in_order(segments)
    call_id, ended_at = text_in(row, "call_id") or "", time_if_readable(row, "call_ended_at")
    call = FoldedCall(
        id=call_id,
        flows=(call_id,),
        legs=tuple(segment.id for segment in ordered),
        missing=tuple(_missing(call_id, ended_at, ordered)),
        started_at=time_if_readable(row, "call_started_at"),
        ended_at=ended_at,
    )
    if not call.may_be_logged or ended_at is None:
        return call
    owners = entries_of(_talks(ordered))
    unanswered = None if owners else _dialled(ordered, ended_at) or _missed(ordered, ended_at)
    return replace(call, owners=owners, unanswered=unanswered)


def _in_order(segments: Iterable[Segment]) -> list[Segment]:
    """By ``seq_order``, what has none last; a segment that a replica was sent twice counts once."""
    ranked = sorted(segments, key=lambda each: (each.order is None, each.order or 0, each.id, repr(each)))
    return list({segment.id: segment for segment in ranked}.values())


def _missing(call_id: str, ended_at: datetime | None, ordered: Sequence[Segment]) -> Iterator[Missing]:
    if ended_at is None:
        yield Missing(call_id, Lack.END)
    if not ordered:
        yield Missing(call_id, Lack.SEGMENTS)
    for segment in ordered:
        if segment.started_at is None or segment.ended_at is None:
            yield Missing(segment.id, Lack.END)
        if not (segment.source.is_written and segment.destination.is_written):
            yield Missing(segment.id, Lack.PARTY)


def _talks(ordered: Sequence[Segment]) -> list[Talk]:
    is_internal = not any(side.is_line for segment in ordered for side in (segment.source, segment.destination))
    talks: list[Talk] = []
    group: str | None = None
    forwarder: Party | None = None
    for segment in ordered:
        if talk := _talk(segment, group, forwarder, is_internal=is_internal):
            talks.append(talk)
        group = _group_after(segment, group)
        forwarder = _forwarder_after(segment, forwarder)
    return talks


def _talk(segment: Segment, group: str | None, forwarder: Party | None, *, is_internal: bool) -> Talk | None:
    """What was said in a segment, if a person of ours was one of the two."""
    sides = _person_and_other(segment, forwarder, is_internal=is_internal)
    if sides is None or segment.started_at is None or segment.ended_at is None:
        return None
    person, other = sides
    return Talk(
        leg=segment.id,
        extension=person.dn,
        number=other.number,
        direction=Direction.INBOUND if other is segment.source else Direction.OUTBOUND,
        party=None if is_internal else other.id,
        answered_at=segment.started_at,
        ended_at=segment.ended_at,
        group=group,
        is_internal=is_internal,
        hangup_cause=segment.hangup_cause,
    )


def _person_and_other(segment: Segment, forwarder: Party | None, *, is_internal: bool) -> tuple[Party, Party] | None:
    """Whose talk a connected segment is, and with whom; in the house that of who was called."""
    source, destination = segment.source, segment.destination
    if not segment.is_connected:
        return None
    if source.is_line:
        person = destination if destination.is_extension else forwarder if destination.is_line else None
        return (person, source) if person else None
    if source.is_extension and destination.is_line:
        return source, destination
    return (destination, source) if is_internal and source.is_extension and destination.is_extension else None


def _group_after(segment: Segment, before: str | None) -> str | None:
    """The queue or ring group that a call has come by last."""
    return next((side.dn for side in (segment.destination, segment.source) if side.is_group), before)


def _forwarder_after(segment: Segment, before: Party | None) -> Party | None:
    """Who has sent the call on if it goes on to an outside number now: the extension that it rang at last, unless that
    answered, for then it was transferred.

    A member that its group rang for nothing has sent nobody anywhere, nor has who was only asked by a colleague.
    """
    if not (segment.source.is_extension or segment.destination.is_extension):
        return before
    if segment.is_connected:
        return None
    if segment.source.is_extension or (segment.source.is_group and segment.action in _RINGING_ENDED):
        return before
    return segment.destination


def _dialled(ordered: Sequence[Segment], ended_at: datetime) -> Entry | None:
    """A call to the outside that nobody took: whoever called, and the number."""
    dialled = [each.destination.number for each in ordered if each.destination.dn_type in (_LINE, _NOT_FOUND)]
    if not dialled or not ordered[0].source.is_extension:
        return None
    number = next(filter(None, dialled), "")
    return _nobody_talked(ordered, ended_at, ordered[0].source, number, Direction.OUTBOUND)


def _missed(ordered: Sequence[Segment], ended_at: datetime) -> Entry | None:
    """Any other call that nobody took: whom it reached last, and who called; None if nobody is there to call back."""
    way = [_Reached(each.destination, each.source) for each in ordered]
    people = [each for each in way if each.party.is_somebodys and not each.is_by_poll]
    groups = [each for each in way if each.party.is_group] or _calling_back(ordered)
    machines = [each for each in way if each.party.dn_type is not None and not each.party.is_outside]
    reached = next((each[-1] for each in (people, groups, machines) if each), None)
    outside = _outside_party(ordered)
    if reached is None:
        return None
    other = outside or next((side for side in (reached.other, ordered[0].source) if side.is_extension), None)
    if other is None:
        return None
    is_called = outside is not None and all(segment.source != outside for segment in ordered)
    direction = Direction.OUTBOUND if is_called else Direction.INBOUND
    entry = _nobody_talked(ordered, ended_at, reached.party, other.number, direction)
    return replace(entry, group=groups[-1].party.dn if groups else None, is_internal=outside is None)


@dataclass(frozen=True, slots=True)
class _Reached:
    """A party that a call got to, and the one that it came from."""

    party: Party
    other: Party

    @property
    def is_by_poll(self) -> bool:
        """A queue or ring group rang one of its members, which for the call as a whole is noise."""
        return self.other.is_group


def _calling_back(ordered: Sequence[Segment]) -> list[_Reached]:
    """Queues that call somebody themselves, who would not wait."""
    return [_Reached(each.source, each.destination) for each in ordered if each.source.is_group]


def _outside_party(ordered: Sequence[Segment]) -> Party | None:
    """The first one: of the lines, else of what else is not ours."""
    sides = [side for segment in ordered for side in (segment.source, segment.destination)]
    ranked = (*(side for side in sides if side.is_line), *(side for side in sides if side.is_outside))
    return next(iter(ranked), None)


def _nobody_talked(
    ordered: Sequence[Segment], ended_at: datetime, ours: Party, number: str, direction: Direction
) -> Entry:
    return Entry(
        extension=ours.dn,
        direction=direction,
        number=number,
        ended_at=ended_at,
        hangup_cause=ordered[-1].hangup_cause,
    )
