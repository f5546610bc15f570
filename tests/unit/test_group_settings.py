"""Business hours and call groups in the configuration file: what may stand there, and every mistake with its path."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from shared.config.file import parse_settings
from shared.config.groups import DatabaseMembers, NoMembers, StaticMembers, XapiMembers
from shared.errors import InvalidConfig
from tests.support.factories import CONFIG, make_settings


def mistakes(more: str) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(CONFIG + more, {})
    return list(caught.value.mistakes)


def mistake(more: str) -> str:
    (only,) = mistakes(more)
    return only


def hours(text: str) -> str:
    return f"business_hours:\n  {text}\n"


def groups(text: str) -> str:
    return f"call_groups:\n  {text}\n"


# What may stand there


def test_without_any_of_it_nothing_is_open_and_nobody_is_watched():
    settings = make_settings()
    assert [settings.business_hours.spans(day) for day in range(7)] == [()] * 7
    assert settings.call_groups.members == NoMembers()
    assert settings.call_groups.monitored_groups == ()
    assert settings.call_groups.alert_check_interval_minutes == 5
    assert settings.call_groups.grace_minutes == 0
    assert settings.call_groups.unknown_after == timedelta(minutes=15)
    assert settings.call_groups.remind_after is None


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("null", []),
        ("~", []),
        ("[]", []),
        ('{start: "08:00", end: "17:00"}', [(time(8), time(17), False)]),
        ("{start: 8:00, end: 17:30}", [(time(8), time(17, 30), False)]),
        ('[{start: "08:00", end: "17:00"}]', [(time(8), time(17), False)]),
        (
            '[{start: "13:00", end: "17:00"}, {start: "08:00", end: "12:00"}]',
            [(time(13), time(17), False), (time(8), time(12), False)],
        ),
        (
            '[{start: "08:00", end: "12:00"}, {start: "12:00", end: "17:00"}]',  # they meet, and that is all
            [(time(8), time(12), False), (time(12), time(17), False)],
        ),
        ('{start: "22:00", end: "06:00", overnight: true}', [(time(22), time(6), True)]),
        ('{start: "08:00", end: "00:00", overnight: true}', [(time(8), time(0), True)]),  # up to midnight
        ('{start: "00:00", end: "00:00", overnight: true}', [(time(0), time(0), True)]),  # the whole day
        ('{start: "09:30", end: "09:30", overnight: true}', [(time(9, 30), time(9, 30), True)]),
    ],
)
def test_a_day_is_null_a_span_or_several(text, spans):
    found = make_settings(hours(f"wednesday: {text}")).business_hours
    assert [(span.start, span.end, span.overnight) for span in found.spans(2)] == spans
    assert [found.spans(day) for day in range(7) if day != 2] == [()] * 6


def test_round_the_clock_is_a_whole_day_every_day():
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    text = "\n  ".join(f'{day}: {{start: "00:00", end: "00:00", overnight: true}}' for day in days)
    assert all(make_settings(hours(text)).business_hours.spans(day) for day in range(7))


def test_nights_may_meet_the_morning_after():
    text = 'sunday: {start: "22:00", end: "06:00", overnight: true}\n  monday: {start: "06:00", end: "07:00"}'
    assert make_settings(hours(text)).business_hours.spans(0)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{source: none}", NoMembers),
        ("{source: static}", StaticMembers),
        ("{source: database, database: {host: h, database: d, username: u, password: p}}", DatabaseMembers),
        ("{source: database, select: my.sql, database: {engine: sqlite, database: x.db}}", DatabaseMembers),
        ("{source: xapi, url: 'https://pbx.example.com:5001/', client_id: a, client_secret: s3cret}", XapiMembers),
    ],
)
def test_members_come_from_a_source(text, kind):
    assert isinstance(make_settings(groups(f"members: {text}")).call_groups.members, kind)


def test_members_of_a_database_are_those_of_3cx_in_postgresql_unless_said_otherwise():
    text = "members: {source: database, database: {host: h, database: d, username: u, password: p}}"
    members = make_settings(groups(text)).call_groups.members
    assert (members.select, members.database.engine, members.database.effective_port) == ("3cx-v20", "postgresql", 5432)


def test_a_secret_does_not_show():
    text = (
        "members: {source: xapi, url: 'https://pbx.example.com', client_id: a, client_secret: s3cret}\n"
        "  notify: [{type: slack, url: 'https://hooks.example.com/s3cret?key=s3cret'}]"
    )
    assert "s3cret" not in repr(make_settings(groups(text)))


# One mistake at a time

DAYS = "; allowed: a span with start and end, a list of spans, or null for closed"
END = "; allowed: hh:mm, after start; with overnight: true the next day's, not after start"
NOT_AFTER = "is not after start; a span over midnight needs overnight: true"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "timezone: America/Ancorage",
            "business_hours.timezone: holds 'America/Ancorage': is not a time zone that this system knows; "
            "allowed: IANA time zone, for example America/Anchorage",
            id="unknown-zone",
        ),
        pytest.param(
            "timezone: America",
            "business_hours.timezone: holds 'America': is not a time zone that this system knows; "
            "allowed: IANA time zone, for example America/Anchorage",
            id="a-folder-of-zones",
        ),
        pytest.param(
            'monday: {start: "17:00", end: "08:00"}',
            f"business_hours.monday.end: holds '08:00': {NOT_AFTER}{END}",
            id="inverted",
        ),
        pytest.param(
            'monday: {start: "08:00", end: "08:00"}',
            f"business_hours.monday.end: holds '08:00': {NOT_AFTER}{END}",
            id="empty",
        ),
        pytest.param(
            'monday: [{start: "08:00", end: "12:00"}, {start: "17:00", end: "13:00"}]',
            f"business_hours.monday.1.end: holds '13:00': {NOT_AFTER}{END}",
            id="the-second-is-inverted",
        ),
        pytest.param(
            'monday: {start: "08:00", end: "17:00", overnight: true}',
            f"business_hours.monday.end: holds '17:00': is after start, so the span would be longer than a day{END}",
            id="longer-than-a-day",
        ),
        pytest.param(
            'monday: [{start: "08:00", end: "12:00"}, {start: "11:59", end: "13:00"}]',
            f"business_hours.monday: two of its spans overlap{DAYS}",
            id="overlap-within-a-day",
        ),
        pytest.param(
            'monday: [{start: "08:00", end: "09:00"}, {start: "08:00", end: "09:00"}]',
            f"business_hours.monday: two of its spans overlap{DAYS}",
            id="the-same-twice",
        ),
        pytest.param(
            'monday: [{start: "22:00", end: "06:00", overnight: true}, {start: "23:00", end: "23:30"}]',
            f"business_hours.monday: two of its spans overlap{DAYS}",
            id="overlap-with-the-night",
        ),
        pytest.param(
            'monday: {start: "22:00", end: "06:01", overnight: true}\n  tuesday: {start: "06:00", end: "07:00"}',
            f"business_hours.tuesday: overlaps monday, over midnight{DAYS}",
            id="overlap-with-the-night-before",
        ),
        pytest.param(
            'tuesday: {start: "06:00", end: "07:00"}\n  monday: {start: "22:00", end: "06:01", overnight: true}',
            f"business_hours.tuesday: overlaps monday, over midnight{DAYS}",
            id="in-whatever-order",
        ),
        pytest.param(
            'monday: {start: "05:00", end: "07:00"}\n'
            '  sunday: [{start: "12:00", end: "13:00"}, {start: "20:00", end: "05:01", overnight: true}]',
            f"business_hours.sunday: overlaps monday, over midnight{DAYS}",
            id="overlap-of-sunday-with-monday",
        ),
        pytest.param(
            'monday: {start: "08:00"}',
            f"business_hours.monday.end: missing{END}",
            id="no-end",
        ),
        pytest.param(
            'monday: [{end: "17:00"}]',
            "business_hours.monday.0.start: missing; allowed: hh:mm",
            id="no-start",
        ),
        pytest.param(
            'monday: {start: "24:00", end: "23:00"}',
            "business_hours.monday.start: holds '24:00': is no time of the form hh:mm; allowed: hh:mm",
            id="no-time",
        ),
        pytest.param(
            'monday: {start: "08:00", end: "17:00", stop: "18:00"}',
            "business_hours.monday.stop: unknown key; the nearest known one is start",
            id="unknown-key-of-a-day",
        ),
        pytest.param(
            'monday: [{start: "08:00", end: "17:00", overnigth: true}]',
            "business_hours.monday.0.overnigth: unknown key; the nearest known one is overnight",
            id="unknown-key-in-a-list",
        ),
        pytest.param(
            "moonday: null", "business_hours.moonday: unknown key; the nearest known one is monday", id="unknown-day"
        ),
        pytest.param(
            "holidays: {country: XX}",
            "business_hours.holidays.country: holds 'XX': is no country whose holidays are known; "
            "allowed: two capital letters, such as US",
            id="unknown-country",
        ),
        pytest.param(
            "holidays: {country: us}",
            "business_hours.holidays.country: holds 'us': String should match pattern '^[A-Z]{2}$'; "
            "allowed: two capital letters, such as US",
            id="country-in-small-letters",
        ),
        pytest.param(
            "holidays: {country: XX, subdivision: AK}",
            "business_hours.holidays.country: holds 'XX': is no country whose holidays are known; "
            "allowed: two capital letters, such as US",
            id="unknown-country-is-one-mistake",
        ),
        pytest.param(
            "holidays: {country: AT, subdivision: AK}",
            "business_hours.holidays.subdivision: holds 'AK': is no subdivision of AT; "
            "known: 1, 2, 3, 4, 5, 6, 7, 8, 9; allowed: a state or region of the country, such as AK",
            id="unknown-subdivision",
        ),
        pytest.param(
            "holidays: {subdivision: AK}",
            "business_hours.holidays.subdivision: holds 'AK': needs country; "
            "allowed: a state or region of the country, such as AK",
            id="subdivision-of-nothing",
        ),
        pytest.param(
            "holidays: {date: [2026-12-24]}",
            "business_hours.holidays.date: unknown key; the nearest known one is dates",
            id="unknown-key-of-holidays",
        ),
    ],
)
def test_a_mistake_in_business_hours_is_named_with_its_path(text, expected):
    assert mistake(hours(text)) == expected


def test_a_date_that_is_none_is_named_with_its_place():
    assert mistake(hours("holidays: {dates: [2026-12-24, 2026-13-01]}")).startswith(
        "business_hours.holidays.dates.1: holds '2026-13-01': "
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        pytest.param(
            "monitored_groups: [{id: 800}, {id: 801}, {id: '800'}]",
            "call_groups.monitored_groups.2.id: holds '800': stands twice; ",
            id="twice",
        ),
        pytest.param(
            "members: {source: static}\n  monitored_groups: [{id: 800, members: [101]}, {id: 801}]",
            "call_groups.monitored_groups.1.members: missing, members.source static needs it; ",
            id="static-without-members",
        ),
        pytest.param(
            "members: {source: static}\n  monitored_groups: [{id: 800, members: null}]",
            "call_groups.monitored_groups.0.members: missing, members.source static needs it; ",
            id="static-with-null",
        ),
        pytest.param(
            "monitored_groups: [{name: Sales}]", "call_groups.monitored_groups.0.id: missing; ", id="without-id"
        ),
        pytest.param("monitored_groups: [{id: ''}]", "call_groups.monitored_groups.0.id: holds '': ", id="empty-id"),
        pytest.param(
            "monitored_groups: [{id: 1, membrs: [1]}]",
            "call_groups.monitored_groups.0.membrs: unknown key; the nearest known one is members",
            id="unknown-key-of-a-group",
        ),
        pytest.param(
            "monitored_groups: [{id: 1, business_hours: {monday: [{start: '9:00', end: '8:00'}]}}]",
            "call_groups.monitored_groups.0.business_hours.monday.0.end: holds '8:00': is not after start",
            id="hours-of-a-group",
        ),
        pytest.param(
            "monitored_groups: [{id: 1, business_hours: {timezone: Nowhere}}]",
            "call_groups.monitored_groups.0.business_hours.timezone: holds 'Nowhere': is not a time zone",
            id="zone-of-a-group",
        ),
        pytest.param(
            "monitored_groups: [{id: 1, business_hours: {holidays: {country: XX}}}]",
            "call_groups.monitored_groups.0.business_hours.holidays.country: holds 'XX': is no country",
            id="holidays-of-a-group",
        ),
        pytest.param(
            "notify: [{type: email, url: 'https://x.example/y'}]",
            "call_groups.notify.0.type: holds 'email': Input should be 'teams', 'slack' or 'json'",
            id="webhook-type",
        ),
        pytest.param(
            "notify: [{type: slack, url: 'https://x.example/y'}, {type: teams, url: 'ftp://x.example'}]",
            "call_groups.notify.1.url: holds ***: is no http or https address; ",
            id="webhook-url",
        ),
        pytest.param("notify: [{type: teams}]", "call_groups.notify.0.url: missing; ", id="webhook-without-url"),
        pytest.param(
            "notify: [{type: json, uri: 'x', url: 'https://x.example/y?z=1'}]",
            "call_groups.notify.0.uri: unknown key; the nearest known one is url",
            id="unknown-key-of-a-webhook",
        ),
        pytest.param("alert_check_interval_minutes: 0", "call_groups.alert_check_interval_minutes: holds '0'", id="0"),
        pytest.param("alert_check_interval_minutes: 61", "call_groups.alert_check_interval_minutes: holds", id="61"),
        pytest.param("grace_minutes: -1", "call_groups.grace_minutes: holds '-1'", id="negative-grace"),
        pytest.param(
            "unknown_after: 15", "call_groups.unknown_after: holds '15': is no number above 0 with", id="unit"
        ),
        pytest.param("remind_after: 0 hours", "call_groups.remind_after: holds '0 hours'", id="no-time-at-all"),
        pytest.param(
            "remind: 1 hour", "call_groups.remind: unknown key; the nearest known one is re", id="unknown-key"
        ),
        pytest.param("members: {}", "call_groups.members: ", id="without-source"),
        pytest.param("members: {source: ldap}", "call_groups.members: ", id="unknown-source"),
        pytest.param("members: static", "call_groups.members: ", id="source-alone"),
        pytest.param(
            "members: {source: static, url: x}",
            "call_groups.members.url: unknown key; the nearest known one is source",
            id="a-key-of-another-source",
        ),
        pytest.param("members: {source: database}", "call_groups.members.database: missing; ", id="without-database"),
        pytest.param(
            "members: {source: database, database: {engine: oracle, database: x}}",
            "call_groups.members.database.engine: holds 'oracle': ",
            id="unknown-engine",
        ),
        pytest.param(
            "members: {source: database, selects: x, database: {engine: sqlite, database: x.db}}",
            "call_groups.members.selects: unknown key; the nearest known one is select",
            id="unknown-key-of-database",
        ),
        pytest.param(
            "members: {source: xapi, url: pbx, client_id: a, client_secret: b}",
            "call_groups.members.url: holds 'pbx': is not an http or https address",
            id="xapi-url",
        ),
        pytest.param(
            "members: {source: xapi, url: 'https://pbx.example', client_id: a}",
            "call_groups.members.client_secret: missing; ",
            id="xapi-without-secret",
        ),
    ],
)
def test_a_mistake_in_call_groups_is_named_with_its_path(text, start):
    assert mistake(groups(text)).startswith(start)


def test_members_that_name_no_source_say_which_there_are():
    for text in ("{}", "{source: ldap}", "static"):
        assert mistake(groups(f"members: {text}")).endswith("allowed: source: none, static, database or xapi")


def test_without_static_members_a_group_may_list_none():
    assert make_settings(groups("monitored_groups: [{id: 800}]")).call_groups.monitored_groups[0].members is None


# All at once


def test_all_mistakes_are_named_at_once():
    found = mistakes("""\
