"""A call, folded from whatever a phone system writes of it: whose it is, what is missing, and its records. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from cdr.calls.call import CallRecord, CallType, Direction, Value

OwnerPolicy = Literal["last_answered", "first_answered", "longest", "each"]
_ADDRESS = ("id", "call_id", "started_at", "ended_at")

MOST_PARTS = 50
"""For which a record's message has room, however long their names are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one person has of a call. ``number`` is the other side's, as the phone system has it.

    In a call in which nobody talked ``answered_at`` is None and ``talk`` nothing; then ``extension`` may be a queue's.
    """

    extension: str | None
    direction: Direction
    number: str | None
    ended_at: datetime
    talk: timedelta = timedelta()
    answered_at: datetime | None = None
    group: str | None = None
    is_internal: bool = False
    hangup_cause: str | None = None
    leg: str | None = None
    """The person's last talking leg; for explanation, not for keys."""

    @property
    def answered(self) -> bool:
        return self.answered_at is not None


class Lack(StrEnum):
    """What a leg or segment lacks; without segments, the call itself."""

    END = "has not ended"
    SUCCESSOR = "goes on in a leg that is not there"
    NAME_OF_SUCCESSOR = "goes on, but does not say in which leg"
    ORIGIN = "comes from a leg that is not there"
    PARTY = "has a party that is not there"
    SEGMENTS = "has no segments"


_MAY_STILL_BE_TALK = (Lack.END, Lack.SUCCESSOR, Lack.PARTY, Lack.SEGMENTS)
"""Where one of these is missing there may be talk that nothing tells of yet, and it may go on for hours. The others may
have been deleted, or never be written."""


@dataclass(frozen=True, slots=True)
class Missing:
    leg: str
    lack: Lack


@dataclass(frozen=True, slots=True)
class FoldedCall:
    """``flows`` and ``legs`` are in order of their start, and the first flow names the call.

    ``ended_at`` is None while a leg has no end. Where nobody talked ``owners`` is empty, and ``unanswered`` is the
    entry, unless nobody was addressed. As long as the call may not be logged there is neither. ``absent_flows`` are
    those that it was joined to and that have no legs here: perhaps on their way, though its legs miss nothing.
    ``problem`` says what of it cannot be read; then nothing else is told of it.
    """

    id: str
    flows: tuple[str, ...]
    legs: tuple[str, ...]
    missing: tuple[Missing, ...]
    started_at: datetime | None
    ended_at: datetime | None
    owners: Mapping[OwnerPolicy, tuple[Entry, ...]] = field(default_factory=dict)
    unanswered: Entry | None = None
    absent_flows: frozenset[str] = frozenset()
    problem: str | None = None

    @property
    def is_complete(self) -> bool:
        return not self.missing

    @property
    def is_whole(self) -> bool:
        """Complete, and the legs of all flows that it was joined to are there."""
        return self.is_complete and not self.absent_flows

    @property
    def may_be_logged(self) -> bool:
        """Once it has been waited for: what is missing will change nothing that anybody is told of the call."""
        return not any(missing.lack in _MAY_STILL_BE_TALK for missing in self.missing)


@dataclass(frozen=True, slots=True)
class FoldOptions:
    """``talk``: duration and end are those of the owner's talks; ``call``: of the call, with waiting and all."""

    owner: OwnerPolicy = "last_answered"
    duration: Literal["talk", "call"] = "talk"


