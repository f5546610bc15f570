"""Talks between a person of ours and somebody else, and what each person has of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cdr.calls.call import Direction
from cdr.intake.folding.fold import Entry, OwnerPolicy


@dataclass(frozen=True, slots=True)
class Talk:
    """``extension`` is the person's; between two of ours that of the one who was called, and ``number`` the caller's.

    ``party`` tells apart whom outside the person talked with; None within the house. ``group`` is the queue or ring
    group through which the call came.
    """

    leg: str
    extension: str | None
    number: str | None
    direction: Direction
    party: str | None
    answered_at: datetime
    ended_at: datetime
    group: str | None
    is_internal: bool
    hangup_cause: str | None

    @property
    def span(self) -> timedelta:
        return max(timedelta(), self.ended_at - self.answered_at)

    def as_the_caller_has_it(self) -> Talk:
        return replace(self, extension=self.number, number=self.extension, direction=Direction.OUTBOUND)


def entries_of(talks: Sequence[Talk]) -> dict[OwnerPolicy, tuple[Entry, ...]]:
    """The entries that each policy makes of a call's talks, consultations among them; none of no talk.

    Talks that began in the same instant keep the order that they are given in.
    """
    counted = _without_consultations(sorted(talks, key=lambda talk: talk.answered_at))
    if not counted:
        return {}
    owners = _entries_by_person(counted)
    called = {talk.extension for talk in counted}
    begun = [talk.as_the_caller_has_it() for talk in counted if talk.is_internal and talk.number not in called]
    return {
        "last_answered": (next(entry for entry in owners if entry.leg == counted[-1].leg),),
        "first_answered": (owners[0],),
        "longest": (max(owners, key=lambda entry: entry.talk),),  # of several, max takes the first
        "each": (*owners, *_entries_by_person(begun)),
    }


def _without_consultations(talks: Iterable[Talk]) -> list[Talk]:
    """Without those that began while the same person's talk with another one outside went on: time would count twice.

    As one with another party only counts once all before it have ended, there is never more than one to remember.
    """
    counted: list[Talk] = []
    latest: dict[str | None, Talk] = {}
    for talk in talks:
        before = latest.get(talk.extension)
        if before is not None and before.party != talk.party and talk.answered_at < before.ended_at:
            continue
        counted.append(talk)
        if before is None or talk.ended_at >= before.ended_at:
            latest[talk.extension] = talk
    return counted


def _entries_by_person(talks: Iterable[Talk]) -> list[Entry]:
    """One for each person, by first talk: all talks in sum, the rest as in the last one."""
    by_person: defaultdict[str | None, list[Talk]] = defaultdict(list)
    for talk in talks:
        by_person[talk.extension].append(talk)
    return [_entry_of(own) for own in by_person.values()]


def _entry_of(talks: Sequence[Talk]) -> Entry:
    last = talks[-1]
    return Entry(
        extension=last.extension,
        direction=last.direction,
        number=last.number,
        talk=sum((talk.span for talk in talks), timedelta()),
        answered_at=talks[0].answered_at,
        ended_at=last.ended_at,
        group=last.group,
        leg=last.leg,
        is_internal=last.is_internal,
        hangup_cause=last.hangup_cause,
    )
