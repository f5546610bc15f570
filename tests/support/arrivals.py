"""Played calls whose legs get into a table in some way, while it is polled and what was queued is submitted.

Run as a program it prints the table of ``docs/guarantees.md``: ``python -m tests.support.arrivals --calls 400``.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from cdr.intake.folding.fold import FoldOptions, OwnerPolicy
from cdr.intake.poll import poll
from cdr.intake.time_order.reader import LegPatience
from local.phone_system.v20 import Answer, PlayedCall, play
from shared.errors import PipelineError, SourceUnavailable, StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.leg_table import InMemoryLegTable, InMemoryV20
from tests.fakes.positions import InMemoryPositionStore
from tests.support.pollers import make_poller
from tests.support.workshop import Workshop
from tests.support.writings import When, Writing, writings

BEGIN = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
EVERY = 5 * MINUTE
"""The connector's schedule."""


@dataclass(frozen=True)
class Way:
    """How rows appear. ``copies``: what changes of a leg is another row, and not the row itself."""

    name: str
    when: When | None
    late: timedelta = timedelta()
    doubled: float = 0.0
    joined_late: timedelta = timedelta()
    copied_every: timedelta | None = None

    @property
    def copies(self) -> bool:
        return bool(self.doubled or self.copied_every)

    @property
    def patience(self) -> LegPatience:
        delay = 2 * (self.copied_every or timedelta())
        return LegPatience(overlap=15 * MINUTE + delay, settle=5 * MINUTE + delay)

    def writings(self, call: PlayedCall, random: Random) -> list[Writing]:
        when: When = self.when or random.choice(["leg start", "leg end", "flow end"])
        times: dict[str, Any] = {"late": self.late, "joined_late": self.joined_late, "copied_every": self.copied_every}
        return writings(call, random, when, doubled=self.doubled, **times)


WAYS = (
    Way("at leg start, changed later", "leg start"),
    Way("at leg end", "leg end"),
    Way("at flow end", "flow end"),
    Way("at leg end, 10 % up to 5 min late", "leg end", late=5 * MINUTE),
    Way("at leg end, a third doubled", "leg end", doubled=0.3),
    Way("at leg end, joins told up to 10 min later", "leg end", joined_late=10 * MINUTE),
    Way("connector every 5 min", "leg end", copied_every=EVERY),
    Way("all of it", None, 5 * MINUTE, 0.3, 10 * MINUTE, EVERY),
)


@dataclass
class Count:
    """Of entries: how many there should be, and what is wrong with those that there are."""

    entries: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    polls: int = 0
    queued: int = 0

    @property
    def mistakes(self) -> list[str]:
        return [*self.lost, *self.wrong, *self.twice]


class Arrivals:
    """Everything from the table to the API. Polls come at random, and one in ten dies somewhere."""

    def __init__(self, way: Way, owner: OwnerPolicy, random: Random) -> None:
        self.way = way
        self.random = random
        self.clock = HandMovedClock(BEGIN)
        self.shop = Workshop(
            self.clock,
            include_unanswered=True,
            unmapped_extensions="submit_without_email",
            emails={},
            random=random.random,
        )
        self.table = InMemoryLegTable(self.clock)
        self.positions = InMemoryPositionStore()
        self.source = InMemoryV20(
            self.table, self.clock, way.patience, options=FoldOptions(owner), page_size=random.choice([20, 100, 2_000])
        )
        self.queued = self.polls = 0

    def write(self, calls: Sequence[PlayedCall]) -> None:
        """And poll, until everything that comes late has come."""
        coming = iter(sorted((w for call in calls for w in self.way.writings(call, self.random)), key=lambda w: w.at))
        following = next(coming, None)
        last = self.clock.now()
        while following is not None or self.clock.now() < last + 45 * MINUTE:
            while following is not None and following.at <= self.clock.now():
                (self.table.add if self.way.copies else self.table.put)(following.row)
                last = following.at
                following = next(coming, None)
            self.poll()
            if self.random.random() < 0.7:
                self.shop.deliver_visible()
            self.clock.move(self.random.choice([1, 20, 30, 30, 30, 90]) * SECOND)
        for _ in range(20):
            self.shop.deliver_visible()
            self.clock.move(5 * MINUTE)

    def poll(self) -> None:
        if self.random.random() < 0.1:
            part = self.random.choice([self.table, self.shop.queue, self.positions])
            error = SourceUnavailable if part is self.table else StorageUnavailable
            part.fail_at(self.random.randint(1, 6), error("told to"), answer_lost=self.random.random() < 0.5)
        poller = make_poller(self.source, self.shop.queue, self.positions, self.clock)
        self.polls += 1
        with suppress(PipelineError):
            self.queued += poll(poller).queued


