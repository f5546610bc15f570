"""The settings' own rules, without a file around them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from local.call_logger.rules import is_email
from shared.config.call_logger import Api, ApiKeyAuth
from shared.config.calls import Calls
from shared.config.hours import DayHours
from shared.config.phone_system import ThreeCx, start_moment
from shared.config.settings import Settings
from tests.support.factories import ALICE, make_database, make_settings


def _api(**changed: Any) -> Api:
    return Api.model_validate({"base_url": "https://calls.example.com/api"} | changed)


def _three_cx(**changed: Any) -> ThreeCx:
    return ThreeCx.model_validate({"cdr_database": make_database()} | changed)


def _problem(make: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make()
    (error,) = caught.value.errors()
    return error["msg"]


def test_the_shortest_configuration_has_the_documented_defaults() -> None:
    settings = make_settings()
    database, api, calls = settings.three_cx.cdr_database, settings.api, settings.calls
    assert (database.engine, database.effective_port, database.timezone) == ("sqlserver", 1433, "UTC")
    assert (database.encrypt, database.trust_server_certificate) == (True, False)
    assert settings.three_cx.polling_interval_seconds == 30
    assert (settings.three_cx.start_from, settings.three_cx.schema_) == ("beginning", "calllog")
    assert (api.timeout_seconds, api.retry_attempts, api.auth.type) == (30, 3, "none")
    assert (calls.include_internal, calls.include_unanswered, calls.phone_format) == (True, False, "digits")
    assert (calls.anonymous_number, calls.unmapped_extensions) == ("anonymous", "keep")
    assert calls.pbx_call_id == "{call_id}-{id}"
    assert (calls.internal_number_digits.min, calls.internal_number_digits.max) == (2, 5)
    assert settings.call_groups.alert_check_interval_minutes == 5
    assert settings.extension_mapping == {}


@pytest.mark.parametrize(("engine", "port"), [("sqlserver", 1433), ("mysql", 3306)])
def test_the_port_follows_the_engine_unless_it_is_given(engine: str, port: int) -> None:
    assert make_database(engine=engine).effective_port == port
    assert make_database(engine=engine, port="1500").effective_port == 1500


def test_sqlite_needs_nothing_but_its_file() -> None:
    assert make_database(engine="sqlite", host=None, username=None, password=None).database == "cdr"


@pytest.mark.parametrize("name", ["host", "username", "password"])
@pytest.mark.parametrize("engine", ["sqlserver", "mysql"])
def test_a_database_server_needs_a_host_and_a_login(engine: str, name: str) -> None:
    assert f"missing, engine {engine} needs it" in _problem(lambda: make_database(engine=engine, **{name: None}))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_settings().api.base_url = "https://elsewhere.example.com"


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = make_settings('  auth: {type: bearer, token: "t0ken"}\n')
    key = ApiKeyAuth(type="api_key", key="k3y")
    for shown in (repr(settings), str(settings), repr(key), repr(make_database())):
        assert not any(secret in shown for secret in ("s3cret", "t0ken", "k3y"))


@pytest.mark.parametrize(
    ("held", "seconds"),
    [
        pytest.param("30", 30, id="seconds"),
        pytest.param("2.5", 2.5, id="parts-of-a-second"),
        pytest.param("30000", 30, id="milliseconds-of-the-earlier-integration"),
        pytest.param("1000", 1, id="the-least-milliseconds"),
        pytest.param(60000, 60, id="the-most-milliseconds"),
    ],
)
def test_a_timeout_from_1000_is_in_milliseconds(held: Any, seconds: float) -> None:
    assert _api(timeout_seconds=held).timeout_seconds == seconds


@pytest.mark.parametrize("held", ["0", "61", "999", "60001", "nan", "inf", "-1000", "soon", None])
def test_a_timeout_that_is_no_sensible_time_is_refused(held: Any) -> None:
    assert _problem(lambda: _api(timeout_seconds=held))


@pytest.mark.parametrize(
    ("held", "url"),
    [
        ("http://localhost:8080/api", "http://localhost:8080/api"),
        pytest.param("https://calls.example.com/api/", "https://calls.example.com/api", id="slash-at-the-end"),
        pytest.param("https://calls.example.com", "https://calls.example.com", id="no-path"),
    ],
)
def test_an_api_address_is_kept_without_a_slash_at_its_end(held: str, url: str) -> None:
    assert _api(base_url=held).base_url == url


@pytest.mark.parametrize(
    "held", ["calls.example.com/api", "ftp://calls", "https://", "https://a b/api", "https://a?x=1"]
)
def test_what_is_no_http_address_is_refused(held: str) -> None:
    assert "is not an http or https address" in _problem(lambda: _api(base_url=held))


@pytest.mark.parametrize(
    ("held", "start"),
    [
        ("beginning", "beginning"),
        ("now", "now"),
        ("4711", 4711),
        ("0", 0),
        ("2026-11-01", datetime.fromisoformat("2026-11-01")),
        ("2026-11-01 08:30", datetime.fromisoformat("2026-11-01T08:30")),
        ("2026-11-01T08:30:00Z", datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
    ],
)
def test_the_start_is_a_word_an_id_or_a_date(held: str, start: Any) -> None:
    assert _three_cx(start_from=held).start_from == start


@pytest.mark.parametrize("held", ["yesterday", "2026-13-01", "1.5", "", None, "12345678901234567890", "1/11/2026"])
def test_any_other_start_is_refused(held: Any) -> None:
    assert _problem(lambda: _three_cx(start_from=held))


@pytest.mark.parametrize(
    ("value", "zone", "moment"),
    [
        pytest.param(
            datetime.fromisoformat("2026-07-01"),
            "Europe/Berlin",
            datetime(2026, 6, 30, 22, tzinfo=UTC),
            id="the-zone's",
        ),
        pytest.param(
            datetime(2026, 7, 1, tzinfo=UTC), "Europe/Berlin", datetime(2026, 7, 1, tzinfo=UTC), id="its-own-offset"
        ),
    ],
)
def test_a_start_date_without_an_offset_is_meant_in_the_zone_of_the_database(
    value: datetime, zone: str, moment: datetime
) -> None:
    assert start_moment(value, zone) == moment


@pytest.mark.parametrize(
    ("held", "span"),
    [
        ("15 minutes", timedelta(minutes=15)),
        ("1 minute", timedelta(minutes=1)),
        ("90s", timedelta(seconds=90)),
        ("24 h", timedelta(days=1)),
        ("7 days", timedelta(days=7)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_a_span_is_a_number_with_a_unit(held: Any, span: timedelta) -> None:
    assert _three_cx(gap_wait=held).gap_wait == span


@pytest.mark.parametrize(
    "held", ["15", "0 minutes", "-1 hours", "1.5 h", "a week", "", None, "1000000 days", "3 months"]
)
def test_a_span_without_a_unit_or_of_nothing_is_refused(held: Any) -> None:
    assert "is no number above 0 with a unit" in _problem(lambda: _three_cx(gap_wait=held))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Anchorage"])
def test_a_time_zone_of_the_iana_list_is_taken(zone: str) -> None:
    assert make_database(timezone=zone).timezone == zone


@pytest.mark.parametrize("zone", ["Europe", "Europe/Nowhere", "", "CET Time", "../../etc/passwd", "a" * 5000, "a\0b"])
def test_any_other_time_zone_is_refused(zone: str) -> None:
    assert "is not a time zone" in _problem(lambda: make_database(timezone=zone))


@pytest.mark.parametrize("template", ["{call_id}-{id}", "{call_id}", "{id}", "3cx:{id}"])
def test_a_call_id_template_is_made_of_the_two_names(template: str) -> None:
    assert Calls(pbx_call_id=template).pbx_call_id == template


@pytest.mark.parametrize(
    "template",
    ["", "call", "{}", "{call}", "{id", "id}", "{id:05d}", "{call_id!r}", "{id.real}", "{{id}}", "{id}{{x}}", "{0}"],
)
def test_any_other_template_is_refused_before_a_call_meets_it(template: str) -> None:
    assert "must be made of {call_id} and {id}" in _problem(lambda: Calls(pbx_call_id=template))


def test_the_stand_in_for_a_number_is_not_blank() -> None:
    """The Call Logger would refuse every anonymous call."""
    assert _problem(lambda: Calls(anonymous_number="  "))
    assert Calls(anonymous_number=" withheld ").anonymous_number == "withheld"


@pytest.mark.parametrize("region", ["us", "USA", "", "1"])
def test_a_region_is_two_capital_letters(region: str) -> None:
    assert _problem(lambda: Calls(default_region=region))


def test_e164_needs_a_region() -> None:
    assert "missing, phone_format e164 needs it" in _problem(lambda: Calls(phone_format="e164"))
    assert Calls(phone_format="e164", default_region="US").default_region == "US"


def test_the_digits_of_internal_numbers_are_in_order() -> None:
    assert "is below min" in _problem(lambda: Calls(internal_number_digits={"min": 4, "max": 3}))
    assert Calls(internal_number_digits={"min": 3, "max": 3}).internal_number_digits.max == 3


@pytest.mark.parametrize(
    "auth", [{"type": "basic"}, {"token": "x"}, {"type": "bearer"}, {"type": "api_key", "key": "x", "header": "a b"}]
)
def test_credentials_of_no_known_kind_are_refused(auth: Any) -> None:
    assert _problem(lambda: _api(auth=auth))


@pytest.mark.parametrize(
    "address", [ALICE, "a.b+c@x.example.com", "o'neil@example.com", "x_y@ex-ample.org", "jürgen@bücher.example"]
)
def test_an_address_that_the_call_logger_takes_is_taken(address: str) -> None:
    assert is_email(address)
    assert _mapped(address)


@pytest.mark.parametrize(
    "address",
    [
        "alice",
        "alice@",
        "@example.com",
        "alice@example",
        "a b@example.com",
        "a@b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a@-x.example.com",
        "a@exa_mple.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 260}.de",
    ],
)
def test_an_address_that_the_call_logger_would_refuse_is_refused(address: str) -> None:
    assert _problem(lambda: _mapped(address))


@given(st.from_regex(r"\A[\w.!'+-]{1,66}@[\w.-]{1,20}\.[\w-]{1,8}\Z"))
def test_no_address_is_taken_that_the_call_logger_would_refuse(address: str) -> None:
    try:
        _mapped(address)
    except ValidationError:
        return
    assert is_email(address)


def _mapped(address: str) -> Settings:
    settings = make_settings()
    return Settings.model_validate(
        {"3cx": settings.three_cx, "api": settings.api, "extension_mapping": {"101": address}}
    )


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        ("17:00", "08:00", "is not after start"),
        ("08:00", "08:00", "is not after start"),
        ("eight", "17:00", "is no time of the form hh:mm"),
        ("08:00", "24:00", "is no time of the form hh:mm"),
        ("08:00", "17:00Z", "is no time of the form hh:mm"),
        ("08:00", "1020", "is no time of the form hh:mm"),
    ],
)
def test_hours_that_are_no_span_of_a_day_are_refused(start: str, end: str, problem: str) -> None:
    assert problem in _problem(lambda: DayHours(start=start, end=end))


def test_an_hour_may_stand_without_its_leading_zero() -> None:
    assert DayHours(start="8:00", end="17:00").start == time(8)
