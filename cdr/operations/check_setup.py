"""Use case: is everything set up as it should be? Each connection is tried, and what was found there is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cdr.calls.call_queue import CallQueue
from cdr.calls.rules import end_time
from cdr.groups.ports import AlertApi, MemberSource
from cdr.intake.ports import CallSource, PositionStore, SourceFacts
from cdr.submission.ports import CallApi, Directory
from shared import log
from shared.clock import Clock
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    InvalidRow,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)

CLOCKS_DIFFER_BY = timedelta(minutes=2)
QUIET_FOR = timedelta(days=3)
"""A long weekend."""
SHOWN_PROBLEMS = 5

Result = Literal["fine", "look", "wrong", "not tried"]

_ADVICE: Mapping[type[PipelineError], str] = {
    SourceUnavailable: "is it running, and does a firewall let this machine through to its port?",
    StorageUnavailable: "is the account there, and may this machine and its login get to it?",
    ApiDenied: "check api.auth",
    ApiUnavailable: "check api.base_url, up to and with /api; is it running, and reachable from this machine?",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What was found of one part, in sentences; ``advice`` is what to do about it."""

    part: str
    result: Result
    found: Sequence[str]
    advice: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """The parts that keep something."""

    queue: CallQueue
    positions: PositionStore


@dataclass(frozen=True, slots=True)
class Setup:
    """What is tried, by what the configuration says. ``storage`` None: for ``storage_untried``.

    ``groups`` are the monitored ones, by number, with their names; ``alerts`` and ``members`` None: there is nobody who
    could be asked about them. ``always_closed`` are those of the groups that have no business hours at all.
    ``timezone`` is that of times without an offset.
    """

    source: CallSource
    timezone: str
    storage: Storage | None
    api: CallApi
    alerts: AlertApi | None
    members: MemberSource | None
    groups: Mapping[str, str]
    directory: Directory | None
    mapped: int
    webhooks: Sequence[str]
    clock: Clock
    storage_untried: str = ""
    always_closed: Collection[str] = ()


def check_setup(setup: Setup) -> Iterator[Tried]:
    """One part after the other, as each has been tried."""
    yield _tried("phone system", lambda: _phone_system(setup))
    if setup.storage is not None:
        storage = setup.storage
        yield _tried("storage", lambda: _storage(storage, setup.source))
    else:
        yield Tried("storage", "not tried", [setup.storage_untried])
    yield _tried("Call Logger", lambda: _api(setup.api))
    yield _tried("extensions", lambda: _extensions(setup))
    yield from _groups(setup)
    if setup.webhooks:
        yield _webhooks(setup)


def mistakes_found(mistakes: Sequence[str]) -> Tried:
    if not mistakes:
        return Tried("configuration", "fine", ["no mistakes"])
    return Tried("configuration", "wrong", mistakes, ["mend them; docs/configuration.md has every setting"])


def _tried(part: str, look: Callable[[], Tried]) -> Tried:
    try:
        return look()
    except PipelineError as exc:
        return _failed(part, exc)


def _failed(part: str, exc: PipelineError, *, found: Sequence[str] = (), advice: Sequence[str] = ()) -> Tried:
    known = [words for kind, words in _ADVICE.items() if isinstance(exc, kind)]
    return Tried(part, "wrong", [*found, log.mask_numbers(str(exc))], [*known, *advice])


# The phone system


def _phone_system(setup: Setup) -> Tried:
    facts, now = setup.source.about(), setup.clock.now()
    found = [f"source {setup.source.name}: {facts.server}", *_tables(facts)]
    other_tables = list(_other_tables(setup.source.name, facts))
    try:
        ended_at = _newest_end(setup)
    except (SourceMisconfigured, SourceUnavailable) as exc:
        return _failed("phone system", exc, found=found, advice=other_tables)
    advice = [*other_tables, *_about_clock(facts, now, found), *_about_newest(ended_at, setup, now, found)]
    return Tried("phone system", "look" if advice else "fine", found, advice)


def _newest_end(setup: Setup) -> datetime | None:
    with setup.source.connect() as reader:
        for record in reader.newest(1):
            try:
                return end_time(record, setup.timezone)
            except InvalidRow as exc:
                raise SourceMisconfigured(f"the newest call, {record.id}, cannot be understood: {exc}") from exc
    return None


def _tables(facts: SourceFacts) -> Sequence[str]:
    return [f"tables that the login can read: {', '.join(facts.tables.values())}"] if facts.tables else []


def _other_tables(name: str, facts: SourceFacts) -> Iterator[str]:
    """Old ones that an upgrade has left are not filled any more: the first is the newest kind."""
    newest = next(iter(facts.tables), name)
    if newest != name:
        yield f"there is {facts.tables[newest]}: set 3cx.source to {newest}, unless 3cx.schema is a SELECT of your own"


