"""Statuses as an operator meets them: each a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cdr.groups.alerts import GroupState, GroupView
from cdr.intake.poll_history import NO_POLLS, PollReport
from cdr.intake.ports import Lag, Progress
from cdr.operations.ports import HourCount, LedgerCounts
from cdr.operations.side_by_side import Problem
from cdr.operations.status import Depths, ExtensionsNow, GroupNow, HoursNow, Lagging, Status
from cdr.operations.verdict import verdict
from cdr.operations.watch_memory import Finding, Kind
from cdr.web.chart import SHOWN
from cdr.web.page import Page, page_of

NOW = datetime(2026, 11, 25, 14, 42, 7, tzinfo=UTC)
ZONE = "Europe/Berlin"
EVERY = timedelta(seconds=30)
HOUR = timedelta(hours=1)


QUIET = [(0, 0, 0)] * 25
DAY = [
    *[(31, 14, 0), (12, 5, 0), (4, 2, 0), (2, 1, 0), (0, 1, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)],
    *[(0, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (2, 1, 0), (11, 6, 0), (38, 19, 1), (64, 31, 4), (71, 33, 2)],
    *[(66, 28, 0), (49, 20, 1), (33, 15, 0), (58, 26, 3), (69, 30, 1), (41, 17, 0)],
]


def polls(*reports: PollReport) -> dict[str, Any]:
    """What a status says of these, the oldest first."""
    history = NO_POLLS
    for report in reports:
        history = history.after(report)
    return {"last_poll": reports[-1], "polls": history}


def regular(count: int, until: datetime = NOW) -> list[PollReport]:
    queued = (0, 2, 0, 1, 4, 0, 0, 3)
    return [PollReport(until - n * EVERY, "finished", queued[n % 8], 180 + 40 * (n % 5)) for n in range(count, 0, -1)]


def group(number: str, name: str, state: GroupState | None, members: int, available: int | None) -> GroupNow:
    alert = "17" if state is GroupState.ALERTED else None
    return GroupNow(number, name, GroupView(state, NOW - 3 * HOUR, members, available, alert, None, NOW))


def ledger(hours: Sequence[tuple[int, int, int]], states: Sequence[int], **rejected: int) -> LedgerCounts:
    """Of the hours up to this one; calls submitted, skipped and rejected in all, and for which reasons."""
    this = NOW.replace(minute=0, second=0)
    counts = [HourCount(this - (len(hours) - 1 - n) * HOUR, *each) for n, each in enumerate(hours)]
    return LedgerCounts(dict(zip(SHOWN, states, strict=False)), rejected, counts)


SOUND = Status(
    version="1.1.0",
    uptime_s=86_400,
    source="v20",
    progress=Progress("2026-11-25T14:41:50+00:00", open_calls=3),
    **polls(PollReport(NOW - 26 * HOUR, "finished"), *regular(20)),
    source_watch=(),
    lag=Lagging(Lag("2026-11-25 14:42:01", 0, None), 0),
    queue=Depths(2, 0),
    api="ok",
    ledger=ledger(DAY, (18_204, 7_930, 12), unmapped_extension=9, refused_by_api=3),
    extensions=ExtensionsNow(42, 3),
    hours=HoursNow(open=True, changes_at=datetime(2026, 11, 25, 17, 0, tzinfo=UTC), timezone=ZONE),
    groups=[
        group("800", "Sales", GroupState.OK, 6, 4),
        group("801", "Support", GroupState.SUSPECT, 3, 0),
        group("802", "Accounts", GroupState.CLOSED, 2, 1),
    ],
)
NO_SERVER = "SourceUnavailable: 3cx.cdr_database: the server pbx.example.internal does not answer on port 5432"
STORAGE_DOWN = Problem("StorageUnavailable: table CdrState: no answer within 2 s", NOW - timedelta(minutes=4))
DOWN = dict.fromkeys(
    ("progress", "last_poll", "polls", "source_watch", "lag", "queue", "ledger", "extensions", "groups"), STORAGE_DOWN
)

STATUSES = {
    "healthy": SOUND,
    "empty": replace(
        SOUND,
        progress=Progress(),
        last_poll=None,
        polls=NO_POLLS,
        lag=Lagging(Lag(None, 0, None), 0),
        queue=Depths(0, 0),
        ledger=ledger(QUIET, ()),
        groups=[],
    ),
    "first day": replace(
        SOUND,
        **polls(*regular(7)),
        ledger=ledger([*QUIET[:23], (3, 1, 2), (6, 3, 3)], (9, 4, 5), unmapped_extension=5),
        groups=[group("800", "Sales", None, 0, None)],
        extensions=ExtensionsNow(4, 0),
    ),
    "backlog": replace(
        SOUND,
        lag=Lagging(Lag("2026-11-25 14:42:01", 5_120, NOW - 2 * HOUR), 7_200),
        queue=Depths(1_340, 2),
        source_watch=[Finding(Kind.STANDS_STILL, "no calls came where there usually are some", NOW - HOUR, NOW)],
        ledger=ledger([*DAY[2:], (4, 0, 0), (2, 0, 0)], (18_204, 7_930, 3), gave_up=2, of_a_newer_version=1),
    ),
    "outage": replace(
        SOUND,
        **polls(
            *regular(6, NOW - 8 * EVERY),
            *(PollReport(NOW - n * EVERY, "failed", 0, 5_004, NO_SERVER) for n in range(8, 0, -1)),
        ),
        lag=Problem(NO_SERVER, NOW - timedelta(minutes=4)),
        groups=[group("800", "Sales", GroupState.ALERTED, 6, 0), group("801", "Support", GroupState.UNKNOWN, 3, None)],
    ),
    "storage is down": replace(SOUND, **DOWN),
}
SCENES: Mapping[str, Page] = {
    name: page_of(status, verdict(status, NOW, EVERY), NOW) for name, status in STATUSES.items()
}
