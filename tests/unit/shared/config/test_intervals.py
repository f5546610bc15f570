"""How often the timers fire, read without the types of the settings, is what the settings say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config.intervals import Intervals, Uncommon, intervals_in
from shared.config.judging import settings_of
from shared.config.yaml_text import Plain, read_yaml
from shared.errors import InvalidConfig

USUAL = Intervals(30, 5, timedelta(days=1))
VALUES = ["null", "", "{}", "[5]", "5", "4", "60", "61", "3600", "3601", "0x10", "05", "+7", "7.0", "١٢", "' 8 '", "x"]
VALUES += ["1 hour", "6h", "25 hours", "never", "1 day", "${A}", "${A:-12}", "$A", "${NONE}", "${NONE:-${A}}", "1e1"]
ENVIRONMENT = st.fixed_dictionaries(
    {},
    optional={
        "POLLING_INTERVAL_SECONDS": st.sampled_from(["", "10", "soon", "9"]),
        "ALERT_CHECK_INTERVAL_MINUTES": st.sampled_from(["", "2", "0"]),
        "A": st.sampled_from(["20", "2 hours", "@Microsoft.KeyVault(x)"]),
    },
)


def written(poll: str, check: str, every: str) -> Plain:
    return read_yaml(
        f"3cx:\n  polling_interval_seconds: {poll}\n  cdr_database: {{engine: sqlite, database: x}}\n"
        f"api: {{base_url: 'https://x.example'}}\n"
        f"call_groups:\n  alert_check_interval_minutes: {check}\n"
        f"reconcile:\n  every: {every}\n"
    )


@given(st.sampled_from(VALUES), st.sampled_from(VALUES), st.sampled_from(VALUES), ENVIRONMENT)
def test_what_is_told_is_what_valid_settings_tell(
    poll: str, check: str, every: str, environment: dict[str, str]
) -> None:
    file = written(poll, check, every)
    try:
        told, settings = intervals_in(file, environment), settings_of(file, environment, Path())
    except (Uncommon, InvalidConfig):
        return
    assert told == Intervals(
        settings.three_cx.polling_interval_seconds,
        settings.call_groups.alert_check_interval_minutes,
        settings.reconcile.every,
    )


@pytest.mark.parametrize(
    ("file", "environment", "told"),
    [
        (None, {}, USUAL),
        (written("", "", ""), {"POLLING_INTERVAL_SECONDS": "10"}, Intervals(10, 5, timedelta(days=1))),
        (written("${A:-15}", "7", "6 hours"), {}, Intervals(15, 7, timedelta(hours=6))),
        (written("${A:-15}", "'7'", "never"), {"A": "3600"}, Intervals(3600, 7, "never")),
    ],
    ids=["by default", "of the environment", "as written", "of a variable"],
)
def test_what_is_written_as_usual_is_told(file: Plain, environment: dict[str, str], told: Intervals) -> None:
    assert intervals_in(file, environment) == told


@pytest.mark.parametrize(
    "file", ["text", "3cx: [a]", "3cx: {polling_interval_seconds: {a: b}}", "reconcile: {every: x}"]
)
def test_what_is_not_is_left_to_the_settings(file: str) -> None:
    with pytest.raises(Uncommon):
        intervals_in(read_yaml(file), {})
    with pytest.raises(InvalidConfig):
        settings_of(read_yaml(file), {}, Path())
