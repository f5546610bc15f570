"""The JSON Schema beside the configuration file: what the types say, and what people write."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.config.schema import config_schema, span_as_written
from tests.support.factories import ALICE, CONFIG

PROJECT = Path(__file__).parents[4]
FILE = PROJECT / "config" / "3cx-config.schema.json"
DOCUMENT = PROJECT / "docs" / "configuration.md"


@pytest.mark.parametrize(("module", "file"), [("schema", FILE), ("document", DOCUMENT)])
def test_the_file_is_what_the_command_writes(module: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PROJECT / "shared" / "config" / f"{module}.py"), run_name="__main__")
    assert capsys.readouterr().out == file.read_text(encoding="utf-8"), (
        f"run: python -m shared.config.{module} > {file.relative_to(PROJECT)}"
    )


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(config_schema())


def _complaints(text: str) -> list[str]:
    """As an editor that reads YAML makes them."""
    return [error.message for error in _validator().iter_errors(yaml.safe_load(text))]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(config_schema())


def test_the_configuration_file_names_the_schema_beside_it_and_fits_it() -> None:
    text = (FILE.parent / "3cx-config.yml").read_text(encoding="utf-8")
    assert text.partition("\n")[0] == f"# yaml-language-server: $schema={FILE.name}"
    assert _complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        CONFIG,
        "{}",  # all of it in the environment
        "3cx: {cdr_database: {port: '${CDR_DB_PORT}'}, start_from: 4711}",
        f"{CONFIG}extension_mapping:\n  101: alice@example.com\n  0102: ${{BOB}}\n",
        f"{CONFIG}call_groups: {{monitored_groups: [{{id: 800}}, {{id: '801', name: 24}}]}}",
        f"{CONFIG}business_hours: {{monday: null, tuesday: {{start: '8:00', end: '24:00'}}}}",
        f"{CONFIG}business_hours: {{timezone: '${{TIMEZONE:-UTC}}', monday: {{start: '${{A}}', end: '${{B}}'}}}}",
        f"{CONFIG}ledger: {{keep_days: '${{DAYS:-90}}'}}",
        f"{CONFIG}calls: {{include_internal: '${{X}}', phone_format: '${{Y}}', default_region: '${{Z}}'}}",
        f"{CONFIG}calls: {{anonymous_number: 0, internal_number_digits: }}",
        f"{CONFIG}  timeout_seconds: 30000\n",
        f"{CONFIG}  timeout_seconds: ${{API_TIMEOUT_MS:-30}}\n  give_up_after: 7 days\n",
        f"{CONFIG}  auth: {{type: bearer, token: '${{API_TOKEN}}'}}\n",
        f"{CONFIG}  auth: {{type: api_key, key: 12345}}\n",
        f"{CONFIG}  auth: {{type: '${{AUTH:-entra}}', audience: 'api://x'}}\n",
        f"{CONFIG}calls:\nledger:\nbusiness_hours: {{holidays: }}\ncall_groups:\nextension_mapping:\n",
        f"{CONFIG}call_groups: {{members: , notify: , monitored_groups: }}\n",
        "3cx:\napi:\n",
    ],
)
def test_what_the_file_may_hold_fits_the_schema(text: str) -> None:
    assert _complaints(text) == []


@pytest.mark.parametrize(
    "more",
    [
        "bogus: 1",
        "calls: {include_internl: true}",
        "calls: {include_internal: perhaps}",
        "calls: {phone_format: pretty}",
        "calls: {default_region: us}",
        "ledger: {keep_days: 3}",
        "ledger: {keep_days: many}",
        "ledger: {keep_days: }",
        "  timeout_seconds: 90\n",
        "  give_up_after: 7\n",
        "  auth: {type: bearer}\n",
        "  auth: {type: bearer, token: x, audience: y}\n",
        "business_hours: {monday: {start: '08:00'}}",
        "business_hours: {monday: {start: '8 am', end: '17:00'}}",
        "business_hours: {monday: {start: '24:00', end: '24:00'}}",
        "call_groups: {monitored_groups: [{name: Sales}]}",
        "extension_mapping: [alice@example.com]",
        "extension_mapping: {101: 5}",
    ],
)
def test_a_mistake_that_a_schema_can_see_is_seen(more: str) -> None:
    assert _complaints(CONFIG + more)


def _properties(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, part in schema.get("properties", {}).items():
            yield f"{path}.{name}", part
        for key, part in schema.items():
            yield from _properties(part, f"{path}.{key}")


def test_every_key_is_described_here_and_in_the_documentation() -> None:
    described = dict(_properties(config_schema()))
    assert len(described) > 40
    assert [path for path, part in described.items() if not part.get("description")] == []
    settings = re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {key for setting in settings for key in re.split(r"[.\[\]]+", setting)}
    assert {path.rpartition(".")[2] for path in described} <= documented


def test_a_span_is_written_in_the_largest_unit_of_which_there_are_several() -> None:
    spans = (timedelta(days=7), timedelta(days=1), timedelta(minutes=15), timedelta(seconds=90))
    assert [span_as_written(span) for span in spans] == ["7 days", "24 hours", "15 minutes", "90 seconds"]


def test_a_default_could_stand_in_the_file() -> None:
    definitions = {"$defs": config_schema()["$defs"]}
    wrong = [
        path
        for path, part in _properties(config_schema())
        if "default" in part and not Draft202012Validator(part | definitions).is_valid(part["default"])
    ]
    assert wrong == []
    assert ALICE not in str(definitions)
