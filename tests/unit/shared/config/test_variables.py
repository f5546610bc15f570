"""Variables in the file: which are filled in, and that nothing which only looks like one becomes a value."""

from __future__ import annotations

import pytest

from tests.support.factories import ALICE
from tests.support.settings import parse_settings
from tests.unit.shared.config.reading import at, mistake, text_with

HOST, NAME, PASSWORD = "3cx.cdr_database.host", "3cx.cdr_database.database", "3cx.cdr_database.password"
USER, START, TEMPLATE = "3cx.cdr_database.username", "3cx.start_from", "calls.pbx_call_id"
ENVIRONMENT = {"PBX": "a.example", "EMPTY": "", "NESTED": "a${PBX}$PBX", "UPPER": "x"}


@pytest.mark.parametrize(
    ("path", "written", "held"),
    [
        pytest.param(HOST, "${PBX}", "a.example", id="a-variable"),
        pytest.param(HOST, "${PBX:-b.example}", "a.example", id="set-in-spite-of-a-default"),
        pytest.param(HOST, "${UNSET:-b.example}", "b.example", id="a-default"),
        pytest.param(HOST, "${EMPTY:-b.example}", "b.example", id="empty-is-as-good-as-unset"),
        pytest.param(HOST, "pbx.${PBX}.${UNSET:-c}", "pbx.a.example.c", id="in-the-middle-of-text"),
        pytest.param(NAME, "${UNSET:-a:-b}", "a:-b", id="the-first-mark-counts"),
        pytest.param(NAME, "${NESTED}", "a${PBX}$PBX", id="a-value-is-not-looked-into-again"),
        pytest.param(TEMPLATE, "${UNSET:-{call_id}/{id}}", "{call_id}/{id}", id="a-default-with-braces"),
        pytest.param(START, "${UNSET}", "beginning", id="without-a-value-it-is-absent"),
        pytest.param(NAME, "db$prod", "db$prod", id="a-dollar-in-a-name"),
        pytest.param(NAME, "5$", "5$", id="a-dollar-at-the-end"),
        pytest.param(USER, r"DOMAIN\svc$", r"DOMAIN\svc$", id="a-login-of-a-service"),
        *(
            pytest.param(PASSWORD, text, text, id=text)
            for text in ("pa$$word", "$ecret", "a$UPPER", "a$(b)", "$", "$5")
        ),
    ],
)
def test_variables_are_filled_in_and_nothing_else_is(path: str, written: str, held: str) -> None:
    found = at(parse_settings(text_with((path, written)), ENVIRONMENT), path)
    assert (found.get_secret_value() if path == PASSWORD else found) == held


def test_without_a_value_the_usual_variable_is_read() -> None:
    assert at(parse_settings(text_with((HOST, "${UNSET}")), {"CDR_DB_HOST": "c.example"}), HOST) == "c.example"


@pytest.mark.parametrize("password", ["a: #b'\"{}[]$%${X}\\n", "ключ", "$PBX"])
def test_a_secret_from_the_environment_may_hold_whatever_yaml_or_a_variable_would_trip_over(password: str) -> None:
    found = at(parse_settings(text_with((PASSWORD, "${PW}")), {"PW": password, "X": "never"}), PASSWORD)
    assert found.get_secret_value() == password


UNFINISHED = ["${PBX", "x${", "${}", "${ PBX }", "${1A}", "${A.B}", "${{ secrets.A }}", "$${PBX}", "${A:-${PBX}}"]
OTHER_SHELLS = ["${PBX-localhost}", "${PBX:=x}", "${PBX:+x}", "${PBX:?x}", "${PBX?}", "${#PBX}", "${PBX%x}", "${PBX^}"]
WITHOUT_BRACES = ["$PBX", "$(PBX)", "$(cat /run/secret)", "$env:PBX"]


