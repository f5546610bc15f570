"""Business hours: open or closed at any moment in any time zone, and when that changes next."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdr.groups.hours import Hours, Span
from cdr.wiring.plans import make_hours
from tests.support.factories import make_settings

MONDAY, *_, SATURDAY, SUNDAY = range(7)
MINUTE = timedelta(minutes=1)
ANCHORAGE, LORD_HOWE, HAVANA = "America/Anchorage", "Australia/Lord_Howe", "America/Havana"
ZONES = {name.partition("/")[2]: name for name in (ANCHORAGE, LORD_HOWE, HAVANA, "Europe/Berlin", "America/Phoenix")}


def span(text: str) -> Span:
    """From "08:00-17:00"; what does not end after its start ends on the next day."""
    start, end = map(time.fromisoformat, text.split("-"))
    return Span(start, end, overnight=end <= start)


def hours(zone: str = "UTC", *holidays: str, **days: str) -> Hours:
    """From monday="08:00-12:00 13:00-17:00" and days off."""
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    week = {names.index(name): [span(text) for text in spans.split()] for name, spans in days.items()}
    return Hours(ZoneInfo(zone), week, frozenset(map(date.fromisoformat, holidays)).__contains__)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def changes(hours: Hours, first: str, count: int) -> list[str]:
    """The next moments of change from a UTC moment on."""

    def each(now: datetime):
        while (now := hours.next_change(now)) is not None:
            yield now

    return [f"{moment:%m-%dT%H:%M}" for moment in islice(each(at(first)), count)]


OFFICE = hours(monday="08:00-12:00 13:00-17:00", friday="22:00-06:00", sunday="00:00-00:00")
"""2026-11-23 is a Monday."""


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-11-23 08:00", "2026-11-23 12:00"),
        ("2026-11-23 13:00", "2026-11-23 17:00"),
        ("2026-11-27 22:00", "2026-11-28 06:00"),  # Friday's night; the one before is nobody's, nor is the next
        ("2026-11-29 00:00", "2026-11-30 00:00"),
    ],
)
def test_a_span_is_open_from_its_start_to_just_before_its_end(opens: str, closes: str) -> None:
    instant = timedelta(microseconds=1)
    around = [at(opens) - instant, at(opens), at(closes) - instant, at(closes)]
    assert [OFFICE.is_open(moment) for moment in around] == [False, True, True, False]


def test_the_next_change_is_the_next_start_or_end() -> None:
    """At a change itself the next one counts."""
    found = ["11-23T08:00", "11-23T12:00", "11-23T13:00", "11-23T17:00", "11-27T22:00", "11-28T06:00", "11-29T00:00"]
    assert changes(OFFICE, "2026-11-23 07:00", 8) == [*found, "11-30T00:00"]


def test_spans_that_meet_are_no_change():
    assert changes(hours(monday="08:00-12:00 12:00-22:00 22:00-06:00"), "2026-11-23 09:00", 1) == ["11-24T06:00"]


@pytest.mark.parametrize(
    "always",
    [
        hours(),
        Hours(ZoneInfo(ANCHORAGE), {day: [span("00:00-00:00")] for day in range(7)}),
        Hours(ZoneInfo("UTC"), {MONDAY: [span("08:00-09:00")]}, lambda _: True),
    ],
    ids=["never open", "always open", "all holidays"],
)
def test_hours_that_never_change_have_no_next_change(always: Hours) -> None:
    assert always.next_change(at("2026-11-23 07:00")) is None


# Nights on which clocks change: the first moment that is looked at and the changes after it are in UTC

NIGHTS = """
# 2026-03-08: 02:00 (-9) becomes 03:00 (-8) at 11:00Z
Anchorage | the end left out         | sun 01:00-02:30   | 03-08T09:00 | 03-08T10:00 03-08T11:00
Anchorage | the start left out       | sun 02:30-04:00   | 03-08T09:00 | 03-08T11:00 03-08T12:00
Anchorage | all of it left out       | sun 02:15-02:45   | 03-08T09:00 | 03-15T10:15
Anchorage | a night of 7 hours       | sat 22:00-06:00 | 03-08T00:00 | 03-08T07:00 03-08T14:00
# 2026-11-01: 02:00 (-8) becomes 01:00 (-9) at 10:00Z
Anchorage | half an hour comes twice | sun 01:00-01:30   | 11-01T08:00 | 11-01T09:00 11-01T09:30 11-01T10:00 11-01T10:30
Anchorage | the start comes twice    | sun 01:30-05:00   | 11-01T08:00 | 11-01T09:30 11-01T10:00 11-01T10:30 11-01T14:00
Anchorage | a night of 9 hours       | sat 22:00-06:00 | 11-01T00:00 | 11-01T06:00 11-01T15:00
# 2026-03-29: 02:00 (+1) becomes 03:00 (+2) at 01:00Z; 2026-10-25: 03:00 becomes 02:00 at 01:00Z
Berlin    | the start left out       | sun 02:30-04:00   | 03-28T20:00 | 03-29T01:00 03-29T02:00
Berlin    | half an hour comes twice | sun 02:00-02:30   | 10-24T20:00 | 10-25T00:00 10-25T00:30 10-25T01:00 10-25T01:30
Berlin    | a night of 13 hours      | sat 20:00-08:00 | 10-24T12:00 | 10-24T18:00 10-25T07:00
# By half an hour. 2026-04-05: 02:00 (+11) becomes 01:30 at 15:00Z the day before
Lord_Howe | a quarter comes twice    | sun 01:30-01:45   | 04-04T12:00 | 04-04T14:30 04-04T14:45 04-04T15:00 04-04T15:15
Lord_Howe | what comes once          | sun 01:00-01:30   | 04-04T12:00 | 04-04T14:00 04-04T14:30
# 2026-10-04: 02:00 (+10:30) becomes 02:30 (+11) at 15:30Z the day before
Lord_Howe | an hour of 30 minutes    | sun 02:00-03:00   | 10-03T12:00 | 10-03T15:30 10-03T16:00
Lord_Howe | all of it left out       | sun 02:10-02:20   | 10-03T12:00 | 10-10T15:10
# 2026-03-08: 00:00 (-5) becomes 01:00 (-4) at 05:00Z; 2026-11-01: 01:00 becomes 00:00 at 05:00Z
Havana    | midnight left out        | sat 20:00-00:00; sun 00:30-02:00 | 03-07T12:00 | 03-08T01:00 03-08T06:00
Havana    | midnight comes twice     | sun 00:00-00:15   | 10-31T12:00 | 11-01T04:00 11-01T04:15 11-01T05:00 11-01T05:15
Phoenix   | no change in spring      | sun 01:00-02:30   | 03-08T00:00 | 03-08T08:00 03-08T09:30
Phoenix   | no change in fall        | sun 01:00-01:30   | 11-01T00:00 | 11-01T08:00 11-01T08:30
"""
CASES = [[cell.strip() for cell in line.split("|")] for line in NIGHTS.splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize(("zone", "what", "days", "first", "expected"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_the_wall_clock_decides_on_nights_when_clocks_change(
    zone: str, what: str, days: str, first: str, expected: str
) -> None:
    spans = dict(part.split() for part in days.replace("sun", "sunday").replace("sat", "saturday").split(";"))
    found = hours(ZONES[zone], **spans)
    assert changes(found, f"2026-{first}", len(expected.split())) == expected.split()


# Holidays


def configured(text: str) -> Hours:
    return make_hours(make_settings(f"business_hours:\n  timezone: America/Anchorage\n{text}").business_hours)


DAILY = "".join(
    f'  {day}: {{start: "08:00", end: "17:00"}}\n'
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)


@pytest.mark.parametrize(
    ("holidays", "day", "is_open"),
    [
        ("{country: US}", "2026-12-25", False),
        ("{country: US}", "2026-07-03", False),  # the Fourth is a Saturday and observed the day before
        ("{country: US}", "2026-10-19", True),  # Alaska Day, by state law alone
        ("{country: US, subdivision: AK}", "2026-10-19", False),
        ("{country: US, subdivision: AK}", "2026-12-25", False),
        ("{country: DE, subdivision: BY}", "2026-01-06", False),
        ("{country: DE, subdivision: BE}", "2026-01-06", True),
        ("{dates: [2026-12-24, 2026-12-31]}", "2026-12-24", False),
        ("{dates: [2026-12-24, 2026-12-31]}", "2026-12-31", False),
        ("{dates: [2026-12-24]}", "2026-12-25", True),
        ("{dates: [2026-12-24]}", "2027-12-24", True),  # a date is of one year
        ("{country: US, dates: [2026-12-24]}", "2026-12-24", False),
        ("{country: US, dates: [2026-12-24]}", "2026-12-25", False),
    ],
)
def test_a_holiday_has_no_hours(holidays, day, is_open):
    assert configured(f"{DAILY}  holidays: {holidays}\n").is_open(at(f"{day} 12:00", ANCHORAGE)) is is_open


def test_a_night_before_a_holiday_is_open_to_its_end_and_that_of_the_holiday_not_at_all():
    nights = hours("UTC", "2026-12-25", **dict.fromkeys(("thursday", "friday"), "22:00-06:00"))
    assert changes(nights, "2026-12-24 12:00", 3) == ["12-24T22:00", "12-25T06:00", "12-31T22:00"]


def test_the_day_of_a_holiday_is_that_of_the_configured_time_zone():
    off = hours("Pacific/Auckland", "2026-12-25", **dict.fromkeys(("thursday", "friday", "saturday"), "00:00-00:00"))
    assert changes(off, "2026-12-24 00:00", 2) == ["12-24T11:00", "12-25T11:00"]  # +13


# From the configuration


def test_null_and_an_unnamed_day_are_closed():
    found = configured('  monday: {start: "08:00", end: "17:00"}\n  tuesday: null\n')
    assert [bool(found.week[day]) for day in range(7)] == [True] + [False] * 6


def test_a_group_has_its_own_hours_and_takes_zone_and_holidays_from_the_common_ones():
    common = make_settings(
        f"business_hours:\n  timezone: America/Anchorage\n{DAILY}  holidays: {{dates: [2026-12-24]}}\n"
        "call_groups:\n  monitored_groups:\n"
        '  - {id: 1, business_hours: {thursday: {start: "06:00", end: "07:00"}}}\n'
        '  - {id: 2, business_hours: {timezone: UTC, thursday: {start: "06:00", end: "07:00"}, holidays: {}}}\n'
    )
    inherits, differs = (
        make_hours(common.business_hours, group.business_hours) for group in common.call_groups.monitored_groups
    )
    assert changes(inherits, "2026-12-17 12:00", 3) == ["12-17T15:00", "12-17T16:00", "12-31T15:00"]
    assert changes(differs, "2026-12-17 12:00", 2) == ["12-24T06:00", "12-24T07:00"]
    assert not inherits.is_open(at("2026-12-18 12:00", ANCHORAGE))


# For any hours


def is_within(moment: datetime, hours: Hours) -> bool:
    """The same rule in other words: the wall clock is beyond the start and before the end of some span's day."""
    clock = moment.astimezone(hours.zone).replace(tzinfo=None)
    for days_ago in (0, 1):
        day = clock.date() - timedelta(days=days_ago)
        for each in [] if hours.is_holiday(day) else hours.week.get(day.weekday(), ()):
            start = datetime.combine(day, each.start)
            end = datetime.combine(day, each.end) + timedelta(days=each.overnight)
            if start <= clock < end:
                return True
    return False


