"""infra/before_provision.py: which questions are asked before azd deploys, and what is kept of the answers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.before_provision import PROVIDERS, Person, Refusal, answers, main, runbook_url

ROOT = Path(__file__).parents[2]
PASSWORD_URI = "https://example-vault.vault.azure.net/secrets/cdr-db-password"
GITHUB = "https://github.com/example/cdr/blob/HEAD/docs/runbook.md"
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
        pytest.param(
            {"CDR_SOURCE": "auto", "CDR_DB_ENGINE": "mysql", **DATABASE},
            ["", "secret"],
            {"CDR_DB_PASSWORD": "secret"},
            id="nobody gets in without a password",
        ),
        pytest.param(
            {"CDR_SOURCE": "v18", "CDR_DB_PASSWORD_SECRET_URI": PASSWORD_URI, **DATABASE},
            [""],
            {"CDR_DB_ENGINE": "postgresql"},
            id="a database of an unknown engine cannot be asked",
        ),
    ],
)
def test_what_azd_cannot_ask_for_is_asked_once(known: dict[str, str], typed: list[str], kept: dict[str, str]) -> None:
    assert said(known, *typed) == kept
    assert said({**known, **kept}) == {}


def test_where_nobody_can_be_asked_what_is_missing_is_said() -> None:
    assert dict(answers({"CDR_SOURCE": "xapi"}, None)) == {}
    with pytest.raises(
        Refusal, match=r"^CDR_DB_ENGINE, CDR_DB_NAME, .*, CDR_DB_PASSWORD_SECRET_URI or CDR_DB_PASSWORD must"
    ):
        dict(answers({"CDR_SOURCE": "v20", "CDR_DB_HOST": "pbx-db"}, None))
    with pytest.raises(Refusal, match=r"^CDR_DB_PASSWORD_SECRET_URI or CDR_DB_PASSWORD must be set"):
        dict(answers({"CDR_SOURCE": "v20", "CDR_DB_ENGINE": "postgresql", **DATABASE}, None))


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/example/cdr.git", GITHUB),
        ("https://somebody:password@github.com/example/cdr", GITHUB),
        ("git@github.com:example/cdr.git", GITHUB),
        ("ssh://git@github.com/example/cdr.git", GITHUB),
        ("https://git.example.com/example/cdr.git", None),
        ("", None),
    ],
)
def test_the_runbook_of_a_clone_from_github_has_a_known_address(remote: str, url: str | None) -> None:
    assert runbook_url(remote) == url


posix = pytest.mark.skipif(os.name != "posix", reason="its stand-ins for programs are shell scripts")
SOMEONE = Person(ask=lambda _: "xapi", ask_secret=lambda _: "")


def program(folder: Path, name: str, script: str) -> None:
    """One that writes down what it was asked for."""
    (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/calls\n{script}\n')
    (folder / name).chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@posix
def test_the_answers_are_kept_in_azd_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main({}, SOMEONE) == 1
    assert capsys.readouterr().err == "before_provision: CDR_SOURCE could not be kept: `azd env set CDR_SOURCE ...`\n"
    program(tmp_path, "azd", "")
    assert main({}, SOMEONE) == 0
    program(tmp_path, "git", "echo git@github.com:example/cdr.git")
    assert main({}, SOMEONE) == 0
    assert main({"CDR_SOURCE": "xapi", "RUNBOOK_URL": "https://git.example.com"}, None) == 0
    kept = "azd env set CDR_SOURCE xapi"
    assert calls(tmp_path) == [kept, kept, "git remote get-url origin", f"azd env set RUNBOOK_URL {GITHUB}"]


@posix
def test_a_new_subscription_takes_up_the_services_that_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    known = [f"echo {name}" for name in PROVIDERS if name not in ("Microsoft.App", "Microsoft.Insights")]
    environment = {"CDR_SOURCE": "xapi", "RUNBOOK_URL": "https://git.example.com", "AZURE_SUBSCRIPTION_ID": "mine"}
    program(tmp_path, "az", "\n".join([*known, "echo microsoft.insights"]))
    assert main(environment, None) == 0
    _, *registered = calls(tmp_path)
    assert registered == ["az provider register --wait --namespace Microsoft.App --subscription mine"]
    program(tmp_path, "az", '[ "$2" = list ] && echo Microsoft.Web')
    assert main(environment, None) == 1
    assert "Microsoft.App could not be registered" in capsys.readouterr().err
    program(tmp_path, "az", "exit 1")
    assert main(environment, None) == 0
    assert "cannot be seen" in capsys.readouterr().out


def test_the_services_are_those_of_the_template_and_of_the_way_by_hand() -> None:
    templates = "".join(path.read_text("utf-8") for path in (ROOT / "infra").glob("*.bicep"))
    always_there = {"Microsoft.Authorization", "Microsoft.KeyVault"}  # a vault that is named is one that exists
    used = set(re.findall(r"'(Microsoft\.\w+)/[\w/]+(?:@|')", templates)) - always_there
    assert {name.lower() for name in PROVIDERS} == {name.lower() for name in used}
    by_hand = re.search(r"for p in (.*?); do", (ROOT / "docs/deploy.md").read_text("utf-8"), re.DOTALL)
    assert by_hand is not None
    assert set(by_hand[1].replace("\\", "").split()) == set(PROVIDERS)