def judged(way: Way, owner: OwnerPolicy, calls: int, seed: int) -> Count:
    """What becomes of so many calls that begin within some hours, over midnight."""
    random = Random(f"{seed} {way.name} {owner}")
    played = [play(random, BEGIN + random.random() * calls * 45 * SECOND) for _ in range(calls)]
    arrivals = Arrivals(way, owner, random)
    arrivals.write(played)
    found: dict[str, list[Any]] = {}
    for entry in arrivals.shop.api.call_logger.entries:
        found.setdefault(entry["pbxCallId"], []).append(_told(entry))
    right = {key: answer for call in played for key, answer in _right(call, owner)}
    count = Count(len(right), polls=arrivals.polls, queued=arrivals.queued)
    count.lost = sorted(right.keys() - found.keys())
    count.twice = sorted(key for key, entries in found.items() if key not in right or len(entries) > 1)
    count.wrong = [
        f"{key}: {found[key][0]} instead of {_as_told(answer)}"
        for key, answer in right.items()
        if key in found and found[key][0] != _as_told(answer)
    ]
    return count


def _right(call: PlayedCall, owner: OwnerPolicy) -> Iterator[tuple[str, Answer]]:
    answers = call.owners[owner]
    for answer in answers:
        yield f"{call.id}/{answer.extension}" if owner == "each" else call.id, answer
    if not answers and call.unanswered:
        yield call.id, call.unanswered


Told = tuple[str, str, int, str, datetime, str | None]


def _as_told(answer: Answer) -> Told:
    number = "".join(filter(str.isdigit, answer.number or "")) or "anonymous"
    seconds = int(answer.talk / SECOND + 0.5)
    return answer.extension, answer.direction, seconds, number, _to_the_second(answer.ended_at), answer.group


def _told(entry: dict[str, Any]) -> Told:
    ended_at = _to_the_second(datetime.fromisoformat(entry["endTime"]))
    who = entry["callOwnerExtension"], entry["callDirection"], entry["callDuration"]
    return *who, entry["phoneNumber"], ended_at, entry.get("callGroupId")


def _to_the_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def table(ways: Iterable[Any], counts: Callable[[Any, OwnerPolicy], Count]) -> str:
    """In Markdown: entries, and how many of them were lost, wrong or there twice."""
    head = "| rows appear | `last_answered`: entries | lost | wrong | twice | `each`: entries | lost | wrong | twice |"
    lines = [head, "|---|" + "---:|" * 8]
    for way in ways:
        both = [counts(way, owner) for owner in ("last_answered", "each")]
        cells = [str(n) for c in both for n in (c.entries, len(c.lost), len(c.wrong), len(c.twice))]
        lines.append(f"| {way.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(ways: Iterable[Any], judged: Callable[[Any, OwnerPolicy, int, int], Count], what: str, *, calls: int) -> None:
    """The table, at the terminal."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--calls", type=int, default=calls, help="in each line")
    parser.add_argument("--seed", type=int, default=22)
    arguments = parser.parse_args()
    logging.disable()
    print(table(ways, lambda way, owner: judged(way, owner, arguments.calls, arguments.seed)))  # noqa: T201


def main() -> None:
    tell(WAYS, judged, "Count what becomes of calls whose legs arrive in several ways.", calls=400)


if __name__ == "__main__":
    main()
