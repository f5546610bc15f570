"""From the configuration to what the poll and the rules of calls take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import CallRules
from cdr.intake.poll import PollPlan
from cdr.wiring.plans import call_rules, poll_plan
from shared.config.calls import Calls
from shared.config.file import parse_settings
from shared.config.settings import Settings
from tests.support.factories import CONFIG, make_settings


def with_three_cx(*lines: str, timezone: str = "UTC") -> Settings:
    """The shortest configuration, with more lines in its section 3cx."""
    config = CONFIG.replace("3cx:", "\n  ".join(["3cx:", *lines]))
    return parse_settings(config.replace("cdr_database: {", f"cdr_database: {{timezone: {timezone}, "), {})


def test_without_further_settings_a_poll_has_80_percent_of_30_seconds() -> None:
    assert poll_plan(make_settings()) == PollPlan(
        time_budget=timedelta(seconds=24),
        lease=timedelta(seconds=60),
        start_from="beginning",
        gap_wait=timedelta(minutes=15),
        open_row_wait=timedelta(hours=24),
    )


def test_what_is_configured_for_the_poll_holds() -> None:
    plan = poll_plan(
        with_three_cx("polling_interval_seconds: 300", "gap_wait: 2 minutes", "open_row_wait: 3 h", "start_from: 17")
    )
    assert plan == PollPlan(timedelta(seconds=240), timedelta(seconds=60), 17, timedelta(minutes=2), timedelta(hours=3))


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
    assert poll_plan(with_three_cx(f"start_from: {start_from}", timezone=timezone)).start_from == start


def test_without_further_settings_the_rules_are_the_default_ones() -> None:
    assert call_rules(make_settings()) == CallRules()


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
call_groups:
  monitored_groups: [{id: "0800", name: Sales}, {id: "801"}]
extension_mapping:
  0101: alice@example.com
  101: bob@example.com
""")
    assert call_rules(settings) == CallRules(
        include_internal=False,
        include_unanswered=True,
        internal_digits=(3, 4),
        phone_format="e164",
        default_region="US",
        anonymous_number="unknown",
        unmapped_extensions="skip",
        pbx_call_id="{call_id}",
        emails={"0101": "alice@example.com", "101": "bob@example.com"},
        monitored_groups=frozenset({"0800", "801"}),
        timezone="UTC",
    )


def test_times_are_read_in_the_databases_time_zone() -> None:
    assert call_rules(with_three_cx(timezone="Europe/Berlin")).timezone == "Europe/Berlin"


def test_no_setting_of_calls_is_forgotten() -> None:
    elsewhere = {"max_rejections_per_minute", "internal_number_digits"}
    assert set(Calls.model_fields) - elsewhere <= set(CallRules.__slots__)
