"""From a table of legs, which knows no calls, to all legs of a call: what the reader asks of such a table, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cdr.intake.folding.leg import Leg
from cdr.intake.queued_marks import mark_of

FLOWS_AT_ONCE = 200
"""Whose legs are read together."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A leg, as far as it is needed to find its call. ``flow`` is empty for one of no call; ``ended_at`` of one without
    an end is when it began. What is not ``usual`` is a flow that is written in another way than it is asked for."""

    flow: str
    main_flow: str | None
    ended_at: datetime
    is_usual: bool = True

    @property
    def mark(self) -> str:
        return mark_of(self.flow, self.main_flow)


class LegTable(Protocol):
    """An open connection to a table of legs. Every method raises SourceUnavailable or SourceMisconfigured."""

    def now(self) -> datetime:
        """The server's own time (aware, UTC)."""

    def newest_end(self) -> datetime | None:
        """None if no leg has ended."""

    def ended_from(self, since: datetime | None, limit: int) -> Sequence[Touched]:
        """Up to ``limit`` legs that ended at ``since`` or later (None: whenever), in order of their ends."""

    def endless_from(self, since: datetime | None, before: datetime, limit: int) -> Sequence[Touched]:
        """Up to ``limit`` legs without an end that began at ``since`` (None: whenever) or later, but before ``before``,
        in order of their beginnings."""

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        """Legs of these flows, and of flows that were joined to one of them; if there are more than ``limit``, at least
        one more than that and no more than some of them."""

    def count_ended(self, start: datetime, end: datetime) -> int:
        """How many legs ended from ``start`` to before ``end`` (aware); copies of one count once."""

    def nameless(self, most: int) -> int:
        """How many legs are of no call, or of no time, counted up to so many. No other method comes by them."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """A call with more legs than are read of one; ``legs`` are some of them."""

    legs: Sequence[Leg]

    @property
    def name(self) -> str:
        """The flow that most of them are of."""
        counted = Counter(leg.flow for leg in self.legs)
        return max(sorted(counted), key=counted.__getitem__)


def pages_from(table: LegTable, since: datetime | None, size: int) -> Iterator[Sequence[Touched]]:
    """All legs that ended at ``since`` or later, in order of their ends.

    Each page begins at the instant at which the one before ended, since more may have ended then; where that leads no
    further, for all of a page ended then, the next one is larger. So no ids are compared, which every engine orders in
    a way of its own, and a column of finer times than ours loses nothing.
    """
    return _pages(table.ended_from, since, size)


def endless_pages(table: LegTable, since: datetime | None, before: datetime, size: int) -> Iterator[Sequence[Touched]]:
    """In the same way all that have not ended and began in this span."""
    return _pages(lambda since, limit: table.endless_from(since, before, limit), since, size)


def _pages(
    read: Callable[[datetime | None, int], Sequence[Touched]], since: datetime | None, size: int
) -> Iterator[Sequence[Touched]]:
    limit = size
    while page := read(since, limit):
        yield page
        if len(page) < limit:
            return
        newest = newest_end_of(page)
        is_further = since is None or newest > since
        since, limit = (newest, size) if is_further else (since, 2 * limit)


def newest_end_of(page: Iterable[Touched]) -> datetime:
    return max(leg.ended_at for leg in page)


def flows_of(touched: Iterable[Touched]) -> list[str]:
    return list(dict.fromkeys(leg.flow for leg in touched if leg.flow))


def legs_by_call(table: LegTable, flows: Sequence[str], most_legs: int) -> Iterator[Sequence[Leg] | TooLong]:
    """All legs of the calls of these flows: some calls at a time, each whole, and but for those too long each once."""
    seen: set[str] = set()
    for start in range(0, len(flows), FLOWS_AT_ONCE):
        wanted = [flow for flow in flows[start : start + FLOWS_AT_ONCE] if flow not in seen]
        for legs in _joined(table, wanted, most_legs):
            if not isinstance(legs, TooLong):
                seen.update(leg.flow for leg in legs)
            yield legs


def _joined(table: LegTable, flows: Sequence[str], most_legs: int) -> Iterator[Sequence[Leg] | TooLong]:
    """Over any number of steps, until no flow is named that was not asked for."""
    legs: dict[Leg, None] = {}
    asked: set[str] = set()
    wanted = set(flows)
    while wanted:
        legs |= dict.fromkeys(table.legs_of(sorted(wanted), most_legs))
        if len(legs) > most_legs:
            yield from _apart(table, flows, list(legs), most_legs)
            return
        asked |= wanted
        wanted = {flow for leg in legs for flow in (leg.flow, leg.main_flow) if flow is not None} - asked
    if legs:
        yield list(legs)


def _apart(
    table: LegTable, flows: Sequence[str], legs: Sequence[Leg], most_legs: int
) -> Iterator[Sequence[Leg] | TooLong]:
    """Together they have too many legs: one of them is too long, or they are too many calls."""
    if len(flows) == 1:
        yield TooLong(legs)
        return
    middle = len(flows) // 2
    yield from _joined(table, flows[:middle], most_legs)
    yield from _joined(table, flows[middle:], most_legs)