def records_of(
    call: FoldedCall, options: FoldOptions, *, after_wait: bool = False, give_up: bool = False
) -> list[CallRecord]:
    """The call's records; none while it has to be waited for.

    ``after_wait`` makes do with what is there where that is all right, ``give_up`` also tells of a call that it is not.
    Each record has the same id however often it is made.
    """
    if not (call.is_whole or after_wait or give_up):
        return []
    if not call.may_be_logged:
        told = [_never_whole(call.missing), *([call.problem] if call.problem else [])]
        return [_record(call, {"problem": "; ".join(told)})] if give_up else []
    if call.problem:
        return [_record(call, {"problem": call.problem})]
    entries = call.owners.get(options.owner, ())
    if entries and options.owner == "each":
        return [_record(call, _values(call, entry, options), f"{call.id}/{entry.extension or ''}") for entry in entries]
    if entry := next(iter(entries), call.unanswered):
        return [_record(call, _values(call, entry, options))]
    return [_record(call, {"answered": False, "duration_s": 0, "not_logged": "no_party"})]


def end_of(record: CallRecord) -> datetime:
    """Of a record of a call that has ended."""
    return datetime.fromisoformat(str(record.values["ended_at"]))


def in_place_of(parts: Iterable[CallRecord], records: Sequence[CallRecord]) -> list[CallRecord]:
    """The records, with those of parts that may have gone out before it was known that they are one call. Who submits
    them sees to it that not both get in.

    Where each person has an entry, only one's own is in place of another. What would be in place of so many that no
    message holds them is told of as that: they stand for it.
    """
    ids = {record.id for record in records}
    old = [_address_of(part) for part in parts if part.id not in ids]
    if len(old) > MOST_PARTS:
        told = {"problem": f"it turned out to be one call only after {len(old)} parts of it had gone out as calls"}
        return [replace(record, values={**record.values, **told}) for record in records]
    return [replace(record, replaces=tuple(o for o in old if _is_of_same_person(o, record))) for record in records]


def _address_of(part: CallRecord) -> CallRecord:
    """As much of it as tells its place in the ledger: a message has little room."""
    return replace(part, values={column: part.values[column] for column in _ADDRESS if column in part.values})


def _is_of_same_person(part: CallRecord, record: CallRecord) -> bool:
    return part.id.partition("/")[2] in ("", record.id.partition("/")[2])


def _record(call: FoldedCall, values: Mapping[str, Value], record_id: str | None = None) -> CallRecord:
    times = {"started_at": _text(call.started_at), "ended_at": _text(call.ended_at)}
    return CallRecord.from_row({"id": record_id or call.id, "call_id": call.id, **times, **values})


def _values(call: FoldedCall, entry: Entry, options: FoldOptions) -> Mapping[str, Value]:
    caller, called = entry.number, entry.extension
    if entry.direction is Direction.OUTBOUND:
        caller, called = called, caller
    duration, ended_at = entry.talk, entry.ended_at
    if options.duration == "call" and call.started_at is not None and call.ended_at is not None:
        duration, ended_at = call.ended_at - call.started_at, call.ended_at
    outside = CallType.OUTBOUND if entry.direction is Direction.OUTBOUND else CallType.INBOUND
    return {
        "ended_at": _text(ended_at),
        "duration_s": _whole_seconds(duration),
        "caller_number": caller,
        "dest_number": called,
        "extension": entry.extension,
        "call_type": CallType.INTERNAL if entry.is_internal else outside,
        "answered": entry.answered,
        "hangup_cause": entry.hangup_cause,
        "call_group_id": entry.group,
    }


def _whole_seconds(span: timedelta) -> int:
    """Rounded half up; no clock that was put back makes it negative."""
    return max(0, (span + timedelta(seconds=0.5)) // timedelta(seconds=1))


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _never_whole(missing: Sequence[Missing]) -> str:
    """One sentence for people, with one leg of each kind as a way in."""
    kinds = {lack: [each.leg for each in missing if each.lack is lack] for lack in _MAY_STILL_BE_TALK}
    found = [
        f"{'call' if lack is Lack.SEGMENTS else 'leg'} {legs[0]} {lack}"
        + (f" (and {len(legs) - 1} more)" if legs[1:] else "")
        for lack, legs in kinds.items()
        if legs
    ]
    return f"The call never became whole: {', '.join(found)}"
