"""The configuration file: what it may look like, and that every mistake in it is named, all of them at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.config.call_logger import ApiKeyAuth, BearerAuth, EntraAuth, NoAuth
from shared.config.file import ENVIRONMENT, MAX_FILE_BYTES, load_settings, parse_settings
from shared.config.settings import Settings
from shared.errors import InvalidConfig
from tests.support.factories import ALICE, CONFIG, make_settings

PROJECT = Path(__file__).parents[2]
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


def _mistakes(text: str, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(text, environment or {})
    assert str(caught.value) == "; ".join(caught.value.mistakes)
    return caught.value.mistakes


def _mistake(text: str, environment: Mapping[str, str] | None = None) -> str:
    (only,) = _mistakes(text, environment)
    return only


def test_the_file_of_the_earlier_integration_works_unchanged() -> None:
    settings = parse_settings(EARLIER_FILE, EARLIER_ENVIRONMENT)
    database = settings.three_cx.cdr_database
    assert (database.engine, database.host, database.port) == ("sqlserver", "pbx.example.internal", 1433)
    assert (database.database, database.username) == ("3cx", "cdr_reader")
    assert database.password is not None
    assert database.password.get_secret_value() == "s3cret"
    assert (settings.api.base_url, settings.api.timeout_seconds) == ("http://localhost:8080/api", 30)
    assert (settings.api.retry_attempts, settings.three_cx.polling_interval_seconds) == (3, 30)
    hours = settings.business_hours
    assert (hours.timezone, hours.monday, hours.saturday) == ("America/Anchorage", hours.tuesday, None)
    assert settings.call_groups.alert_check_interval_minutes == 5
    assert [(group.id, group.name) for group in settings.call_groups.monitored_groups] == [
        ("800", "Sales"),
        ("0801", "Support"),
    ]


def test_an_extension_is_text_and_keeps_its_leading_zero() -> None:
    assert parse_settings(EARLIER_FILE, EARLIER_ENVIRONMENT).extension_mapping == {
        "101": "alice@example.com",
        "0101": "bob@example.com",
        "102": "carol@example.com",
    }


@pytest.mark.parametrize("key", ["0x65", "1_0", "1e3", "010", "08", "1:30", "yes", "null", "~", "2026-11-22"])
def test_no_extension_is_taken_for_anything_but_its_text(key: str) -> None:
    assert make_settings(f"extension_mapping:\n  {key}: {ALICE}\n").extension_mapping == {key: ALICE}


def test_the_file_that_comes_with_the_app_is_valid() -> None:
    environment = {**EARLIER_ENVIRONMENT, "API_BASE_URL": "https://calls.example.com/api"}
    assert load_settings(PROJECT / "config" / "3cx-config.yml", environment, PROJECT).three_cx.schema_ == "calllog"


@pytest.mark.parametrize(
    ("held", "environment", "host"),
    [
        pytest.param("${PBX}", {"PBX": "a.example"}, "a.example", id="a-variable"),
        pytest.param("${PBX:-b.example}", {"PBX": "a.example"}, "a.example", id="set-in-spite-of-a-default"),
        pytest.param("${PBX:-b.example}", {}, "b.example", id="a-default"),
        pytest.param("${PBX:-b.example}", {"PBX": ""}, "b.example", id="empty-is-as-good-as-unset"),
        pytest.param("${A}.${B:-example}", {"A": "pbx"}, "pbx.example", id="in-the-middle-of-text"),
        pytest.param("${A}", {"A": "${B}", "B": "x"}, "${B}", id="a-value-is-not-looked-into-again"),
        pytest.param("$PBX", {"PBX": "a.example"}, "$PBX", id="no-braces-no-variable"),
        pytest.param("${PBX:-a:-b}", {}, "a:-b", id="the-first-mark-counts"),
        pytest.param("${PBX}", {"CDR_DB_HOST": "c.example"}, "c.example", id="unset-so-the-usual-variable"),
        pytest.param("d.example", {"CDR_DB_HOST": "c.example"}, "d.example", id="the-file-comes-first"),
    ],
)
def test_variables_are_filled_in(held: str, environment: dict[str, str], host: str) -> None:
    text = CONFIG.replace("host: pbx.example.internal", f'host: "{held}"')
    assert parse_settings(text, environment).three_cx.cdr_database.host == host


def test_a_secret_may_hold_characters_that_yaml_or_a_variable_would_trip_over() -> None:
    text = CONFIG.replace('"s3cret;}word"', "'${CDR_DB_PASSWORD}'")
    secret = "a: #b'\"{}[]$%${X}\\n"
    settings = parse_settings(text, {"CDR_DB_PASSWORD": secret, "X": "never"})
    assert settings.three_cx.cdr_database.password is not None
    assert settings.three_cx.cdr_database.password.get_secret_value() == secret


def test_what_the_file_does_not_name_comes_from_the_environment() -> None:
    environment = {
        "CDR_DB_ENGINE": "mysql",
        "CDR_DB_HOST": "pbx",
        "CDR_DB_PORT": "3307",
        "CDR_DB_NAME": "cdr",
        "CDR_DB_USER": "reader",
        "CDR_DB_PASSWORD": "s3cret",
        "POLLING_INTERVAL_SECONDS": "15",
        "CDR_START_FROM": "now",
        "API_BASE_URL": "https://calls.example.com/api",
        "API_TIMEOUT_MS": "5000",
        "API_RETRY_ATTEMPTS": "4",
        "TIMEZONE": "Europe/Berlin",
        "ALERT_CHECK_INTERVAL_MINUTES": "7",
    }
    assert environment.keys() == set(ENVIRONMENT.values())
    settings = parse_settings("{}", environment)
    database = settings.three_cx.cdr_database
    assert (database.engine, database.host, database.port, database.database) == ("mysql", "pbx", 3307, "cdr")
    assert (settings.three_cx.polling_interval_seconds, settings.three_cx.start_from) == (15, "now")
    assert (settings.api.timeout_seconds, settings.api.retry_attempts) == (5, 4)
    assert settings.business_hours.timezone == "Europe/Berlin"
    assert settings.call_groups.alert_check_interval_minutes == 7


def test_a_value_in_the_file_comes_before_the_environment() -> None:
    assert (
        make_settings(environment={"API_BASE_URL": "https://x.example"}).api.base_url == "https://calls.example.com/api"
    )


@pytest.mark.parametrize(
    ("auth", "kind"),
    [
        ("{type: none}", NoAuth),
        ("{type: bearer, token: x}", BearerAuth),
        ("{type: api_key, key: x}", ApiKeyAuth),
        ("{type: entra, audience: 'api://call-logger'}", EntraAuth),
    ],
)
def test_each_kind_of_credentials_can_be_configured(auth: str, kind: type) -> None:
    assert type(make_settings(f"  auth: {auth}\n").api.auth) is kind


def test_all_mistakes_are_named_at_once() -> None:
    text = """
