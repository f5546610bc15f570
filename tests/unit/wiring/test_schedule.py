"""From an interval to a timer's expression."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from cdr.wiring.schedule import ncrontab, of_hours

MIDNIGHT = datetime.fromisoformat("2026-11-22 00:00:00")


def _seconds_between(expression: str) -> set[float]:
    times = croniter(expression, MIDNIGHT, ret_type=datetime, second_at_beginning=True)
    ticks = [times.get_next() for _ in range(150)]
    return {(after - before).total_seconds() for before, after in pairwise(ticks)}


@pytest.mark.parametrize(
    ("interval_s", "expression"),
    [
        (5, "*/5 * * * * *"),
        (30, "*/30 * * * * *"),
        pytest.param(45, "*/30 * * * * *", id="45-does-not-divide-a-minute"),
        pytest.param(59, "*/30 * * * * *", id="just-below-a-minute"),
        (60, "0 */1 * * * *"),
        pytest.param(90, "0 */1 * * * *", id="a-minute-and-a-half"),
        (300, "0 */5 * * * *"),
        pytest.param(420, "0 */6 * * * *", id="7-does-not-divide-an-hour"),
        (3600, "0 0 * * * *"),
    ],
)
def test_an_interval_becomes_an_expression(interval_s: int, expression: str) -> None:
    assert ncrontab(interval_s) == expression


@given(st.integers(5, 3600))
def test_ticks_are_even_and_never_rarer_than_asked_for(interval_s: int) -> None:
    (between,) = _seconds_between(ncrontab(interval_s))
    assert interval_s / 2 < between <= interval_s


def test_ticks_stay_even_at_the_turn_of_an_hour() -> None:
    assert _seconds_between(ncrontab(1500)) == {timedelta(minutes=20).total_seconds()}


@pytest.mark.parametrize(
    ("hours", "expression"),
    [
        (24, "0 47 3 * * *"),
        (23, "0 47 */12 * * *"),
        (6, "0 47 */6 * * *"),
        (5, "0 47 */4 * * *"),
        (1.5, "0 47 */1 * * *"),
    ],
)
def test_what_is_done_every_few_hours_is_done_at_a_quiet_minute(hours: float, expression: str) -> None:
    assert of_hours(timedelta(hours=hours)) == expression
    (between,) = _seconds_between(expression)
    assert between <= hours * 3600
