"""Do calls flow? And if not: which part keeps them, and since when. Pure.

What is found out first is said alone: while storage does not answer, nobody can know how the polls went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from cdr.operations.side_by_side import Problem

if TYPE_CHECKING:
    from cdr.operations.status import Status

LATE_AFTER = timedelta(minutes=10)
"""A call that was over for longer when it is read is late."""

MANY_WAITING = 100
"""Messages on the queue, from which on the Call Logger's side does not keep up."""

LONGEST_STANDING = timedelta(minutes=15)
"""For so long calls may wait without one being settled."""

MISSED_POLLS = 4
LONGEST_SILENCE = timedelta(minutes=3)
"""No poll for so many intervals, and for so long, means that none comes any more."""


class Flow(StrEnum):
    """``none_yet``: nothing is wrong, but nothing came through so far."""

    FLOWS = "flows"
    LATE = "late"
    STOPPED = "stopped"
    NONE_YET = "none_yet"


class Part(StrEnum):
    """What a call goes through, in the words of /health."""

    CONFIGURATION = "configuration"
    STORAGE = "storage"
    PHONE_SYSTEM = "database"
    POLL = "poll"
    API = "api"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``part`` is what keeps the calls; ``since`` when things have been so (aware, UTC), as far as that is known."""

    flow: Flow
    part: Part | None = None
    since: datetime | None = None
    why: str = ""


MISCONFIGURED = Verdict(Flow.STOPPED, Part.CONFIGURATION)
"""Then nothing else can be looked at."""


def verdict(status: Status, now: datetime, poll_interval: timedelta) -> Verdict:
    looks: Iterable[Callable[[], Verdict | None]] = (
        lambda: _storage(status),
        lambda: _polls(status, now, poll_interval),
        lambda: _source(status),
        lambda: _api(status, now),
        lambda: _late(status),
    )
    return next((found for look in looks if (found := look())), None) or _flowing(status)


def _storage(status: Status) -> Verdict | None:
    """The queue is looked at as well: a firewall may let one service pass and not the other."""
    found = next((each for each in (status.polls, status.queue) if isinstance(each, Problem)), None)
    return Verdict(Flow.STOPPED, Part.STORAGE, found.since, found.error) if found else None


def _polls(status: Status, now: datetime, interval: timedelta) -> Verdict | None:
    last = status.last_poll
    if last is None or isinstance(last, Problem):
        return None
    if last.has_failed:
        return Verdict(Flow.STOPPED, _part_of(last.error or ""), _since(status), last.error or "")
    if now - last.at > max(MISSED_POLLS * interval, LONGEST_SILENCE):
        return Verdict(Flow.STOPPED, Part.POLL, last.at, "no poll has come to an end since")
    return None


def _part_of(error: str) -> Part:
    """Reports begin with the name of the error, see ``named``."""
    if error.startswith("Source"):
        return Part.PHONE_SYSTEM
    return Part.STORAGE if error.startswith("Storage") else Part.POLL


def _source(status: Status) -> Verdict | None:
    if not isinstance(status.source_watch, Problem):
        for found in status.source_watch:
            if found.kind.hides_calls:
                return Verdict(Flow.STOPPED, Part.PHONE_SYSTEM, found.since, found.detail)
    if isinstance(status.lag, Problem):
        return Verdict(Flow.STOPPED, Part.PHONE_SYSTEM, status.lag.since, status.lag.error)
    return None


def _api(status: Status, now: datetime) -> Verdict | None:
    """It may say that it is well, and take no call all the same."""
    found, since = status.api, status.stands_since
    if isinstance(found, Problem):
        return Verdict(Flow.STOPPED, Part.API, found.since, found.error)
    if since is not None and now - since > LONGEST_STANDING:
        return Verdict(Flow.STOPPED, Part.API, since, "calls wait, and none was settled since")
    return None


def _late(status: Status) -> Verdict | None:
    if not isinstance(status.lag, Problem) and status.lag.seconds > LATE_AFTER.total_seconds():
        since = status.lag.lag.waiting_since
        return Verdict(Flow.LATE, Part.POLL, since, "calls that were over by then have not been read yet")
    if not isinstance(status.queue, Problem) and status.queue.waiting >= MANY_WAITING:
        return Verdict(Flow.LATE, Part.API, None, f"{status.queue.waiting} messages wait to be submitted")
    return None


def _flowing(status: Status) -> Verdict:
    if status.last_poll is None:
        return Verdict(Flow.NONE_YET, why="there was no poll yet")
    if not isinstance(status.ledger, Problem) and not any(status.ledger.states.values()):
        return Verdict(Flow.NONE_YET, since=_since(status), why="polls find no call that is over")
    return Verdict(Flow.FLOWS, since=_since(status))


def _since(status: Status) -> datetime | None:
    return None if isinstance(status.polls, Problem) else status.polls.since