clock_times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 45, 59]))
spans = st.builds(lambda start, end: Span(start, end, overnight=end <= start), clock_times, clock_times)
weeks = st.dictionaries(st.integers(0, 6), st.lists(spans, max_size=3), min_size=1, max_size=7)
clock_changes = st.sampled_from(
    [
        datetime(2026, month, day, hour, tzinfo=UTC)
        for month, day, hour in [(3, 8, 11), (11, 1, 10), (3, 29, 1), (10, 25, 1), (4, 4, 15), (10, 3, 15), (3, 8, 5)]
    ]
)
moments = st.builds(lambda change, offset: change + offset, clock_changes, st.timedeltas(-timedelta(2), timedelta(2)))
zones = st.sampled_from([*ZONES.values(), "Asia/Kolkata", "UTC"])
days_off = st.frozensets(st.builds(lambda day: date(2026, 3, 1) + timedelta(day), st.integers(0, 250)), max_size=60)
any_hours = st.builds(lambda zone, week, off: Hours(ZoneInfo(zone), week, off.__contains__), zones, weeks, days_off)


@given(any_hours, moments)
def test_open_means_that_the_wall_clock_is_within_a_span(found, now):
    for offset in range(-90, 90, 7):
        moment = now + offset * MINUTE
        assert found.is_open(moment) is is_within(moment, found)


@settings(max_examples=60)
@given(any_hours, moments)
@example(
    Hours(ZoneInfo(LORD_HOWE), {SUNDAY: [Span(time(1, 45), time(2, 15))]}), datetime(2026, 4, 4, 14, 50, tzinfo=UTC)
)
@example(
    Hours(ZoneInfo(HAVANA), {SATURDAY: [Span(time(23), time(0, 30), True)]}), datetime(2026, 3, 8, 4, 30, tzinfo=UTC)
)
def test_nothing_changes_before_the_next_change_and_at_it_everything_does(found, now):
    """Minute by minute for three days, which have any clock change in them; then in strides."""
    is_open, change = found.is_open(now), found.next_change(now)
    end = min(change or now + timedelta(days=390), now + timedelta(days=390))
    moment = now
    while moment < end:
        assert is_within(moment, found) is is_open, moment
        moment += MINUTE if moment - now < timedelta(days=3) else timedelta(minutes=43)
    if change is not None:
        assert change > now
        assert change.utcoffset() == timedelta()
        assert is_within(change, found) is not is_open
        assert is_within(change - timedelta(microseconds=1), found) is is_open
