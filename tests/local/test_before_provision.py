"""infra/before_provision.py: which questions are asked before azd deploys, and what is kept of the answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.before_provision import Person, Refusal, answers, main

PASSWORD_URI = "https://example-vault.vault.azure.net/secrets/cdr-db-password"
DATABASE = {"CDR_DB_HOST": "pbx-db", "CDR_DB_NAME": "cdr", "CDR_DB_USER": "reader"}


def said(known: Mapping[str, str], *typed: str) -> dict[str, str]:
    """What is kept, if a person types these lines; each of them is asked for."""
    lines = list(typed)
    person = Person(ask=lambda _: lines.pop(0), ask_secret=lambda _: lines.pop(0))
    kept = dict(answers(known, person))
    assert lines == []
    return kept


@pytest.mark.parametrize(
    ("known", "typed", "kept"),
    [
        pytest.param({}, ["xapi"], {"CDR_SOURCE": "xapi"}, id="the REST API has no database"),
        pytest.param(
            {},
            ["v20", "", "10.20.0.4", "", "", PASSWORD_URI, ""],
            {
                "CDR_SOURCE": "v20",
                "CDR_DB_ENGINE": "postgresql",
                "CDR_DB_HOST": "10.20.0.4",
                "CDR_DB_NAME": "database_single",
                "CDR_DB_USER": "cdr_reader",
                "CDR_DB_PASSWORD_SECRET_URI": PASSWORD_URI,
                "KEY_VAULT_NAME": "example-vault",
            },
            id="a 3CX is usually asked for as it is installed",
        ),
        pytest.param(
            {"CDR_SOURCE": "calllog", "CDR_DB_ENGINE": "mysql", "CDR_DB_HOST": "pbx-db"},
            ["", "cdr", "", "not a secret", PASSWORD_URI + "/0a", "vaults"],
            {
                "CDR_DB_NAME": "cdr",
                "CDR_DB_USER": "cdr_reader",
                "CDR_DB_PASSWORD_SECRET_URI": PASSWORD_URI + "/0a",
                "KEY_VAULT_NAME": "example-vault",
                "KEY_VAULT_RESOURCE_GROUP": "vaults",
            },
            id="what is known is not asked, and what makes no sense is asked again",
        ),
        pytest.param(
            {},
            ["v21", "", "", "pbx-db", "cdr", "reader", "", 'pass"word', "-password", "", "pass word "],
            {"CDR_SOURCE": "calllog", "CDR_DB_ENGINE": "sqlserver", **DATABASE, "CDR_DB_PASSWORD": "pass word "},
            id="a password that azd could not keep is asked again",
        ),
        pytest.param({"CDR_SOURCE": "auto", **DATABASE}, [], {}, id="all is known"),
    ],
)
def test_what_azd_cannot_ask_for_is_asked_once(known: dict[str, str], typed: list[str], kept: dict[str, str]) -> None:
    assert said(known, *typed) == kept
    assert said({**known, **kept}) == {}


def test_where_nobody_can_be_asked_what_is_missing_is_said() -> None:
    assert dict(answers({"CDR_SOURCE": "xapi"}, None)) == {}
    with pytest.raises(Refusal, match=r"^CDR_DB_NAME, CDR_DB_USER must be set"):
        dict(answers({"CDR_SOURCE": "v20", "CDR_DB_HOST": "pbx-db"}, None))


@pytest.mark.skipif(os.name != "posix", reason="its stand-in for azd is a shell script")
def test_the_answers_are_kept_in_azd_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    someone = Person(ask=lambda _: "xapi", ask_secret=lambda _: "")
    assert main({}, someone) == 1
    assert capsys.readouterr().err == "before_provision: CDR_SOURCE could not be kept: `azd env set CDR_SOURCE ...`\n"
    azd = tmp_path / "azd"
    azd.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n')
    azd.chmod(0o755)
    assert main({}, someone) == 0
    assert (tmp_path / "calls").read_text() == "env set CDR_SOURCE xapi\n"