def _about_clock(facts: SourceFacts, now: datetime, found: list[str]) -> Iterator[str]:
    if facts.now is None:
        return
    ahead = facts.now - now
    found.append(f"its clock is {abs(ahead.total_seconds()):.1f} s {'ahead' if ahead > timedelta() else 'behind'}")
    if abs(ahead) > CLOCKS_DIFFER_BY:
        yield "set the clock of the phone system, or of this machine, by a time server"


def _about_newest(ended_at: datetime | None, setup: Setup, now: datetime, found: list[str]) -> Iterator[str]:
    if ended_at is None:
        found.append("no call that is over")
        yield "is it the right database, and may the login see its rows?"
        return
    age = now - ended_at
    found.append(f"newest call: over since {ended_at:%Y-%m-%d %H:%M:%S} UTC, {_in_words(age)}")
    if age < -CLOCKS_DIFFER_BY:
        yield f"it lies ahead: 3cx.cdr_database.timezone must be that of the table's times, it is {setup.timezone}"
    elif age > QUIET_FOR:
        yield "is it the right database, and if it is a replica, is it still written?"


def _in_words(age: timedelta) -> str:
    direction = "ago" if age >= timedelta() else "from now"
    for unit, span in (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1))):
        if abs(age) >= 2 * span:
            return f"{abs(age) // span} {unit} {direction}"
    return f"{abs(age) // timedelta(seconds=1)} seconds {direction}"


# What is around it


def _storage(storage: Storage, source: CallSource) -> Tried:
    waiting = storage.queue.depth()
    stored = storage.positions.read().stored
    found = [f"messages on the queue: {waiting}", "nothing was polled yet" if stored is None else "polled before"]
    if stored is not None and stored.source != _name_of(source, stored.source):
        found.append(f"the stored position is of the source {stored.source}")
        return Tried("storage", "wrong", found, [f"set 3cx.source back to {stored.source}, or start over"])
    return Tried("storage", "fine", found)


def _name_of(source: CallSource, otherwise: str) -> str:
    """One that has to be looked at for it has told by now why it cannot be."""
    try:
        return source.name
    except (SourceUnavailable, SourceMisconfigured):
        return otherwise


def _api(api: CallApi) -> Tried:
    api.check_health()
    return Tried("Call Logger", "fine", ["it answers, and is healthy"])


def _extensions(setup: Setup) -> Tried:
    found = [f"in extension_mapping: {setup.mapped}"]
    if setup.directory is None:
        advice = [] if setup.mapped else ["map them, or set extension_mapping_from: calls of others are not submitted"]
        return Tried("extensions", "look" if advice else "fine", found, advice)
    book = setup.directory.phone_book()
    found.append(f"from {setup.directory.name}: {len(book.emails)}")
    problems = [log.mask_numbers(f"extension {extension} {problem}") for extension, problem in book.problems.items()]
    more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    found += [*problems[:SHOWN_PROBLEMS], *more]
    if not book.emails:
        return Tried("extensions", "look", found, ["what may the login, or the API client, see?"])
    advice = ["mend them in the phone system, or map these extensions in extension_mapping"] if problems else []
    return Tried("extensions", "look" if advice else "fine", found, advice)


def _groups(setup: Setup) -> Iterator[Tried]:
    alerts, members = setup.alerts, setup.members
    if not setup.groups:
        return
    if members is None or alerts is None:
        yield Tried("call groups", "not tried", ["they are named on calls, but not watched (call_groups.members)"])
        return
    yield _tried("call groups", lambda: _members(members, setup.groups, setup.always_closed))
    yield _tried("alerts", lambda: Tried("alerts", "fine", [f"of ours at the Call Logger: {len(alerts.active())}"]))


def _members(members: MemberSource, groups: Mapping[str, str], always_closed: Collection[str]) -> Tried:
    found: list[str] = []
    unknown: list[str] = []
    for number, seen in members.observe(list(groups)).items():
        named = f"{number} {groups[number]}".strip()
        if seen.members is None:
            unknown.append(number)
            found.append(f"{named}: {log.mask_numbers(seen.problem)}")
        else:
            available = "unknown" if seen.available is None else seen.available
            found.append(f"{named}: members {len(seen.members)}, available {available}")
    advice = [f"check the numbers in call_groups.monitored_groups: {', '.join(unknown)}"] if unknown else []
    if always_closed:
        advice.append(
            f"give them hours in business_hours; without any they are never alerted: {', '.join(always_closed)}"
        )
    return Tried("call groups", "look" if advice else "fine", found, advice)


def _webhooks(setup: Setup) -> Tried:
    found = [f"addresses that make sense: {', '.join(setup.webhooks)}"]
    if setup.members is None:
        return Tried("webhooks", "look", found, ["nothing is ever told to them, because no group is watched"])
    return Tried("webhooks", "not tried", found)
