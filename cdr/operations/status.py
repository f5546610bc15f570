"""Use case: how far along are we? What cannot be read is a Problem in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cdr.calls.call_queue import CallQueue
from cdr.groups.alerts import GroupView, view_of
from cdr.groups.hours import Hours
from cdr.groups.ports import GroupStore
from cdr.intake.poll_history import PollHistory, PollReport
from cdr.intake.ports import CallSource, KeptPosition, Lag, PositionStore, Progress
from cdr.operations.ports import LedgerCounts, LedgerRecords
from cdr.operations.side_by_side import Problem, SideBySide, Troubles
from cdr.operations.watch_memory import Finding, Remembered
from cdr.submission.directory import KeptPhoneBook
from cdr.submission.email_addresses import Addresses
from shared import log
from shared.clock import Clock
from shared.errors import PipelineError, named


@dataclass(frozen=True, slots=True)
class Depths:
    """How many messages wait on the queues."""

    waiting: int
    poison: int


@dataclass(frozen=True, slots=True)
class HoursNow:
    """``changes_at`` is in the hours' own time zone; None: not within a year."""

    open: bool
    changes_at: datetime | None
    timezone: str


@dataclass(frozen=True, slots=True)
class GroupNow:
    """A monitored group. ``view`` None: it is not checked, since nobody can be asked about it."""

    id: str
    name: str
    view: GroupView | None


@dataclass(frozen=True, slots=True)
class ExtensionsNow:
    """How many extensions have an address, and from where. ``phone_book`` None: no phone system is asked."""

    in_file: int
    elsewhere: int
    phone_book: KeptPhoneBook | None = None
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Lagging:
    """How far behind the source we are; ``seconds`` since the first call that waits was over."""

    lag: Lag
    seconds: int


@dataclass(frozen=True, slots=True)
class Status:
    """All that an operator sees at a glance. ``stands_since``: messages wait and no call was settled, as far as this
    process has seen it; None: that is not so."""

    version: str
    uptime_s: int
    source: str | Problem
    progress: Progress | Problem
    last_poll: PollReport | Problem | None
    polls: PollHistory | Problem
    source_watch: Sequence[Finding] | Problem
    lag: Lagging | Problem
    queue: Depths | Problem
    api: Literal["ok"] | Problem
    ledger: LedgerCounts | Problem
    extensions: ExtensionsNow | Problem
    hours: HoursNow
    groups: Sequence[GroupNow] | Problem
    stands_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """What a status is put together from, which takes no longer than a look may. ``groups`` are the monitored ones, by
    number, with their names. ``check_api`` returns if the Call Logger is usable, else raises a PipelineError."""

    version: str
    started_at: datetime
    source: CallSource
    positions: PositionStore
    queue: CallQueue
    poison_queue: CallQueue
    check_api: Callable[[], None]
    records: LedgerRecords
    addresses: Addresses
    clock: Clock
    hours: Hours
    groups: Mapping[str, str]
    group_store: GroupStore | None
    poll_interval: timedelta
    longest_look_s: float = 2.0
    troubles: Troubles = field(default_factory=Troubles)


def status(overview: Overview) -> Status:
    """Everything is looked at side by side: what does not answer has its place, and holds up nothing else."""
    now, looks = overview.clock.now(), SideBySide(overview.longest_look_s)
    kept = looks.begin(overview.positions.read)
    source = looks.begin(lambda: overview.source.name)
    progress = looks.begin(lambda: _progress(overview.source, kept.result()))
    lag = looks.begin(lambda: _lagging(overview, kept.result(), now))
    queue = looks.begin(lambda: Depths(overview.queue.depth(), overview.poison_queue.depth()))
    api = looks.begin(lambda: _api(overview))
    ledger = looks.begin(lambda: overview.records.counts(now))
    extensions = looks.begin(lambda: _extensions(overview.addresses, now))
    groups = looks.begin(lambda: _groups_now(overview))
    known, dated = kept.result(), overview.troubles.dated
    depths, counts = queue.result(), ledger.result()
    return Status(
        version=overview.version,
        uptime_s=int((now - overview.started_at).total_seconds()),
        source=source.result(),
        progress=progress.result(),
        last_poll=known if isinstance(known, Problem) else known.report,
        polls=dated("positions", known if isinstance(known, Problem) else known.history, now),
        source_watch=known if isinstance(known, Problem) else Remembered.from_text(known.memory).findings,
        lag=dated("lag", lag.result(), now),
        queue=dated("queue", depths, now),
        api=dated("api", api.result(), now),
        ledger=counts,
        extensions=extensions.result(),
        hours=_hours_now(overview.hours, now),
        groups=groups.result(),
        stands_since=_stands_since(overview, depths, counts, now),
    )


def _progress(source: CallSource, kept: KeptPosition | Problem) -> Progress | Problem:
    if isinstance(kept, Problem):
        return kept
    if kept.stored is None:
        return Progress()
    if kept.stored.source != source.name:
        return Problem(f"the stored position is of the source {kept.stored.source}, configured is {source.name}")
    return source.progress(kept.stored.text)


def _lagging(overview: Overview, kept: KeptPosition | Problem, now: datetime) -> Lagging | Problem:
    if isinstance(kept, Problem):
        return kept
    stored = kept.stored
    is_ours = stored is not None and stored.source == overview.source.name
    with overview.source.connect() as reader:
        lag = reader.lag(stored.text if stored and is_ours else None)
    since = lag.waiting_since
    return Lagging(lag, max(0, int((now - since).total_seconds())) if since else 0)


def _api(overview: Overview) -> Literal["ok"] | Problem:
    """What the Call Logger says of itself may repeat what it was sent."""
    try:
        overview.check_api()
    except PipelineError as exc:
        return Problem(log.mask_numbers(named(exc)))
    return "ok"


def _stands_since(
    overview: Overview, depths: Depths | Problem, counts: LedgerCounts | Problem, now: datetime
) -> datetime | None:
    if isinstance(depths, Problem) or isinstance(counts, Problem):
        return None
    settled = dict(counts.states) if depths.waiting else None
    since = overview.troubles.unchanged_since("settled", settled, now)
    return since if depths.waiting and since < now else None


def _extensions(addresses: Addresses, now: datetime) -> ExtensionsNow:
    known = addresses.look()
    kept, in_file = known.kept, len(known.file)
    age_s = int((now - kept.read_at).total_seconds()) if kept and kept.read_at else None
    return ExtensionsNow(in_file, len(known.emails) - in_file, kept, age_s)


def _hours_now(hours: Hours, now: datetime) -> HoursNow:
    changes = hours.next_change(now)
    return HoursNow(hours.is_open(now), changes.astimezone(hours.zone) if changes else None, hours.zone.key)


def _groups_now(overview: Overview) -> Sequence[GroupNow]:
    if overview.group_store is None:
        return [GroupNow(number, name, None) for number, name in overview.groups.items()]
    records = overview.group_store.load()
    return [GroupNow(number, name, view_of(records.get(number))) for number, name in overview.groups.items()]