@pytest.mark.parametrize("written", UNFINISHED + OTHER_SHELLS + WITHOUT_BRACES)
@pytest.mark.parametrize(
    "path", [HOST, PASSWORD, "3cx.cdr_database.port", "calls.anonymous_number", "ledger.keep_days"]
)
def test_what_only_looks_like_a_variable_is_no_value(path: str, written: str) -> None:
    found = mistake(text_with((path, written)), ENVIRONMENT)
    assert found.startswith(
        f"{path}: has a variable in it that is not understood; understood are ${{NAME}} and ${{NAME"
    )
    assert written not in found or written == "${"


@pytest.mark.parametrize("written", ["$lower", "cdr_$ENV", "x$UPPER", "a-$(b)", "a $env:b"])
@pytest.mark.parametrize("path", ["3cx.cdr_database", "call_groups.members.database"])
def test_where_no_secret_belongs_more_is_taken_for_one(path: str, written: str) -> None:
    login = {"host": "h", "database": "d", "username": "u", "password": "p"}
    members = {"source": "database", "database": login}
    text = text_with(("call_groups.members", members), (f"{path}.database", written))
    assert mistake(text, ENVIRONMENT).startswith(f"{path}.database: has a variable in it that is not understood")


def test_a_variable_that_is_not_understood_is_one_mistake_whatever_follows_from_it() -> None:
    auth = {"type": "${AUTH-none}", "token": "x"}
    assert mistake(text_with(("api.auth", auth))).startswith(
        "api.auth.type: has a variable in it that is not understood"
    )


def test_a_key_takes_no_variable() -> None:
    assert mistake(text_with(("extension_mapping", {"${EXT}": ALICE}))).startswith("extension_mapping.${EXT}: is a key")


REFERENCE = "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/hunter2)"


@pytest.mark.parametrize(
    "held", [REFERENCE, REFERENCE.lower(), REFERENCE.upper(), f"Bearer {REFERENCE}", REFERENCE.replace("(", " (\n")]
)
@pytest.mark.parametrize("path", [HOST, PASSWORD, "api.auth", "calls.anonymous_number"])
@pytest.mark.parametrize("written", ["{}", "${HELD}", "${UNSET:-{}}"])
def test_a_reference_to_a_vault_that_was_not_resolved_is_no_value(path: str, written: str, held: str) -> None:
    value = written.replace("{}", held)
    found = mistake(text_with((path, value)), {"HELD": held})
    assert found.startswith(f"{path}: is still a Key Vault reference, which the platform could not resolve")
    assert "hunter2" not in found.lower()


def test_neither_is_one_that_comes_from_the_environment_alone_or_stands_in_a_list() -> None:
    assert mistake(text_with((PASSWORD, None)), {"CDR_DB_PASSWORD": REFERENCE}).startswith(
        f"{PASSWORD}: is still a Key"
    )
    groups = [{"id": "800", "members": ["101", REFERENCE]}]
    found = mistake(text_with(("call_groups.monitored_groups", groups)))
    assert found.startswith("call_groups.monitored_groups.0.members.1: is still a Key Vault reference")


@pytest.mark.parametrize(
    "name", ["AzureWebJobsStorage", "AzureWebJobsStorage__clientId", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"]
)
def test_neither_is_one_that_the_file_does_not_name(name: str) -> None:
    assert mistake(text_with(), {name: REFERENCE}).startswith(f"{name}: is still a Key Vault reference")


def test_nor_is_a_reference_to_the_app_configuration() -> None:
    reference = "@Microsoft.AppConfiguration(Endpoint=https://x.azconfig.io; Key=hunter2)"
    found = mistake(text_with((PASSWORD, "${HELD}")), {"HELD": reference})
    assert found.startswith(
        f"{PASSWORD}: is still an App Configuration reference, which the platform could not resolve"
    )
    assert "hunter2" not in found


def test_the_platform_s_own_list_of_references_is_no_mistake() -> None:
    parse_settings(text_with(), {"WEBSITE_KEYVAULT_REFERENCES": f'{{"CDR_DB_PASSWORD": "{REFERENCE}"}}'})
