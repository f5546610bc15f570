"""Use case: is the source still what was read, and are there still calls? Looked at with each poll.

What is found stands in the status and in the log until it is over; where calls are surely not seen, health says so too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from cdr.groups.hours import Hours
from cdr.intake.ports import Bearings, CallReader, Memory, Position, PositionStore
from cdr.operations.call_hours import calls_expected
from cdr.operations.unread_rows import unread_rows, with_unread
from cdr.operations.watch_memory import Finding, Kind, Remembered
from shared import log
from shared.clock import Clock
from shared.errors import PipelineError, SourceMisconfigured, SourceVanished

TELL_EVERY = timedelta(hours=1)
"""While it lasts."""
ASK_EVERY = COUNT_EVERY = timedelta(minutes=5)
NAMED_ANEW_FOR = timedelta(days=7)
"""So long it stands in the status: about as far back as anybody reads again."""

WAY_OUT = "start over at a point of your choice (POST /trigger/start-over)"


class NewestCall(Protocol):
    """Another way to know what the phone system has: raises SourceUnavailable or SourceMisconfigured."""

    def newest_start(self) -> datetime | None:
        """When the newest call of its records began (aware, UTC); None if there is none."""


@dataclass(frozen=True, slots=True)
class SourceWatcher:
    """A SourceWatch. Calls may reach the source so much later than the phone system as ``delay`` says; without
    ``newest_call`` there is only the usual course of a week to tell from whether it stands still. ``named_by`` is the
    template of pbxCallId, empty for the one that fits every source.
    """

    clock: Clock
    hours: Hours
    delay: timedelta
    newest_call: NewestCall | None = None
    named_by: str = ""

    def look(self, reader: CallReader, position: Position, memory: Memory, queued: int) -> Memory:
        known, now = Remembered.from_text(memory), self.clock.now()
        known = replace(known, hours=known.hours.with_calls(queued, now))
        try:
            bearings = reader.bearings(position)
        except PipelineError as exc:
            log.event("source.watch_failed", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
            return known.to_text()
        found = what_is_wrong(bearings, known)
        if bearings.newest_at is not None:
            known = replace(known, newest_at=max(bearings.newest_at, known.newest_at or bearings.newest_at))
        if known.counted_at is None or now - known.counted_at >= COUNT_EVERY:
            known = _counted(known, reader, position, now)
        known = self._asked(known, bearings.newest_at, queued, now)
        if still := self._why_it_stands_still(known, now):
            found = {**found, Kind.STANDS_STILL: still}
        found = {**found, **unread_rows(known, now), **_named_anew(self.named_by, known, now)}
        if known.named_by != self.named_by:
            known = replace(known, named_by=self.named_by, named_before=known.named_by)
        return replace(known, findings=_told(known, found, now)).to_text()

    def failed(self, memory: Memory, error: PipelineError) -> Memory:
        if not isinstance(error, SourceVanished):
            return memory
        known = Remembered.from_text(memory)
        found = {each.kind: each.detail for each in known.findings} | {Kind.VANISHED: log.mask_numbers(str(error))}
        return replace(known, findings=_told(known, found, self.clock.now())).to_text()

    def forget(self, memory: Memory) -> Memory:
        known = Remembered.from_text(memory)
        known = replace(known, newest_at=None, behind=None, late_at=None, counted_at=None)
        return replace(known, findings=_told(known, {}, self.clock.now())).to_text()

    def _asked(self, known: Remembered, newest_at: datetime | None, queued: int, now: datetime) -> Remembered:
        if self.newest_call is None:  # also where it was asked once: then the usual course has to do again
            return replace(known, asked_at=None, ahead_since=None)
        if queued:
            return replace(known, ahead_since=None)
        if known.asked_at is not None and now - known.asked_at < ASK_EVERY:
            return known
        try:
            newest = self.newest_call.newest_start()
        except PipelineError as exc:
            log.event("source.watch_failed", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
            return replace(known, asked_at=None)
        is_ahead = newest is not None and (newest_at is None or newest > newest_at)
        return replace(known, asked_at=now, ahead_since=(known.ahead_since or now) if is_ahead else None)

    def _why_it_stands_still(self, known: Remembered, now: datetime) -> str | None:
        if known.asked_at is not None:
            if known.ahead_since is None or now - known.ahead_since < self.delay:
                return None
            return f"since {known.ahead_since:%Y-%m-%d %H:%M} UTC the phone system has later calls than are read here"
        expected = calls_expected(known.hours, self.hours, now)
        if expected is None:
            return None
        return f"no calls came where there were at least {expected} in the same hours of each of the last weeks"


def _counted(known: Remembered, reader: CallReader, position: Position, now: datetime) -> Remembered:
    """What fails here keeps nothing else from being seen, and is not tried at each poll."""
    try:
        return with_unread(known, reader.unread(position), now)
    except PipelineError as exc:
        log.event("source.watch_failed", level=logging.WARNING, reason=log.mask_numbers(str(exc)))
        return replace(known, counted_at=now)


def what_is_wrong(bearings: Bearings, known: Remembered) -> Mapping[Kind, str]:
    """What a look at the end of a source says of it, each with a sentence for people. Pure.

    Ids that began again are known by another call at the position, by a lower id with a later call, or where nothing
    stands at the position by the first call of all being later. That is not over when they have grown beyond the
    position: what is below it was never read.
    """
    read, newest = bearings.read, bearings.newest
    if newest is None:
        found = {Kind.EMPTIED: f"there are no calls any more, after {read} was read"} if read else {}
        return {**found, **_lasting(known)}
    if bearings.is_beyond and not isinstance(newest, int):
        return {Kind.ENDS_GONE: f"the newest call ended {newest}, but one was read that ended {read}: was it set back?"}
    newest_is_later, first_is_later = (
        at is not None and known.newest_at is not None and at > known.newest_at
        for at in (bearings.newest_at, bearings.first_at)
    )
    if bearings.is_another or first_is_later or (bearings.is_beyond and newest_is_later):
        sentence = f"ids have started again: up to {read} was read, and there are new calls below; {WAY_OUT}"
        return {Kind.STARTED_AGAIN: sentence}
    if bearings.is_beyond and not known.finding(Kind.STARTED_AGAIN):
        return {Kind.BEYOND: f"the newest id is {newest}, and nothing below {read} will be read; {WAY_OUT}"}
    return _lasting(known)


def _named_anew(template: str, known: Remembered, now: datetime) -> Mapping[Kind, str]:
    """Calls have other names than they had: who reads one again under its new name does not find its old record."""
    before = known.finding(Kind.NAMED_ANEW)
    if known.named_by is not None and template != known.named_by:
        was, is_now = (f"{each!r}" if each else "the default" for each in (known.named_by, template))
        sentence = f"calls.pbx_call_id was {was} and is {is_now}: do not start over at calls from before the change"
        return {Kind.NAMED_ANEW: sentence}
    return {Kind.NAMED_ANEW: before.detail} if before and now - before.since < NAMED_ANEW_FOR else {}


def _lasting(known: Remembered) -> Mapping[Kind, str]:
    found = known.finding(Kind.STARTED_AGAIN)
    return {Kind.STARTED_AGAIN: found.detail} if found else {}


def check_source(positions: PositionStore) -> None:
    """For health.

    :raises SourceMisconfigured: calls are surely not seen
    """
    for found in Remembered.from_text(positions.read().memory).findings:
        if found.kind.hides_calls:
            raise SourceMisconfigured(found.detail)


def _told(known: Remembered, wrong: Mapping[Kind, str], now: datetime) -> tuple[Finding, ...]:
    """What is wrong now; people are told of it when it begins, every hour while it lasts, and when it is over."""
    for over in (found for found in known.findings if found.kind not in wrong):
        log.event("source.recovered", kind=over.kind.value, since=over.since)
    return tuple(_finding(kind, detail, known.finding(kind), now) for kind, detail in wrong.items())


def _finding(kind: Kind, detail: str, before: Finding | None, now: datetime) -> Finding:
    if kind.is_told_once:
        is_news = before is None or before.detail != detail
        since = now
    else:
        is_news = before is None or now - before.told_at >= TELL_EVERY
        since = before.since if before else now
    if before is not None and not is_news:
        return replace(before, detail=detail)
    found = Finding(kind, detail, since, now)
    _tell(found)
    return found


def _tell(found: Finding) -> None:
    detail, since = found.detail, found.since
    match found.kind:
        case Kind.STARTED_AGAIN:
            log.event("source.ids_started_again", level=logging.ERROR, detail=detail, since=since)
        case Kind.BEYOND:
            log.event("source.ids_below_position", level=logging.ERROR, detail=detail, since=since)
        case Kind.ENDS_GONE:
            log.event("source.ends_went_back", level=logging.WARNING, detail=detail, since=since)
        case Kind.EMPTIED:
            log.event("source.emptied", level=logging.WARNING, detail=detail, since=since)
        case Kind.STANDS_STILL:
            log.event("source.stands_still", level=logging.WARNING, detail=detail, since=since)
        case Kind.VANISHED:
            log.event("source.vanished", level=logging.ERROR, detail=detail, since=since)
        case Kind.NAMELESS:
            log.event("source.rows_without_id", level=logging.ERROR, detail=detail, since=since)
        case Kind.CAME_LATE:
            log.event("source.rows_came_late", level=logging.WARNING, detail=detail, since=since)
        case Kind.NAMED_ANEW:
            log.event("source.calls_named_anew", level=logging.WARNING, detail=detail, since=since)
