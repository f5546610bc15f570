"""Dates, times and durations as people's tables have them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.times import YEARS, end_in_utc, seconds_of, stands_for_no_time, time_of

SAME = "2026-04-30T06:35:46"
WRITTEN = {
    "2026-04-30 06:35:46": SAME,
    "2026/04/30 06:35:46": SAME,
    "2026.04.30 06:35:46": SAME,
    "2026/4/30  6:35:46": SAME,
    "30.04.2026 06:35:46": SAME,
    "30.4.2026, 6:35:46": SAME,
    "2026-04-30T06:35:46.123456789": f"{SAME}.123456",
    "2026-04-30 06:35:46,5": f"{SAME}.500000",
    "2026-04-30 06:35": "2026-04-30T06:35:00",
    "20260430T063546": SAME,
    "20260430063546": SAME,
    "Apr 30 2026  6:35:46:123AM": f"{SAME}.123",
    "Apr 30 2026  6:35AM": "2026-04-30T06:35:00",
    "30 April 2026 06:35:46": SAME,
    "30. April 2026 06:35:46": SAME,
    "30-APR-2026 06:35:46 PM": "2026-04-30T18:35:46",
    "2026-04-30 12:35:46 am": "2026-04-30T00:35:46",
    "2026-04-30 06:35:46 +02:00": f"{SAME}+02:00",
    "2026-04-30 06:35:46.0000000 -0930": f"{SAME}-09:30",
    "2026-04-30 06:35:46+02": f"{SAME}+02:00",
    "2026-04-30T06:35:46Z": f"{SAME}+00:00",
    "2026-04-30 06:35:46 UTC": f"{SAME}+00:00",
    "Thu, 30 Apr 2026 06:35:46 GMT": f"{SAME}+00:00",
    "Thu Apr 30 2026 06:35:46 GMT+0200 (Central European Summer Time)": f"{SAME}+02:00",
    "2026-04-30T06:35:46+02:00[Europe/Berlin]": f"{SAME}+02:00",
    "2026-04-30 06:35:46.123 +0000 UTC": f"{SAME}.123+00:00",
    "2026-04-30 06:35:46 UTC+02:00": f"{SAME}+02:00",
    "Thursday, April 30, 2026 6:35:46 AM": SAME,
    "\u200e2026-04-30 \uff10\u0666:35:46": SAME,
    "2026-04-30 24:00": "2026-05-01T00:00:00",
    "2026-12-31T23:59:60.5Z": "2027-01-01T00:00:00+00:00",
}
NO_TIME = [
    "",
    "noon",
    "2026-04-30",
    "04/05/2026 06:35:46",
    "2026-13-30 06:35",
    "2026-04-30 25:00",
    "2026-04-30 13:00 PM",
    *("2026-04-30 24:01", "2026-04-30 12:30:60", "9999-12-31 24:00"),
]
NO_TIME += [
    "2026-04/30 06:35:46",
    "1777530946",
    "17775309460000",
    "2026-04-30 06:35:46 +02:00 PM",
    "20261330063546",
    "2026-04-30 06:35:46 +99:00",
    "2026-04-30 06:35:46 CEST",
]


@pytest.mark.parametrize(("written", "meant"), WRITTEN.items())
def test_a_time_is_read_in_every_writing_that_has_one_meaning(written: str, meant: str) -> None:
    assert time_of(written) == datetime.fromisoformat(meant)


@pytest.mark.parametrize("text", NO_TIME)
def test_what_is_no_time_or_could_be_two_is_none(text: str) -> None:
    assert time_of(text) is None


@given(st.text() | st.text("0123456789-/.: TZapm+"))
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = time_of(text)
    assert found is None or isinstance(found, datetime)
    assert stands_for_no_time(text) in (True, False)


NOT_YET = [None, 0, 0.0, "", " ", "-", "NULL", "0", "0000-00-00 00:00:00", "2999-12-31", "1753-01-01 00:00:00"]
NOT_YET += ["1899-12-30T00:00:00", "1900-01-01", "1970-01-01 00:00:00+00", "9999-12-31 23:59:59.9999999", "infinity"]
NOT_YET += [
    "-Infinity",
    "10000-01-01 00:00:00",
    "2999-12-31",
    "0044-03-15 10:00:00 BC",
    "01.01.0001 00:00:00",
    "Jan 1 1900 12:00AM",
    *("NaT", "NaN", "-1", -1, -1.0, math.nan, "+infinity", "Inf", "\\N", "(null)", "<NULL>", "undefined"),
    *("19000101", "18991230T000000", "12/31/9999 23:59:59", "12/30/1899", "31.12.9999"),
]


@pytest.mark.parametrize("value", NOT_YET)
def test_placeholders_stand_for_no_time(value: Any) -> None:
    assert stands_for_no_time(value)


@pytest.mark.parametrize(
    "value", ["never", "2026-13-45 00:00", "x", 20261122, "20261122", "04/30/2026 10:00", 1, 10**400, False]
)
def test_what_makes_no_sense_is_no_placeholder(value: Any) -> None:
    assert not stands_for_no_time(value)


@given(st.datetimes(datetime(YEARS.start, 1, 2), datetime(YEARS.stop - 1, 12, 30), timezones=st.none() | st.just(UTC)))  # noqa: DTZ001
def test_times_are_none(moment: datetime) -> None:
    for text in (str(moment), moment.isoformat(), moment.strftime("%d.%m.%Y %H:%M:%S")):
        assert not stands_for_no_time(text)
        assert time_of(text) is not None


DURATIONS = {
    "0:01:30": 90,
    "00:01:30.125": 90.125,
    "1.02:03:04": 93784,
    "1 day, 2:03:04": 93784,
    "1 day 02:03:04": 93784,
    "2 days 00:00:01": 172_801,
    "1d 00:00:10": 86_410,
    "100:00:00": 360_000,
    "PT90S": 90,
    "PT1H2M3.5S": 3723.5,
    "P1DT2H": 93_600,
    "pt1m": 60,
    "P0Y0M0DT0H1M30S": 90,
    "+90": 90,
    "90s": 90,
    "90 seconds": 90,
    "1h 30m": 5_400,
    "2 min 5 sec": 125,
    "90.50": 90.5,
    "-5": -5,
    "\uff11\u0662": 12,
}


@pytest.mark.parametrize(("written", "seconds"), DURATIONS.items())
def test_a_duration_is_read_in_every_writing_that_has_one_meaning(written: str, seconds: float) -> None:
    assert seconds_of(written) == seconds


@given(st.text() | st.text("0123456789:.PTDHMSdhms -") | st.integers() | st.floats() | st.just(10**5_000))
def test_any_value_is_a_number_of_seconds_or_none(value: str | float) -> None:
    seconds = seconds_of(value)
    assert seconds is None or math.isfinite(seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "1:30", "1:2:3", "0:60:00", "1,234", "1e3", "long", "s", "nan"])
def test_what_is_no_duration_or_could_be_two_is_none(text: str) -> None:
    assert seconds_of(text) is None


# The hour that comes twice

BERLIN = "Europe/Berlin"
FOURS = st.integers(0, 4 * 3600).map(lambda s: datetime(2026, 10, 24, 23, tzinfo=UTC) + timedelta(seconds=s))


@pytest.mark.parametrize(
    ("started", "ended", "duration", "in_utc"),
    [
        pytest.param("01:50", "02:10", 4800, "01:10", id="an-end-in-the-second-pass"),
        pytest.param("01:50", "02:10", 1200, "00:10", id="an-end-in-the-first-pass"),
        pytest.param("01:50", "02:10", None, "00:10", id="nothing-to-tell-by"),
        pytest.param("01:50", "02:10", 4700, "01:10", id="it-rang-for-a-while"),
        pytest.param("02:10", "02:50", 6000, "01:50", id="from-one-pass-to-the-other"),
        pytest.param("02:10", "02:50", 2400, "00:50", id="in-the-same-pass"),
        pytest.param("02:50", "02:10", 90, "01:10", id="the-clock-went-back"),
        pytest.param("02:10", "03:10", 3600, "02:10", id="a-start-in-the-second-pass"),
        pytest.param("02:50", "01:10", 90, None, id="an-end-before-the-start"),
    ],
)
def test_the_duration_tells_which_pass_of_the_hour_it_was(
    started: str, ended: str, duration: float | None, in_utc: str | None
) -> None:
    start, end = (datetime.fromisoformat(f"2026-10-25 {text}") for text in (started, ended))
    found = end_in_utc(start, end, duration, BERLIN)
    assert found == (in_utc and datetime.fromisoformat(f"2026-10-25 {in_utc}+00:00"))


@given(FOURS, FOURS)
def test_a_call_that_begins_or_ends_outside_that_hour_has_one_end(one: datetime, other: datetime) -> None:
    start, end = sorted((one, other))
    local = [moment.astimezone(ZoneInfo(BERLIN)).replace(tzinfo=None, fold=0) for moment in (start, end)]
    duration = (end - start).total_seconds()
    found = end_in_utc(local[0], local[1], duration, BERLIN)
    is_told = not all(moment.hour == 2 for moment in local) or found == end
    assert found == end or not is_told
    assert found is not None
