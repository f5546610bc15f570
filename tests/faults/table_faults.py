"""The table of calls is not what it was: emptied, begun anew, written to after it was read, with values that nobody can
read."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

from tests.faults.lab import Lab
from tests.faults.phone_system import NOT_YET
from tests.faults.site import Site
from tests.faults.verdict import Verdict

ROWS = 6
FOUND_WITHIN_S = 20

CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("unanswered", {"Answered": 1}),
    ("no duration", {"Duration": 90}),
    ("no answer column", {"Answered": 1}),
    ("long number", {"CallerNumber": "+1 907 555 0142"}),
    ("unmapped", {"Extension": "101"}),
)
"""Sorts of rows that are not logged, and what is written to them later."""

LATE_CHANGES: tuple[dict[str, Any], ...] = ({"Duration": 300}, {"CallerNumber": "+1 907 555 0199"}, {"Answered": 0})
"""To rows of calls that are in: nothing more may come of these."""

ODD: tuple[dict[str, Any], ...] = (
    {"CallerNumber": b"+1\xff\xfe907"},
    {"EndTime": "yesterday"},
    {"EndTime": b"\x00\xff"},
    {"Duration": "ninety"},
    {"Duration": 9e999},
    {"StartTime": -1e300},
    {"Extension": b"\x80"},
    {"Answered": "perhaps"},
    {"CallType": 10**18},
)
"""SQLite takes them all."""


def ids_start_again(lab: Lab, rng: random.Random, *, engine: str) -> tuple[Verdict, int]:
    """The table is begun anew, with fewer rows than were read, or more. It is noticed; then reading starts over."""
    with Site(lab, rng, workers=2, engine=engine) as site:
        site.add_mixed(rng.randint(4, 2 * ROWS))
        if (verdict := site.settle()).problems:
            return verdict, 0
        site.phone_system.empty(start_again=True)
        site.faults.injected += 1
        site.add_mixed(rng.choice([3, 3, 4 * ROWS]))
        if problem := _not_noticed(site, {"ids_started_again", "ids_below_position"}):
            return problem, site.faults.injected
        if rng.random() < 0.3:
            rng.choice(site.workers).kill()
        site.wait_for(lambda: bool(site.ask("trigger/start-over", {"from": "beginning"})))
        site.books.missing_ids_are_kept = False
        site.add("good")
        return site.settle(), site.faults.injected


def emptied(lab: Lab, rng: random.Random, *, engine: str) -> tuple[Verdict, int]:
    """Every row is removed, and the phone system goes on with the next ids; nothing has to be done."""
    with Site(lab, rng, workers=2, engine=engine) as site:
        site.add_mixed(ROWS)
        if (verdict := site.settle()).problems:
            return verdict, 0
        site.phone_system.empty(start_again=False)
        site.faults.injected += 1
        if problem := _not_noticed(site, {"emptied"}):
            return problem, site.faults.injected
        site.books.missing_ids_are_kept = False
        site.add_mixed(ROWS)
        verdict = site.settle(also=lambda: not site.findings())
        return verdict, site.faults.injected


def rewritten(lab: Lab, rng: random.Random, *, engine: str) -> tuple[Verdict, int]:
    """Rows are corrected after they were read: reconciling has those judged again that were not logged, and leaves
    those alone that are in."""
    with Site(lab, rng, workers=2, engine=engine) as site:
        chosen = [rng.choice(CHANGES) for _ in range(ROWS)]
        rows = site.add(*(sort for sort, _ in chosen))
        is_in = site.add("good", "good", "good")
        if (verdict := site.settle()).problems:
            return verdict, 0
        for number, (_, columns) in zip(rows, chosen, strict=True):
            site.phone_system.change(number, **columns)
            site.books.expected[number] = "submitted"
            site.faults.injected += 1
        for number in is_in:
            site.phone_system.change(number, **rng.choice(LATE_CHANGES))
            site.faults.injected += 1
        return _reconciled(site), site.faults.injected


def ends_later(lab: Lab, rng: random.Random, *, engine: str) -> tuple[Verdict, int]:
    """Rows have a placeholder for their end; some end while they are waited for, some after they were given up."""
    more = {"open_row_wait": "240 seconds"}  # eight of ours, in which a busy machine must see what ends in time
    with Site(lab, rng, workers=2, engine=engine, three_cx=more) as site:
        site.phone_system.not_yet = rng.choice([None, *NOT_YET])
        given_up, in_time = site.add("good", "good", ended=False), site.add("good", "good", ended=False)
        site.good -= set(given_up)
        site.add_mixed(ROWS)
        site.faults.injected += len(given_up) + len(in_time)
        site.start()
        site.wait_for(lambda: site.books.waits_for(in_time[-1]))
        for number in in_time:
            site.phone_system.end_call(number)
        site.books.given_up.update(given_up)
        for number in given_up:
            site.books.expected[number] = "rejected"
        if (verdict := site.settle()).problems:
            return verdict, site.faults.injected
        for number in given_up:
            site.phone_system.end_call(number)
            site.books.expected[number] = "submitted"
        return _reconciled(site), site.faults.injected


def cannot_be_read(lab: Lab, rng: random.Random, *, engine: str) -> tuple[Verdict, int]:
    """Rows in which the database itself fails over a value, among others: each ends as a record, and holds up none."""
    with Site(lab, rng, workers=2, engine=engine) as site:
        site.phone_system.break_values()
        for number in site.add(*["good"] * 3, ended=False):
            _break(site, number, "rejected", lambda number: site.phone_system.change(number, HangupCause="broken"))
        site.add_mixed(ROWS)
        site.start()
        site.pause(rng.uniform(0, 0.5))
        for number in site.add("good", "good", ended=False):
            _break(site, number, "rejected", lambda number: site.phone_system.change(number, HangupCause="broken"))
        site.add("good", "good")
        return site.settle(), site.faults.injected


def odd_values(lab: Lab, rng: random.Random) -> tuple[Verdict, int]:
    """Rows whose columns hold what no phone system should write."""
    with Site(lab, rng, workers=2) as site:
        for number in site.add(*["good"] * ROWS, ended=False):
            odd = rng.choice(ODD)
            _break(
                site,
                number,
                "submitted|rejected|skipped",
                lambda number, odd=odd: site.phone_system.change(number, **odd),
            )
        site.add_mixed(ROWS)
        return site.settle(), site.faults.injected


def _break(site: Site, number: int, ends_as: str, change: Callable[[int], None]) -> None:
    site.phone_system.end_call(number)
    change(number)
    site.books.expected[number] = ends_as
    site.faults.injected += 1


def _not_noticed(site: Site, kinds: Collection[str]) -> Verdict | None:
    if site.wait_for(lambda: bool(site.findings() & set(kinds)), FOUND_WITHIN_S):
        return None
    return Verdict(calls=1, problems=[f"none of {sorted(kinds)} was noticed"], report=site.books.describe())


def _reconciled(site: Site) -> Verdict:
    """What a settled site comes to after it has been reconciled as often as it takes."""
    site.wait_for(lambda: site.reconcile() > 0)
    return site.settle()
