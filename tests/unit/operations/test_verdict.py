"""Do calls flow? A table of what the status says, and what a person is told of it in one word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import State
from cdr.intake.poll_history import NO_POLLS, PollReport
from cdr.intake.ports import Lag, Progress
from cdr.operations.ports import LedgerCounts
from cdr.operations.side_by_side import Problem
from cdr.operations.status import Depths, ExtensionsNow, HoursNow, Lagging, Status
from cdr.operations.verdict import Flow, Part, Verdict, verdict
from cdr.operations.watch_memory import Finding, Kind
from tests.support.scenes import polls

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR_AGO = NOW - timedelta(hours=1)
EVERY = timedelta(seconds=30)


def well(minutes_ago: float) -> PollReport:
    return PollReport(NOW - minutes_ago * MINUTE, "finished")


def failed(minutes_ago: float, error: str) -> PollReport:
    return PollReport(NOW - minutes_ago * MINUTE, "failed", error=error)


SOUND = Status(
    version="1.2.3",
    uptime_s=90,
    source="calllog",
    progress=Progress(7),
    **polls(well(60), well(0)),
    source_watch=(),
    lag=Lagging(Lag(7, 0, None), 0),
    queue=Depths(0, 0),
    api="ok",
    ledger=LedgerCounts({State.SUBMITTED: 7}, {}, ()),
    extensions=ExtensionsNow(1, 0),
    hours=HoursNow(open=True, changes_at=None, timezone="UTC"),
    groups=(),
)
DOWN = Problem("StorageUnavailable: table CdrState: 503", HOUR_AGO)
NO_SERVER = "SourceUnavailable: the server does not answer"


def stopped(part: Part, why: str, since: datetime | None = HOUR_AGO) -> Verdict:
    return Verdict(Flow.STOPPED, part, since, why)


CASES: dict[str, tuple[dict[str, Any], Verdict]] = {
    "all is well": ({}, Verdict(Flow.FLOWS, since=HOUR_AGO)),
    "what was poisoned or rejected keeps no other call": (
        {"queue": Depths(99, 5), "ledger": LedgerCounts({State.REJECTED: 1}, {"gave_up": 1}, (), complete=False)},
        Verdict(Flow.FLOWS, since=HOUR_AGO),
    ),
    "what is only for people keeps no call": (
        {"ledger": DOWN, "groups": DOWN, "extensions": DOWN},
        Verdict(Flow.FLOWS, since=HOUR_AGO),
    ),
    "storage is down": (
        {"polls": DOWN, "last_poll": DOWN, "lag": DOWN, "queue": DOWN, "progress": DOWN, "source_watch": DOWN},
        stopped(Part.STORAGE, DOWN.error),
    ),
    "the queue alone is down": ({"queue": DOWN}, stopped(Part.STORAGE, DOWN.error)),
    "polls fail at the phone system": (
        polls(well(70), failed(60, NO_SERVER), failed(0, NO_SERVER)),
        stopped(Part.PHONE_SYSTEM, NO_SERVER),
    ),
    "polls cannot log in": (
        polls(well(61), failed(60, "SourceMisconfigured: 3cx.cdr_database.password: refused")),
        stopped(Part.PHONE_SYSTEM, "SourceMisconfigured: 3cx.cdr_database.password: refused"),
    ),
    "polls fail at storage": (
        polls(failed(60, "StorageUnavailable: 503")),
        stopped(Part.STORAGE, "StorageUnavailable: 503"),
    ),
    "the position is of another source": (
        polls(failed(60, "PositionOfAnotherSource: 3cx.source is xapi")),
        stopped(Part.POLL, "PositionOfAnotherSource: 3cx.source is xapi"),
    ),
    "no poll comes any more": (polls(well(60)), stopped(Part.POLL, "no poll has come to an end since")),
    "a poll is late, but not too late": (polls(well(60), well(2.9)), Verdict(Flow.FLOWS, since=HOUR_AGO)),
    "ids have started again": (
        {
            "source_watch": [
                Finding(Kind.STANDS_STILL, "no calls came", NOW, NOW),
                Finding(Kind.STARTED_AGAIN, "ids", HOUR_AGO, NOW),
            ]
        },
        stopped(Part.PHONE_SYSTEM, "ids"),
    ),
    "no calls come, perhaps because nobody calls": (
        {"source_watch": [Finding(Kind.STANDS_STILL, "no calls came", NOW, NOW)]},
        Verdict(Flow.FLOWS, since=HOUR_AGO),
    ),
    "the phone system is down since the last poll": (
        {"lag": Problem(NO_SERVER, HOUR_AGO)},
        stopped(Part.PHONE_SYSTEM, NO_SERVER),
    ),
    "the Call Logger refuses us": (
        {"api": Problem("ApiDenied: 401", HOUR_AGO), "queue": Depths(500, 0)},
        stopped(Part.API, "ApiDenied: 401"),
    ),
    "the Call Logger takes no calls, well as it is": (
        {"queue": Depths(3, 0), "stands_since": HOUR_AGO},
        stopped(Part.API, "calls wait, and none was settled since"),
    ),
    "a call has been put back": (
        {"queue": Depths(1, 0), "stands_since": NOW - 15 * MINUTE},
        Verdict(Flow.FLOWS, since=HOUR_AGO),
    ),
    "calls wait at the phone system": (
        {"lag": Lagging(Lag(900, 800, HOUR_AGO), 3600)},
        Verdict(Flow.LATE, Part.POLL, HOUR_AGO, "calls that were over by then have not been read yet"),
    ),
    "calls have waited for a moment": (
        {"lag": Lagging(Lag(9, 2, NOW - 10 * MINUTE), 600)},
        Verdict(Flow.FLOWS, since=HOUR_AGO),
    ),
    "messages wait on the queue": (
        {"queue": Depths(100, 0)},
        Verdict(Flow.LATE, Part.API, None, "100 messages wait to be submitted"),
    ),
    "nothing was polled yet": (
        {"last_poll": None, "polls": NO_POLLS, "ledger": LedgerCounts({}, {}, ())},
        Verdict(Flow.NONE_YET, why="there was no poll yet"),
    ),
    "nobody has called yet": (
        {"ledger": LedgerCounts({}, {}, ())},
        Verdict(Flow.NONE_YET, since=HOUR_AGO, why="polls find no call that is over"),
    ),
}


@pytest.mark.parametrize(("changed", "found"), CASES.values(), ids=CASES)
def test_one_word_says_whether_calls_flow_and_if_not_which_part_keeps_them_and_since_when(
    changed: dict[str, Any], found: Verdict
) -> None:
    assert verdict(replace(SOUND, **changed), NOW, EVERY) == found


@pytest.mark.parametrize(("minutes", "flow"), [(39, Flow.FLOWS), (41, Flow.STOPPED)])
def test_where_polls_are_rare_more_patience_is_had_with_the_next_one(minutes: int, flow: Flow) -> None:
    assert verdict(replace(SOUND, **polls(well(minutes))), NOW, timedelta(minutes=10)).flow == flow
