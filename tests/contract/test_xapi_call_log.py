"""The call log of 3CX's REST API is read whole, whatever the phone system leaves out without a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdr.edges.xapi.call_log import XapiCallLog
from cdr.edges.xapi.client import NotThere, TooMuchAtOnce
from cdr.intake.folding.leg import Leg, Side
from cdr.intake.window_order.under_way import UnderWay
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.systems import xapi
from tests.systems.switchboards import failure_of, xapi_client
from tests.systems.xapi import SPELLINGS, Fault, Xapi

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def server(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as running:
        yield running


@pytest.fixture
def call_log(server: Xapi) -> XapiCallLog:
    return XapiCallLog(xapi_client(server))


def row(number: int, after: timedelta = timedelta()) -> dict[str, Any]:
    """An answered call, as the report has it."""
    return {
        "MainCallHistoryId": f"call-{number}",
        "CallHistoryId": f"call-{number}",
        "CdrId": f"cdr-{number}",
        "StartTime": f"{START + after:%Y-%m-%dT%H:%M:%S.%fZ}",
        "SourceType": 1,
        "SourceDn": "10000",
        "SourceCallerId": "+12025550141",
        "DestinationType": 0,
        "DestinationDn": "101",
        "DestinationCallerId": "101",
        "RingingDuration": "PT6.5S",
        "TalkingDuration": "PT1M5S",
        "Answered": True,
        "Direction": "Inbound",
        "CallType": "Extension",
        "Status": "Answered",
        "Reason": None,
    }


def fill(server: Xapi, count: int, within: timedelta = HOUR) -> None:
    server.calls = [(START, row(number, within * number / count)) for number in range(count)]


def numbers(legs: Sequence[Leg]) -> list[int]:
    return sorted(int(leg.id.removeprefix("cdr-")) for leg in legs)


def rows(call_log: XapiCallLog, start: datetime, end: datetime) -> list[Leg]:
    """Each once."""
    return [*{row.id: row for window in call_log.windows(start, end) for row in window.rows}.values()]


def read(call_log: XapiCallLog, span: timedelta = HOUR) -> list[int]:
    return numbers(rows(call_log, START, START + span))


def test_a_row_is_a_leg_from_one_side_to_the_other(server: Xapi, call_log: XapiCallLog) -> None:
    server.calls = [(START, row(7, timedelta(milliseconds=14)))]
    began = START + timedelta(milliseconds=14)
    assert rows(call_log, START, START + HOUR) == [
        Leg(
            id="cdr-7",
            flow="call-7",
            main_flow="call-7",
            source=Side("external_line", "10000", phone_number="+12025550141", is_incoming=True),
            destination=Side("extension", "101", phone_number="101"),
            started_at=began,
            answered_at=began + timedelta(seconds=6.5),
            ended_at=began + timedelta(seconds=71.5),
        )
    ]


def test_only_what_started_in_the_period_is_asked_for_and_its_first_instant_is_part_of_it(
    server: Xapi, call_log: XapiCallLog
) -> None:
    moments = (-timedelta.resolution, timedelta(), HOUR - timedelta.resolution, HOUR)
    server.calls = [(START, row(number, moment)) for number, moment in enumerate(moments)]
    assert read(call_log) == [1, 2]
    assert numbers(rows(call_log, START + HOUR / 2, START + HOUR + timedelta.resolution)) == [2, 3]


def test_nothing_is_sorted_and_no_page_is_turned_by_the_phone_system(server: Xapi, call_log: XapiCallLog) -> None:
    fill(server, 1200)
    assert read(call_log) == list(range(1200))
    assert [path for path in server.asked if "orderby" in path or "skip" in path] == []


# What is cut short


@pytest.mark.parametrize(
    ("limit", "count"),
    [(50, 49), (50, 50), (50, 51), (137, 500), (499, 499), (500, 500), (500, 1300), (20_000, 1300)],
)
def test_a_limit_of_rows_is_noticed_and_nothing_is_lost(
    server: Xapi, call_log: XapiCallLog, limit: int, count: int
) -> None:
    server.row_limit = limit
    fill(server, count)
    assert read(call_log) == list(range(count))


def test_a_second_with_very_many_rows_is_read_at_once(server: Xapi, call_log: XapiCallLog) -> None:
    fill(server, 700, timedelta(milliseconds=900))
    assert read(call_log) == list(range(700))


def test_a_second_that_is_cut_short_is_an_error_that_says_so(server: Xapi, call_log: XapiCallLog) -> None:
    server.row_limit = 1000
    fill(server, 1001, timedelta(milliseconds=900))
    message = failure_of(lambda: read(call_log), SourceUnavailable)
    assert "2026-11-22T08:00:00Z" in message
    assert "REPORT_ROW_LIMIT" in message


@pytest.mark.parametrize("away", [timedelta(seconds=30), timedelta(hours=-9)])
def test_a_second_with_a_round_number_of_rows_is_whole_where_a_longer_period_has_more(
    server: Xapi, call_log: XapiCallLog, away: timedelta
) -> None:
    fill(server, 1000, timedelta(milliseconds=900))
    server.calls.append((START, row(1000, away)))
    assert read(call_log, timedelta(seconds=1)) == list(range(1000))


def test_an_answer_that_says_itself_that_there_is_more_is_not_taken_for_the_whole(
    server: Xapi, call_log: XapiCallLog
) -> None:
    fill(server, 3)
    for body in ('{"value": [], "@odata.nextLink": "x"}', '{"value": [], "@odata.count": 3}'):
        server.fail_next("data", Fault(body=body))
    assert read(call_log) == [0, 1, 2]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.integers(0, 86_399_999), max_size=120),
    limit=st.sampled_from([50, 110, 20_000]),
    slow_beyond_minutes=st.sampled_from([None, 45, 200]),
)
def test_whatever_limit_and_slowness_every_row_is_read_once(
    server: Xapi, moments: list[int], limit: int, slow_beyond_minutes: int | None
) -> None:
    server.row_limit = limit
    server.slow_beyond = None if slow_beyond_minutes is None else timedelta(minutes=slow_beyond_minutes)
    server.calls = [(START, row(number, timedelta(milliseconds=ms))) for number, ms in enumerate(moments)]
    assert read(XapiCallLog(xapi_client(server)), timedelta(days=1)) == list(range(len(moments)))


# What takes too long


def test_a_period_that_is_too_long_is_read_in_shorter_ones_and_that_is_remembered(
    server: Xapi, call_log: XapiCallLog
) -> None:
    fill(server, 50)
    server.slow_beyond = timedelta(minutes=10)
    assert read(call_log) == list(range(50))
    assert server.answers.count(504) == 3  # an hour, a half, a quarter
    assert read(call_log) == list(range(50))
    assert server.answers.count(504) == 4  # after eight eighths, a quarter is tried again


def test_a_second_that_takes_too_long_is_an_error_that_says_so(server: Xapi, call_log: XapiCallLog) -> None:
    server.slow_beyond = timedelta()
    assert "2026-11-22T08:00:00Z" in failure_of(lambda: read(call_log), SourceUnavailable)


def test_what_is_too_slow_for_long_is_left_to_the_next_poll_which_asks_for_less_at_once(server: Xapi) -> None:
    seconds = chain([0.0, 10.0], repeat(40.0))
    call_log = XapiCallLog(xapi_client(server, timeout=timedelta(seconds=0.6)), monotonic=lambda: next(seconds))
    fill(server, 3)
    server.fail_next("data", Fault(delay_s=60), Fault(delay_s=60))
    failure_of(lambda: read(call_log), TooMuchAtOnce)
    before = len(server.asked)
    assert read(call_log) == [0, 1, 2]
    assert len(server.asked) - before == 4  # quarters of an hour


# How it has to be asked


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spelling_of_the_period_that_a_release_takes_is_found_and_remembered(
    server: Xapi, call_log: XapiCallLog, spelling: str
) -> None:
    server.spelling = spelling
    fill(server, 3)
    assert read(call_log) == [0, 1, 2]
    tried = len(server.asked)
    assert read(call_log) == [0, 1, 2]
    assert len(server.asked) == tried + 1


def test_a_phone_system_without_a_call_log_names_the_setting_and_the_release(
    server: Xapi, call_log: XapiCallLog
) -> None:
    server.fail_next("data", *[Fault(404)] * len(SPELLINGS))
    assert "Update 6" in failure_of(lambda: read(call_log), NotThere)


def test_a_client_that_may_not_see_the_call_log_is_told_which_role_it_needs(
    server: Xapi, call_log: XapiCallLog
) -> None:
    server.role = "System Admin"
    assert "System Owner" in failure_of(lambda: read(call_log), SourceMisconfigured)


# What changes while it is read


def test_a_call_under_way_has_no_row_and_is_found_where_it_started_once_it_has_ended(
    server: Xapi, call_log: XapiCallLog, clock: HandMovedClock
) -> None:
    server.calls = [(clock.now() + HOUR, row(1)), (START, row(2))]
    assert read(call_log) == [2]
    clock.move(HOUR)
    assert read(call_log) == [1, 2]


def test_calls_that_arrive_while_it_is_read_hide_none_of_those_that_were_there(
    server: Xapi, call_log: XapiCallLog
) -> None:
    fill(server, 1200)
    server.arriving.extend(row(number, HOUR * number / 2400) for number in range(1200, 2400))
    found = read(call_log)
    assert set(found) >= set(range(1200))
    assert len(found) == len(set(found))


# What else it tells


def test_the_start_of_the_newest_call_is_known(server: Xapi, call_log: XapiCallLog) -> None:
    assert call_log.newest_start() is None
    fill(server, 4)
    assert call_log.newest_start() == START + HOUR * 3 / 4
    server.fail_next("data", Fault(body='{"LastCdrStartedAt": "2026-11-22T08:00:00Z"}'))
    assert call_log.newest_start() == START


def test_calls_under_way_are_told_with_what_is_known_of_when(server: Xapi, call_log: XapiCallLog) -> None:
    assert call_log.calls_under_way() == []
    server.active_calls = [
        {
            "Id": 4711,
            "Status": "Talking",
            "EstablishedAt": "2026-11-22T08:00:05.5Z",
            "LastChangeStatus": "2026-11-22T09:00:00Z",
        },
        {"Id": 4712, "Status": "Routing"},
    ]
    established_at = START + timedelta(seconds=5.5)
    assert call_log.calls_under_way() == [UnderWay("4711", established_at, START + HOUR), UnderWay("4712")]


@pytest.mark.parametrize("status", [402, 403, 404])
def test_where_calls_under_way_may_not_be_seen_that_is_known_of_them(
    server: Xapi, call_log: XapiCallLog, status: int
) -> None:
    server.fail_next("data", Fault(status))
    assert call_log.calls_under_way() is None