business_hours:
  timezone: America/Ancorage
  monday: {start: "08:00", end: "07:00"}
  tuesday: [{start: "08:00", end: "12:00"}, {start: "11:00", end: "13:00"}]
  wednesday: {start: "22:00", end: "02:00", overnight: true}
  thursday: [{start: "01:00", end: "03:00"}]
  friday: [{start: "01:00", end: "03:00"}, {start: "x", stop: "1"}]
  saturday: {start: "20:00", end: "03:00", overnight: true}
  sunday: [{start: "02:00", end: "08:00"}]
  holidays: {country: US, subdivision: XX, dates: [soon]}
call_groups:
  alert_check_interval_minutes: 0
  unknown_after: soon
  members: {source: static}
  notify: [{type: email, url: "https://x.example/y"}, {type: teams, url: "ftp://x.example"}]
  monitored_groups:
    - {id: 800}
    - {id: 800, members: [101], business_hours: {timezone: Nowhere, monday: {start: "09:00", end: "09:00"}}}
    - {name: Support, members: [102]}
""")
    assert sorted(line.partition(":")[0] for line in found) == sorted(
        [
            "business_hours.timezone",
            "business_hours.monday.end",
            "business_hours.tuesday",
            "business_hours.thursday",
            "business_hours.friday.1.start",
            "business_hours.friday.1.end",
            "business_hours.friday.1.stop",
            "business_hours.sunday",
            "business_hours.holidays.subdivision",
            "business_hours.holidays.dates.0",
            "call_groups.alert_check_interval_minutes",
            "call_groups.unknown_after",
            "call_groups.notify.0.type",
            "call_groups.notify.1.url",
            "call_groups.monitored_groups.0.members",
            "call_groups.monitored_groups.1.id",
            "call_groups.monitored_groups.1.business_hours.timezone",
            "call_groups.monitored_groups.1.business_hours.monday.end",
            "call_groups.monitored_groups.2.id",
        ]
    )
