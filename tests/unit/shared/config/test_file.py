"""The configuration file: what it may look like, and that every mistake in it is named, all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from shared.config.written import ENVIRONMENT, MAX_FILE_BYTES
from shared.errors import InvalidConfig
from tests.support.factories import CONFIG, make_settings
from tests.support.settings import load_settings, parse_settings
from tests.unit.shared.config.reading import at, mistake, mistakes, read, text_with

PROJECT = Path(__file__).parents[4]
EARLIER_FILE = """\
# As the Node.js integration had it.
3cx:
  integration_method: cdr_polling
  polling_interval_seconds: ${POLLING_INTERVAL_SECONDS:-30}
  cdr_database:
    host: ${CDR_DB_HOST}
    port: ${CDR_DB_PORT:-1433}
    database: ${CDR_DB_NAME}
    username: ${CDR_DB_USER}
    password: ${CDR_DB_PASSWORD}

api:
  base_url: ${API_BASE_URL:-http://localhost:8080/api}
  timeout_seconds: ${API_TIMEOUT_MS}
  retry_attempts: ${API_RETRY_ATTEMPTS:-3}

business_hours:
  timezone: ${TIMEZONE:-America/Anchorage}
  monday:
    start: "08:00"
    end: "17:00"
  tuesday: {start: 08:00, end: 17:00}
  saturday: null
  sunday: ~

call_groups:
  alert_check_interval_minutes: ${ALERT_CHECK_INTERVAL_MINUTES:-5}
  monitored_groups:
    - id: 800
      name: Sales
    - id: "0801"
      name: Support

extension_mapping:
  101: alice@example.com
  0101: bob@example.com
  "102": carol@example.com
"""
EARLIER_ENVIRONMENT = {
    "CDR_DB_HOST": "pbx.example.internal",
    "CDR_DB_NAME": "3cx",
    "CDR_DB_USER": "cdr_reader",
    "CDR_DB_PASSWORD": "s3cret",
    "API_TIMEOUT_MS": "30000",
}


def test_the_file_of_the_earlier_integration_works_unchanged() -> None:
    settings = parse_settings(EARLIER_FILE, EARLIER_ENVIRONMENT)
    database, api, hours = settings.three_cx.cdr_database, settings.api, settings.business_hours
    assert (database.engine, database.host, database.port) == ("sqlserver", "pbx.example.internal", 1433)
    assert (database.database, database.username) == ("3cx", "cdr_reader")
    assert database.password is not None
    assert database.password.get_secret_value() == "s3cret"
    assert (api.base_url, api.timeout_seconds, api.retry_attempts) == ("http://localhost:8080/api", 30, 3)
    assert settings.three_cx.polling_interval_seconds == 30
    assert (hours.timezone, hours.monday, hours.saturday) == ("America/Anchorage", hours.tuesday, None)
    assert settings.call_groups.alert_check_interval_minutes == 5
    groups = [(group.id, group.name) for group in settings.call_groups.monitored_groups]
    assert groups == [("800", "Sales"), ("0801", "Support")]
    assert settings.extension_mapping == {
        "101": "alice@example.com",
        "0101": "bob@example.com",
        "102": "carol@example.com",
    }


def test_the_file_that_comes_with_the_app_is_valid() -> None:
    environment = {**EARLIER_ENVIRONMENT, "API_BASE_URL": "https://calls.example.com/api"}
    assert load_settings(PROJECT / "config" / "3cx-config.yml", environment, PROJECT).three_cx.source == "calllog"


# The environment

OF_EACH_VARIABLE: dict[str, tuple[str, Any]] = {
    "CDR_SOURCE": ("v20", "v20"),
    "CDR_DB_ENGINE": ("mysql", "mysql"),
    "CDR_DB_HOST": ("pbx", "pbx"),
    "CDR_DB_PORT": ("3307", 3307),
    "CDR_DB_NAME": ("cdr", "cdr"),
    "CDR_DB_USER": ("reader", "reader"),
    "CDR_DB_PASSWORD": ("päßword", "päßword"),
    "POLLING_INTERVAL_SECONDS": ("15", 15),
    "CDR_START_FROM": ("now", "now"),
    "API_BASE_URL": ("https://calls.example.com/api", "https://calls.example.com/api"),
    "API_TIMEOUT_MS": ("5000", 5),
    "API_RETRY_ATTEMPTS": ("4", 4),
    "TIMEZONE": ("Europe/Berlin", "Europe/Berlin"),
    "ALERT_CHECK_INTERVAL_MINUTES": ("7", 7),
}


@pytest.mark.parametrize(
    "text", ["{}", "3cx:\napi:\n", "3cx: {cdr_database: }", "3cx: {cdr_database: {host: , password: ''}}\napi: ~"]
)
def test_what_the_file_does_not_name_comes_from_the_environment(text: str) -> None:
    settings = parse_settings(
        text.replace("''", ""), {name: written for name, (written, _) in OF_EACH_VARIABLE.items()}
    )
    held = {name: at(settings, ".".join(path)) for path, name in ENVIRONMENT.items()}
    held["CDR_DB_PASSWORD"] = held["CDR_DB_PASSWORD"].get_secret_value()
    assert held == {name: value for name, (_, value) in OF_EACH_VARIABLE.items()}


def test_a_value_in_the_file_comes_before_the_environment() -> None:
    settings = make_settings(environment={"API_BASE_URL": "https://x.example"})
    assert settings.api.base_url == "https://calls.example.com/api"


@pytest.mark.parametrize("written", ["text", "[a]"])
def test_a_section_that_is_none_is_a_mistake_whatever_the_environment_has(written: str) -> None:
    text = f"3cx: {written}\napi: {{base_url: 'https://x.example'}}"
    assert mistake(text, {"CDR_DB_HOST": "pbx", "CDR_START_FROM": "now"}).startswith("3cx: ")


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        pytest.param(
            text_with(("api.base_url", "${CALLS_URL}")),
            {},
            "api.base_url: missing (the environment variable CALLS_URL is not set); allowed: http(s) address up to and "
            "with /api, for example https://calls.example.com/api",
            id="the-variable-that-the-file-names",
        ),
        pytest.param(
            CONFIG.replace("host: pbx.example.internal,", ""),
            {"CDR_DB_HOST": ""},
            "3cx.cdr_database.host: missing (the environment variable CDR_DB_HOST is not set), engine sqlserver needs "
            "it; allowed: name or address of the server; not for sqlite",
            id="the-usual-variable",
        ),
        pytest.param("api: {base_url: https://x.example}", {}, "3cx: missing; allowed: the phone system", id="none"),
    ],
)
def test_a_missing_value_names_the_variable_that_could_give_it(
    text: str, environment: dict[str, str], expected: str
) -> None:
    assert mistake(text, environment) == expected


# Sections without anything in them


@pytest.mark.parametrize("written", ["", " ~", "\n  # everything commented out", " {}"])
@pytest.mark.parametrize("name", ["calls", "ledger", "business_hours", "call_groups", "extension_mapping"])
def test_an_empty_section_is_as_good_as_none(name: str, written: str) -> None:
    assert make_settings(f"{name}:{written}\n") == make_settings()


@pytest.mark.parametrize(
    "path",
    [
        "api.auth",
        "calls.internal_number_digits",
        "business_hours.holidays",
        "business_hours.holidays.dates",
        "call_groups.members",
        "call_groups.notify",
        "call_groups.monitored_groups",
    ],
)
def test_so_is_an_empty_section_or_list_within_a_section(path: str) -> None:
    assert read(path, None) == at(make_settings(), path)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "null", "just text", "- a\n- list", "---\n...\n"])
def test_a_file_that_is_no_mapping_says_what_it_needs(text: str) -> None:
    assert mistake(text).endswith("is empty or no mapping; it needs the sections 3cx and api")


# How mistakes read

MISTAKES = {
    "calls: {phone_format: pretty}": "calls.phone_format: holds 'pretty': must be 'digits', 'e164' or 'raw'; "
    "allowed: digits, e164 (needs default_region) or raw (as the phone system has it)",
    "ledger: {keep_days: many}": "ledger.keep_days: holds 'many': must be a whole number; "
    "allowed: 7 to 3650 days, for calls that are submitted or skipped",
    f"calls: {{anonymous_number: {'x' * 300}}}": f"calls.anonymous_number: holds '{'x' * 79}: must have at "
    "most 50 characters; allowed: 1 to 50 characters, sent where a caller has no number",
    "buisness_hours: {}": "buisness_hours: unknown key; the nearest known one is business_hours",
    "calls: {include_internl: 1}": "calls.include_internl: unknown key; the nearest known one is include_internal",
    "(one): {}": "(one): unknown key; the nearest known one is reconcile",
    '"led\\nger": {}': "led\\nger: unknown key; the nearest known one is ledger",
    f"{'l' * 900}: {{}}": f"{'l' * 200}: unknown key; the nearest known one is ledger",
}


@pytest.mark.parametrize("more", MISTAKES)
def test_a_mistake_has_its_path_what_stands_there_and_what_is_allowed(more: str) -> None:
    assert mistake(CONFIG + more) == MISTAKES[more]


@pytest.mark.parametrize("written", ["{type: bearer, token: ab,hunter2}", "{type: bearer, token: {hunter2, hunter2}}"])
def test_what_follows_a_comma_in_a_secret_is_not_shown_as_a_key(written: str) -> None:
    """Within {...} YAML takes it for one."""
    found = " ".join(mistakes(f"{CONFIG}  auth: {written}\n"))
    assert ("hunter2" in found, "***" in found) == (False, True)


def test_a_value_under_an_unknown_key_is_not_shown() -> None:
    found = mistakes(text_with(("api.auth", {"type": "bearer", "tokens": "hunter2"})))
    assert [line.partition(";")[0] for line in found] == ["api.auth.token: missing", "api.auth.tokens: unknown key"]


# The file itself

WHERE = "it is config/3cx-config.yml, or what the app setting CONFIG_FILE names, seen from the app's folder"


def _folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(
            lambda _: None,
            f"the configuration file cannot be read: No such file or directory; {WHERE}",
            id="missing",
        ),
        pytest.param(_folder, f"the configuration file cannot be read: Is a directory; {WHERE}", id="a-folder"),
        pytest.param(
            lambda f: f.write_bytes("a: ü".encode("latin-1")), "is not UTF-8 text; save it as such", id="latin-1"
        ),
        pytest.param(
            lambda f: f.write_bytes("a: b".encode("utf-16")),
            "is not UTF-8 text, but perhaps UTF-16; save it as UTF-8",
            id="as-windows-writes-it",
        ),
        pytest.param(
            lambda f: f.write_bytes(b"#" * (MAX_FILE_BYTES + 1)),
            "more than the 256000 bytes that are allowed",
            id="huge",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_the_folders_above_it(
    tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    make(tmp_path / "own.yml")
    with pytest.raises(InvalidConfig) as caught:
        load_settings(tmp_path / "own.yml", {}, tmp_path)
    assert caught.value.mistakes == (f"own.yml: {problem}",)


def test_a_name_that_no_file_can_have_is_a_mistake(tmp_path: Path) -> None:
    for name, shown in (("a\0b", r"a\x00b"), ("a" * 3000, "a" * 100)):
        with pytest.raises(InvalidConfig) as caught:
            load_settings(tmp_path / name, {}, tmp_path)
        assert caught.value.mistakes[0].startswith(f"{shown}: the configuration file cannot be read: ")


def test_a_byte_order_mark_does_no_harm_and_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "3cx-config.yml"
    file.write_text(f"{CONFIG}  ca_file: ca.pem\n", encoding="utf-8-sig")
    assert load_settings(file, {}, tmp_path).api.ca_file == str((tmp_path / "ca.pem").resolve())