3cx:
  polling_interval_second: 30
  start_from: yesterday
  cdr_database: {engine: oracle, database: cdr, port: 99999, encrypt: perhaps}
api:
  base_url: calls.example.com
  auth: {type: bearer, tokn: x}
business_hours: {monday: {start: "17:00", end: "08:00"}}
call_groups: {monitored_groups: [{id: "800"}, {name: Support}]}
extension_mapping: {101: alice}
"""
    paths = sorted(mistake.partition(":")[0] for mistake in _mistakes(text))
    assert paths == [
        "3cx.cdr_database.encrypt",
        "3cx.cdr_database.engine",
        "3cx.cdr_database.port",
        "3cx.polling_interval_second",
        "3cx.start_from",
        "api.auth.token",
        "api.auth.tokn",
        "api.base_url",
        "business_hours.monday.end",
        "call_groups.monitored_groups.1.id",
        "extension_mapping.101",
    ]


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        pytest.param(
            "calls: {phone_format: pretty}",
            "calls.phone_format: holds 'pretty': Input should be 'digits', 'e164' or 'raw'; "
            "allowed: digits, e164 or raw",
            id="none-of-the-words",
        ),
        pytest.param(
            "ledger: {keep_days: many}",
            "ledger.keep_days: holds 'many': Input should be a valid integer, unable to parse string as an integer; "
            "allowed: 7 to 3650 days, for calls that are submitted or skipped",
            id="wrong-type",
        ),
        pytest.param(
            "ledger: {keep_days: 3}",
            "ledger.keep_days: holds '3': Input should be greater than or equal to 7; "
            "allowed: 7 to 3650 days, for calls that are submitted or skipped",
            id="out-of-bounds",
        ),
        pytest.param(
            "calls: {include_internl: true}",
            "calls.include_internl: unknown key; the nearest known one is include_internal",
            id="unknown-key",
        ),
        pytest.param(
            "buisness_hours: {}",
            "buisness_hours: unknown key; the nearest known one is business_hours",
            id="unknown-section",
        ),
        pytest.param(
            "calls: {phone_format: e164}",
            "calls.default_region: missing, phone_format e164 needs it; "
            "allowed: two capital letters, for e164: the country of numbers without +, such as US",
            id="missing-because-of-another",
        ),
        pytest.param(
            "call_groups: {monitored_groups: [{name: Sales}]}",
            "call_groups.monitored_groups.0.id: missing; allowed: the group's number in the phone system",
            id="missing-in-a-list",
        ),
        pytest.param(
            "call_groups: {monitored_groups: [{id: 800, nmae: Sales}]}",
            "call_groups.monitored_groups.0.nmae: unknown key; the nearest known one is name",
            id="unknown-key-in-a-list",
        ),
        pytest.param(
            "ledger: long",
            "ledger: holds 'long': Input should be a valid dictionary or instance of Ledger; "
            "allowed: how long records are kept",
            id="text-for-a-section",
        ),
        pytest.param(
            "calls:",
            "calls: Input should be a valid dictionary or instance of Calls; allowed: how rows become calls",
            id="nothing-for-a-section",
        ),
        pytest.param(
            f"calls: {{anonymous_number: {'x' * 300}}}",
            f"calls.anonymous_number: holds '{'x' * 79}: String should have at most 50 characters; "
            "allowed: 1 to 50 characters, sent where a caller has no number",
            id="a-long-value-is-cut",
        ),
    ],
)
def test_a_mistake_has_its_path_what_stands_there_and_what_is_allowed(more: str, mistake: str) -> None:
    assert _mistake(CONFIG + more) == mistake


@pytest.mark.parametrize(
    ("auth", "mistake"),
    [
        pytest.param(
            "{type: bearer, token: x, audience: y}",
            "api.auth.audience: unknown key; the nearest known one is token",
            id="of-another-kind",
        ),
        pytest.param(
            "{type: bearer, token: x, bearer: y}",
            "api.auth.bearer: unknown key; the nearest known one is type",
            id="called-like-the-kind-itself",
        ),
        pytest.param(
            "{type: api_key, key: x, header: 'a b'}",
            "api.auth.header: holds 'a b': String should match pattern '^[A-Za-z0-9-]+$'; "
            "allowed: name of the header that carries the key",
            id="a-member-of-the-chosen-kind",
        ),
        pytest.param(
            "{type: bearer}",
            "api.auth.token: missing; allowed: the token, sent as Authorization: Bearer",
            id="no-token",
        ),
    ],
)
def test_a_mistake_in_the_credentials_is_located_in_the_chosen_kind(auth: str, mistake: str) -> None:
    assert _mistake(f"{CONFIG}  auth: {auth}\n") == mistake


@pytest.mark.parametrize("auth", ["{token: x}", "{type: basic, password: x}"])
def test_credentials_of_no_known_kind_are_a_mistake_that_names_the_kinds(auth: str) -> None:
    mistake = _mistake(f"{CONFIG}  auth: {auth}\n")
    assert mistake.startswith("api.auth: ")
    assert mistake.endswith("; allowed: type: none, bearer, api_key or entra")


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("  auth: hunter2\n", id="the-bare-token-in-place-of-the-section"),
        pytest.param("  auth: {type: bearer, token: [hunter2]}\n", id="a-list"),
        pytest.param("  auth: {type: bearer, tokens: hunter2}\n", id="under-an-unknown-key"),
    ],
)
def test_a_secret_in_a_mistake_is_not_shown(more: str) -> None:
    assert not any("hunter2" in mistake for mistake in _mistakes(CONFIG + more))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("3cx: 'Server=pbx;PWD=hunter2'\napi: {base_url: 'https://x.example'}", id="a-connection-string"),
        pytest.param(
            "3cx: {cdr_database: 'mysql://u:hunter2@pbx/cdr'}\napi: {base_url: 'https://x.example'}", id="a-url"
        ),
    ],
)
def test_a_connection_string_in_place_of_the_database_is_not_shown(text: str) -> None:
    mistake = _mistake(text)
    assert "holds ***: " in mistake
    assert "hunter2" not in mistake


@pytest.mark.parametrize(
    ("text", "environment", "mistake"),
    [
        pytest.param(
            CONFIG.replace("https://calls.example.com/api", "${CALLS_URL}"),
            {},
            "api.base_url: missing (the environment variable CALLS_URL is not set); allowed: http(s) address up to and "
            "with /api, for example https://calls.example.com/api",
            id="the-variable-that-the-file-names",
        ),
        pytest.param(
            CONFIG.replace("database: cdr,", ""),
            {"CDR_DB_NAME": ""},
            "3cx.cdr_database.database: missing (the environment variable CDR_DB_NAME is not set); "
            "allowed: name of the database; for sqlite the path of the file",
            id="the-usual-variable",
        ),
    ],
)
def test_a_missing_value_names_the_variable_that_could_give_it(
    text: str, environment: dict[str, str], mistake: str
) -> None:
    assert _mistake(text, environment) == mistake


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "null", "just text", "- a\n- list", "---\n...\n"])
def test_a_file_that_is_no_mapping_says_what_it_needs(text: str) -> None:
    assert _mistake(text).endswith("is empty or no mapping; it needs the sections 3cx and api")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "3cx:\n  schema: a\n  schema: b\n", "line 3, column 3: the key schema stands twice", id="duplicate-key"
        ),
        pytest.param("a: &x {b: c}\nd: *x\n", "uses a YAML alias (*name); write the value out instead", id="alias"),
        pytest.param("a: [b\nc: d\n", "line 2, column 2: expected ',' or ']'", id="unclosed-list"),
        pytest.param("a:\n\tb: c\n", "line 2, column 1: found character '\\t'", id="tab"),
        pytest.param("? [a]\n: b\n", "line 1, column 3: a key must be plain text", id="a-list-for-a-key"),
        pytest.param("a: b\n---\nc: d\n", "line 2, column 1: but found another document", id="two-documents"),
        pytest.param(
            "a: !!python/object:os.system {}", "could not determine a constructor for the tag", id="python-tag"
        ),
        pytest.param("a: !!int x", "could not determine a constructor for the tag", id="number-tag"),
        pytest.param("a: !!timestamp x", "could not determine a constructor for the tag", id="date-tag"),
        pytest.param("a: !!set {b}", "could not determine a constructor for the tag", id="set-tag"),
        pytest.param('a: "\\UFFFFFFFF"', "not valid YAML", id="an-escape-beyond-unicode"),
        pytest.param('a: "\\U00110000"', "not valid YAML", id="an-escape-just-beyond-unicode"),
        pytest.param("a: \x07", "special characters are not allowed", id="control-character"),
        pytest.param("[" * 600, "is nested too deeply", id="nested-lists"),
        pytest.param("a: " + "{b: " * 600 + "c" + "}" * 600, "is nested too deeply", id="nested-mappings"),
        pytest.param("- " * 600, "is nested too deeply", id="nested-on-one-line"),
    ],
)
def test_malformed_yaml_is_one_clear_mistake(text: str, problem: str) -> None:
    mistake = _mistake(text)
    assert mistake.startswith("the configuration file ")
    assert problem in mistake


@pytest.mark.parametrize("depth", range(50, 500, 15))
def test_no_depth_of_nesting_breaks_the_reader(depth: int) -> None:
    """Somewhere here the parser gives up; what it still reads must not be too deep for what comes after it."""
    assert _mistakes(f"{CONFIG}x: {'[' * depth}{']' * depth}\n")


def test_an_anchor_that_nobody_refers_to_is_fine() -> None:
    assert make_settings("calls: &rules {phone_format: raw}\n").calls.phone_format == "raw"


def test_a_text_tag_is_what_it_says() -> None:
    assert make_settings(f"extension_mapping: {{!!str 101: {ALICE}}}\n").extension_mapping == {"101": ALICE}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "3cx-config.yml"
    file.write_text(CONFIG, encoding="utf-8-sig")
    assert load_settings(file, {}, tmp_path).api.retry_attempts == 3


def test_a_path_in_the_file_is_relative_to_the_root(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.touch()
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "3cx-config.yml"
    file.write_text(f"{CONFIG}  ca_file: ca.pem\n")
    assert load_settings(file, {}, tmp_path).api.ca_file == str(authorities.resolve())


@pytest.mark.parametrize("held", ["missing.pem", ".", "a" * 3000, "'a\\0b'"])
def test_a_path_to_no_file_is_a_mistake(held: str) -> None:
    text = f"{CONFIG}  ca_file:\n    {held}\n"
    assert "api.ca_file: holds" in _mistake(text)
    assert "is no file" in _mistake(text)


def test_a_missing_file_is_named_without_the_folders_above_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_settings(tmp_path / "nowhere.yml", {}, tmp_path)
    assert caught.value.mistakes == ("nowhere.yml: the configuration file cannot be read: No such file or directory",)


def test_a_folder_in_place_of_the_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {}, tmp_path)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = tmp_path / "big.yml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(
        InvalidConfig, match=rf"big\.yml: {MAX_FILE_BYTES + 1} bytes, at most {MAX_FILE_BYTES} are allowed"
    ):
        load_settings(file, {}, tmp_path)


def test_a_file_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "latin.yml"
    file.write_bytes(CONFIG.encode() + "calls: {anonymous_number: Müller}".encode("latin-1"))
    with pytest.raises(InvalidConfig, match=r"latin\.yml: is not UTF-8 text"):
        load_settings(file, {}, tmp_path)


YAML_PIECES = """\
3cx api cdr_database auth type bearer calls business_hours monday extension_mapping base_url port timezone 101
{ } [ ] , " ' | > &a *a !!int !!null !!str !!set ? : - # %YAML --- ... ${A} ${A:-b} null ~ << 1e999 nan \\x
"\\UFFFFFFFF" "\\uD800"
""".split()  # noqa: SIM905 - as a list it would be a column of fifty lines
SPACES = ["\n", "\n  ", "\n    ", " ", ": ", "- ", "\ud800", "\x00"]


def _outcome(text: str, environment: Mapping[str, str]) -> Settings | tuple[str, ...]:
    try:
        return parse_settings(text, environment)
    except InvalidConfig as exc:
        return exc.mistakes


@given(st.text() | st.lists(st.sampled_from(YAML_PIECES + SPACES), max_size=30).map("".join))
@example("?")
@example("null: 5\n~: 6")
@example("!!null x: 5")
@example("!!merge <<: 5")
@example('"\\uD800": 1')
@example('3cx: {cdr_database: {database: "\\uD800"}}')
def test_any_text_is_either_valid_or_a_list_of_mistakes(text: str) -> None:
    assert _outcome(text, {"A": "b"})


SQLITE = "3cx: {{cdr_database: {{engine: sqlite, database: x}}, {}}}"
API = "api: {{base_url: 'https://calls.example.com/api', {}}}"
PLACES = {
    "schema": SQLITE,
    "start_from": SQLITE,
    "polling_interval_seconds": SQLITE,
    "gap_wait": SQLITE,
    "timeout_seconds": API,
    "auth": API,
    "ca_file": API,
    "pbx_call_id": "calls: {{{}}}",
    "internal_number_digits": "calls: {{{}}}",
    "timezone": "business_hours: {{{}}}",
    "end": "business_hours: {{monday: {{start: '07:00', {}}}}}",
    "101": "extension_mapping: {{{}}}",
}
VALUES = ["null", "[]", "{}", "[a]", "{a: b}", "0", "-1", "1e400", "nan", "true", "08:00", "08:00Z", "24:00", "UTC"]
IDS_AND_DATES = ["99999999999999999999", "2026-11-01", "2026-99-99", "'${A}'"]


@pytest.mark.parametrize("name", PLACES)
@given(st.sampled_from(VALUES + IDS_AND_DATES) | st.text(max_size=20).map(json.dumps))
def test_any_value_of_a_setting_is_either_valid_or_a_mistake(name: str, value: str) -> None:
    environment = {"API_BASE_URL": "https://x.example", "CDR_DB_NAME": "x", "CDR_DB_ENGINE": "sqlite"}
    assert _outcome(PLACES[name].format(f"{name}: {value}"), environment)
