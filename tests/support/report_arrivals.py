"""Played calls whose rows get into a report in some way, while it is polled and what was queued is submitted.

Right is what the rows tell in the end: whose a call is can be seen of them, when it is over cannot. Run as a program it
prints a table: ``python -m tests.support.report_arrivals --calls 200``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from cdr.calls.message import Message
from cdr.intake.folding.fold import FoldOptions, OwnerPolicy, records_of
from cdr.intake.folding.xapi_rows import calls_of_report
from cdr.intake.poll import poll
from cdr.intake.ports import Position, Progress, SourceFacts
from cdr.intake.window_order import reader as window_order
from cdr.intake.window_order.reader import WindowOrderReader
from cdr.intake.window_order.report import ReportPatience
from local.phone_system.v20 import SHAPES, PlayedCall, play
from shared.clock import Clock
from shared.errors import PipelineError, SourceUnavailable, StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.fakes.report import InMemoryReport
from tests.support.arrivals import Count, tell
from tests.support.pollers import make_poller
from tests.support.report_writings import ReportedCall, Telling, When, is_told, reported
from tests.support.workshop import Workshop

BEGIN = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TOLD_SHAPES = sorted(set(SHAPES) - {"paging"})
"""A page cannot be told from a call."""


@dataclass(frozen=True)
class Way:
    """How rows appear, and what is told of calls under way. ``reasons``: rows say where a call went on."""

    name: str
    when: When = "leg end"
    late: timedelta = timedelta()
    telling: Telling = "current talk"
    one_id: bool = True
    reasons: bool = True
    every: tuple[int, ...] = (20, 30, 30, 40)


WAYS = (
    Way("when the leg ends"),
    Way("when the leg ends, one in five up to 5 min late", late=5 * MINUTE),
    Way("when the flow ends", "flow end"),
    Way("when the leg starts, changed later", "leg start"),
    Way("late; established tells the first talk", late=5 * MINUTE, telling="first talk"),
    Way("late; only the last change is told", late=5 * MINUTE, telling="last change"),
    Way("late; each talk is under way under an id of its own", late=5 * MINUTE, one_id=False),
    Way("late; no row says where a call went on", late=5 * MINUTE, reasons=False),
    Way("late; polled every 5 s to 10 min", late=5 * MINUTE, every=(5, 60, 600)),
)


@dataclass(frozen=True)
class InMemorySource:
    """A CallSource over a report in memory."""

    report: InMemoryReport
    clock: Clock
    options: FoldOptions
    name: str = "xapi"

    @contextmanager
    def connect(self) -> Iterator[WindowOrderReader]:
        yield WindowOrderReader(self.report, self.clock, ReportPatience(), self.options)

    def about(self) -> SourceFacts:
        return SourceFacts("a report in memory")

    def progress(self, position: Position) -> Progress:
        return window_order.progress(position)


def judged(way: Way, owner: OwnerPolicy, calls: int, seed: int) -> Count:
    """What becomes of so many calls; one in ten talks for long."""
    random = Random(f"{seed} {way.name} {owner}")
    clock = HandMovedClock(BEGIN)
    written = [_written(way, random, BEGIN + random.random() * calls * MINUTE) for _ in range(calls)]
    report = InMemoryReport(clock, [call for call in written if call.final])
    report.telling, report.one_id = way.telling, way.one_id
    shop = _shop(clock)
    source = InMemorySource(report, clock, FoldOptions(owner))
    _work(source, shop, random, way)
    return _compared(shop, _right(report.calls, owner))


def _work(source: InMemorySource, shop: Workshop, random: Random, way: Way) -> None:
    """Polls come at random, and one in ten dies somewhere, until everything is over and has been read."""
    positions = InMemoryPositionStore()
    over = max(call.played.ended_at for call in source.report.calls)
    while shop.clock.now() < over + 2 * HOUR:
        if random.random() < 0.1:
            part = random.choice([source.report, shop.queue, positions])
            error = SourceUnavailable if part is source.report else StorageUnavailable
            part.fail_at(random.randint(1, 6), error("told to"), answer_lost=random.random() < 0.5)
        with suppress(PipelineError):
            poll(make_poller(source, shop.queue, positions, shop.clock, start_from=BEGIN - HOUR))
        if random.random() < 0.7:
            shop.deliver_visible()
        shop.clock.move(random.choice(way.every) * SECOND if shop.clock.now() < over + 20 * MINUTE else 5 * MINUTE)
    for _ in range(20):
        shop.deliver_visible()
        shop.clock.move(5 * MINUTE)


def _written(way: Way, random: Random, begin: datetime) -> ReportedCall:
    played = play(random, begin, random.choice(TOLD_SHAPES))
    if random.random() < 0.1:
        played = prolonged(played, random)
    call = reported(played, random, way.when, late=way.late)
    if way.reasons:
        return call
    rows = [replace(each, leg=replace(each.leg, continued_in=None)) for each in call.rows]
    return replace(call, rows=rows, final=[replace(leg, continued_in=None) for leg in call.final])


def prolonged(call: PlayedCall, random: Random) -> PlayedCall:
    """With one talk that lasts for up to four hours more, and is told of; while a phone rings there is none."""
    ringing = [
        (row["cdr_started_at"], row["cdr_answered_at"] or row["cdr_ended_at"])
        for row in call.rows
        if row["destination_entity_type"] != "queue"
    ]
    answers = (
        row["cdr_answered_at"] for row in call.rows if row["destination_entity_type"] != "queue" and is_told(row)
    )
    moments = [at + timedelta(milliseconds=1) for at in answers if at is not None]
    moments = [at for at in moments if not any(start <= at < end for start, end in ringing)]
    if not moments or _is_consulted_twice(call):
        return call
    at, longer = random.choice(moments), random.random() * 4 * HOUR

    def moved(moment: datetime | None) -> datetime | None:
        return moment + longer if moment is not None and moment > at else moment

    times = ("cdr_started_at", "cdr_answered_at", "cdr_ended_at")
    rows = [row | {name: moved(row[name]) for name in times} for row in call.rows]
    return replace(call, rows=rows, ended_at=call.ended_at + longer)


def _is_consulted_twice(call: PlayedCall) -> bool:
    """Whether the same number is talked with in two flows, which rows cannot tell apart."""
    numbers = {
        (row["call_history_id"], row[f"{side}_participant_phone_number"])
        for row in call.rows
        for side in ("source", "destination")
        if row[f"{side}_entity_type"] == "external_line"
    }
    return len({number for _, number in numbers}) < len(numbers)


def _shop(clock: HandMovedClock) -> Workshop:
    rules: dict[str, Any] = {"unmapped_extensions": "submit_without_email", "emails": {}}
    return Workshop(clock, include_unanswered=True, **rules)


def _right(calls: Sequence[ReportedCall], owner: OwnerPolicy) -> list[dict[str, Any]]:
    """The entries that come of the rows as they are in the end."""
    shop = _shop(HandMovedClock(BEGIN))
    for call in calls:
        for folded in calls_of_report(call.final):
            for record in records_of(folded, FoldOptions(owner), after_wait=True):
                shop.submit(Message((record,)))
    return shop.api.call_logger.entries


def _compared(shop: Workshop, right: list[dict[str, Any]]) -> Count:
    found: dict[str, list[Any]] = {}
    for entry in shop.api.call_logger.entries:
        found.setdefault(entry["pbxCallId"], []).append(_told(entry))
    expected = {entry["pbxCallId"]: _told(entry) for entry in right}
    return Count(
        len(expected),
        lost=sorted(expected.keys() - found.keys()),
        wrong=[f"{key}: {found[key][0]}" for key, told in expected.items() if key in found and found[key][0] != told],
        twice=sorted(key for key, entries in found.items() if key not in expected or len(entries) > 1),
    )


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in ("id", "createdAt", "updatedAt")}


def main() -> None:
    tell(WAYS, judged, "Count what becomes of calls whose rows appear in several ways.", calls=200)


if __name__ == "__main__":
    main()
