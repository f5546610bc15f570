"""There should have been calls by now: told from the same hours of the weeks before, and never of a quiet time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.groups.hours import Hours
from cdr.operations.call_hours import FEWEST_CALLS, CallHours, calls_expected, hour_of
from cdr.wiring.plans import make_hours
from tests.support.factories import make_settings

MONDAY = datetime(2026, 3, 23, tzinfo=ZoneInfo("Europe/Berlin"))
"""The last one before summer time."""
DAYS = ", ".join(f'{day}: {{start: "08:00", end: "17:00"}}' for day in ("monday", "tuesday", "friday"))
OPEN = f'business_hours: {{timezone: Europe/Berlin, {DAYS}, holidays: {{dates: ["2026-03-16"]}}}}'
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)


def hours_of(config: str = OPEN) -> Hours:
    return make_hours(make_settings(config).business_hours)


def seen(until: datetime, silent_since: datetime, *, weeks: int = 6, a_call_each: int = 6, skip: int = 0) -> CallHours:
    """So many calls in each hour of some weeks, from 8 to 17 on the wall, up to a moment from which on there are none;
    in the ``skip``-th week before the last there was no poll at all."""
    counted, at = CallHours(), until - weeks * WEEK - 3 * HOUR
    while at <= until:
        local, week = at.astimezone(MONDAY.tzinfo), (until - at) // WEEK
        busy = 8 <= local.hour < 17 and at < silent_since
        if not skip or week != skip:
            counted = counted.with_calls(a_call_each if busy else 0, at)
        at += HOUR
    return counted


@pytest.mark.parametrize(
    ("silent_for", "expected"),
    [(timedelta(minutes=30), None), (1 * HOUR, None), (2 * HOUR, 12), (3 * HOUR, 18)],
    ids=["not an hour yet", "too short", "two hours", "three hours"],
)
def test_a_silence_is_one_once_there_were_enough_calls_in_its_hours_of_each_week(
    silent_for: timedelta, expected: int | None
) -> None:
    now = MONDAY + 13 * HOUR
    assert calls_expected(seen(now, now - silent_for), hours_of(), now.astimezone(UTC)) == expected
    assert FEWEST_CALLS == 10


@pytest.mark.parametrize(
    ("day", "config"),
    [
        pytest.param(2, OPEN, id="a-day-without-business"),
        pytest.param(4, OPEN.replace("2026-03-16", "2026-03-27"), id="a-holiday"),
        pytest.param(4, "business_hours: {holidays: {country: DE, dates: [2026-03-27]}}", id="a-holiday-without-hours"),
    ],
)
def test_when_nobody_works_there_is_no_silence(day: int, config: str) -> None:
    now = MONDAY + timedelta(days=day, hours=16)
    assert calls_expected(seen(now, now - 6 * HOUR), hours_of(config), now.astimezone(UTC)) is None


def test_a_weekend_between_does_not_end_a_silence_that_began_before_it() -> None:
    monday = MONDAY + WEEK + 9 * HOUR
    assert calls_expected(seen(monday, monday - timedelta(days=3) + 7 * HOUR), hours_of(), monday.astimezone(UTC)) == 12


def test_without_business_hours_every_hour_counts() -> None:
    now = MONDAY + timedelta(days=2, hours=13)
    assert calls_expected(seen(now, now - 2 * HOUR), hours_of(""), now.astimezone(UTC)) == 12


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({"weeks": 3}, None, id="three-weeks-are-too-few"),
        pytest.param({"weeks": 5}, 12, id="five-with-a-holiday-make-four"),
        pytest.param({"weeks": 4}, None, id="four-with-a-holiday-make-three"),
        pytest.param({"weeks": 5, "skip": 3}, None, id="a-week-without-polls-does-not-count"),
        pytest.param({"a_call_each": 4}, None, id="few-calls-may-stay-away-by-chance"),
        pytest.param({"a_call_each": 500}, 70, id="many-are-no-more-than-can-be-told"),
    ],
)
def test_what_is_usual_takes_some_weeks_to_learn(known: dict[str, int], expected: int | None) -> None:
    now = MONDAY + 13 * HOUR
    counted = CallHours.from_text(seen(now, now - 2 * HOUR, **known).to_text())
    assert calls_expected(counted, hours_of(), now.astimezone(UTC)) == expected


def test_a_change_to_summer_time_moves_nothing() -> None:
    """At eight on the wall it is an hour earlier by UTC than in the weeks before, when nobody called at that hour."""
    after = MONDAY + WEEK + 10 * HOUR
    assert calls_expected(seen(after, MONDAY + WEEK), hours_of(), after.astimezone(UTC)) == 12


def test_hours_in_which_nobody_polled_are_no_silence() -> None:
    now = MONDAY + 13 * HOUR
    counted = seen(now - 4 * HOUR, now)
    assert calls_expected(counted.with_calls(0, now), hours_of(), now.astimezone(UTC)) is None


@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 35)), max_size=40))
def test_what_is_counted_is_read_as_it_was_written_and_old_hours_are_forgotten(counted: list[tuple[int, int]]) -> None:
    found = CallHours()
    for hour, number in sorted(counted):
        found = found.with_calls(number, MONDAY + hour * HOUR)
    read = CallHours.from_text(found.to_text())
    assert read.counts == {hour: min(count, 35) for hour, count in found.counts.items()}
    assert len(found.to_text()) < 1_300
    assert all(hour_of(MONDAY) <= hour for hour in found.counts)
