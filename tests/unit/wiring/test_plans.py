"""From the configuration to the plain values that the use cases take."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.rules import CallRules
from cdr.groups.alerts import AlertPolicy
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.reader import RowPatience
from cdr.intake.time_order.reader import LegPatience
from cdr.wiring import plans
from shared.config.calls import Calls
from shared.config.settings import Settings
from tests.support.factories import CONFIG, make_settings
from tests.support.settings import parse_settings

WEDNESDAY = datetime(2026, 11, 25, tzinfo=UTC)
GROUPS = """
call_groups:
  members: {source: static}
  grace_minutes: 3
  unknown_after: 20 minutes
  remind_after: 2 hours
  monitored_groups:
    - {id: "0800", name: Sales, members: [101]}
    - id: "801"
      members: [102]
      business_hours: {timezone: Europe/Berlin, wednesday: {start: "08:00", end: "09:00"}, holidays: {dates: []}}
business_hours:
  timezone: UTC
  wednesday: {start: "10:00", end: "11:00"}
  holidays: {country: US, dates: [2026-11-25]}
"""


def with_three_cx(*lines: str, timezone: str = "UTC") -> Settings:
    """The shortest configuration, with more lines in its section 3cx."""
    config = CONFIG.replace("3cx:", "\n  ".join(["3cx:", *lines]))
    return parse_settings(config.replace("cdr_database: {", f"cdr_database: {{timezone: {timezone}, "), {})


@pytest.mark.parametrize(
    ("start_from", "timezone", "start"),
    [
        ("now", "UTC", "now"),
        ("beginning", "UTC", "beginning"),
        ("17", "UTC", 17),
        ("2026-11-22", "UTC", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22", "Europe/Berlin", datetime(2026, 11, 21, 23, tzinfo=UTC)),
        ("2026-07-22 08:00", "America/Anchorage", datetime(2026, 7, 22, 16, tzinfo=UTC)),
        ("2026-11-22T00:00:00+05:30", "Europe/Berlin", datetime(2026, 11, 21, 18, 30, tzinfo=UTC)),
    ],
)
def test_a_date_to_start_from_is_meant_in_the_databases_time_zone(start_from: str, timezone: str, start: Any) -> None:
    three_cx = with_three_cx(f"start_from: {start_from}", timezone=timezone).three_cx
    assert plans.start_from(three_cx) == start


def test_how_long_is_waited_for_rows_can_be_configured() -> None:
    assert plans.row_patience(make_settings().three_cx) == RowPatience()
    three_cx = with_three_cx("gap_wait: 2 minutes", "open_row_wait: 3 h").three_cx
    assert plans.row_patience(three_cx) == RowPatience(timedelta(minutes=2), timedelta(hours=3))
    settling = make_settings(environment={}).three_cx.model_copy(update={"settle_seconds": 20})
    assert plans.row_patience(settling).settle == timedelta(seconds=20)


def test_how_legs_are_waited_for_and_folded_can_be_configured() -> None:
    three_cx = with_three_cx("source: v20", "replica_delay: 5 minutes", "open_row_wait: 3 h").three_cx
    assert plans.leg_patience(make_settings().three_cx) == LegPatience(overlap=timedelta(minutes=15))
    assert plans.leg_patience(three_cx) == LegPatience(timedelta(minutes=25), timedelta(minutes=15), timedelta(hours=3))
    quick = with_three_cx("late_leg_wait: 8 s").three_cx
    assert plans.leg_patience(quick) == LegPatience(timedelta(seconds=8), timedelta(seconds=8))
    assert plans.fold_options(make_settings().calls) == FoldOptions()
    configured = make_settings("calls: {owner: longest, duration: call}\n").calls
    assert plans.fold_options(configured) == FoldOptions(owner="longest", duration="call")


def test_without_further_settings_the_rules_are_the_default_ones() -> None:
    assert plans.call_rules(make_settings()) == CallRules()


def test_every_rule_can_be_configured() -> None:
    settings = make_settings("""
calls:
  include_internal: false
  include_unanswered: true
  internal_number_digits: {min: 3, max: 4}
  phone_format: e164
  default_region: US
  anonymous_number: "unknown"
  unmapped_extensions: skip
  pbx_call_id: "{call_id}"
  call_group: monitored
call_groups:
  monitored_groups: [{id: "0800", name: Sales}, {id: "801"}]
extension_mapping:
  0101: alice@example.com
  101: bob@example.com
""")
    rules = plans.call_rules(settings)
    assert rules == CallRules(
        include_internal=False,
        include_unanswered=True,
        internal_digits=(3, 4),
        phone_format="e164",
        default_region="US",
        anonymous_number="unknown",
        unmapped_extensions="skip",
        pbx_call_id="{call_id}",
        call_group="monitored",
        emails={"0101": "alice@example.com", "101": "bob@example.com"},
        monitored_groups=frozenset({"0800", "801"}),
    )
    usual = CallRules()
    unchanged = {field.name for field in fields(usual) if getattr(rules, field.name) == getattr(usual, field.name)}
    unchanged -= {"phone_book", "email_problems"}  # what the phone system says
    assert unchanged == {"timezone"}, "each has another value here"
    assert plans.call_rules(with_three_cx(timezone="Europe/Berlin")).timezone == "Europe/Berlin"
    elsewhere = {"max_rejections_per_minute", "internal_number_digits", "owner", "duration"}
    assert set(Calls.model_fields) - elsewhere <= {field.name for field in fields(usual)}


def test_a_group_has_the_common_hours_and_holidays_or_its_own() -> None:
    sales, other = plans.watched_groups(make_settings(GROUPS))
    assert [(group.id, group.name) for group in (sales, other)] == [("0800", "Sales"), ("801", "")]
    hours_open = {
        group.id: [hour for hour in range(24) if group.is_open(WEDNESDAY + timedelta(hours=hour, days=days))]
        for group, days in ((sales, 0), (other, 0))
    }
    assert hours_open == {"0800": [], "801": [7]}, "the day is a holiday of the common ones"
    week_later = WEDNESDAY + timedelta(days=7)
    assert [hour for hour in range(24) if sales.is_open(week_later + timedelta(hours=hour))] == [10]


def test_what_nobody_can_be_asked_about_is_not_watched() -> None:
    groups = "call_groups: {monitored_groups: [{id: 800}]}\n"
    assert plans.watched_groups(make_settings(groups)) == []


def test_holidays_are_those_of_a_country_and_ones_own() -> None:
    is_holiday = plans.holiday_rule(make_settings(GROUPS).business_hours.holidays)
    days = ["2026-11-25", "2026-11-26", "2026-11-27", "2026-07-04"]
    assert [is_holiday(datetime.fromisoformat(day).date()) for day in days] == [True, True, False, True]


def test_when_people_are_told_can_be_configured() -> None:
    policy = plans.alert_policy(make_settings(GROUPS).call_groups)
    assert policy == AlertPolicy(timedelta(minutes=3), timedelta(minutes=20), timedelta(hours=2))
