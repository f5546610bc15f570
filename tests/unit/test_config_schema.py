"""The JSON Schema beside the configuration file: what the types say, and what people write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.config.schema import config_schema
from tests.support.factories import ALICE, CONFIG

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "config" / "3cx-config.schema.json"


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(config_schema())


def _complaints(text: str) -> list[str]:
    """As an editor that reads YAML makes them."""
    return [error.message for error in _validator().iter_errors(yaml.safe_load(text))]


def test_the_file_is_what_the_types_say() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == config_schema(), (
        "run: python -m shared.config.schema > config/3cx-config.schema.json"
    )


def test_the_command_writes_the_file() -> None:
    command = [sys.executable, "-m", "shared.config.schema"]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=60).stdout
    assert printed.decode().replace("\r\n", "\n") == FILE.read_text(encoding="utf-8")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(config_schema())


def test_the_configuration_file_names_the_schema_beside_it() -> None:
    first_line = (FILE.parent / "3cx-config.yml").read_text(encoding="utf-8").partition("\n")[0]
    assert first_line == f"# yaml-language-server: $schema={FILE.name}"


def test_the_configuration_file_fits_the_schema() -> None:
    assert _complaints((FILE.parent / "3cx-config.yml").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="the-shortest"),
        pytest.param("extension_mapping:\n  101: alice@example.com\n  0102: ${BOB}\n", id="numbers-for-extensions"),
        pytest.param("call_groups: {monitored_groups: [{id: 800}, {id: '801', name: 24}]}", id="numbers-for-groups"),
        pytest.param(
            "business_hours: {monday: null, tuesday: {start: '8:00', end: '17:00'}}", id="hours-and-a-closed-day"
        ),
        pytest.param(
            "business_hours: {timezone: '${TIMEZONE:-UTC}', monday: {start: '${A}', end: '${B}'}}",
            id="hours-in-variables",
        ),
        pytest.param("ledger: {keep_days: '${DAYS:-90}'}", id="a-variable-for-a-number"),
        pytest.param(
            "calls: {include_internal: '${X}', phone_format: '${Y}', default_region: '${Z}'}", id="variables-for-words"
        ),
        pytest.param("calls: {anonymous_number: 0}", id="a-number-for-text"),
        pytest.param("  timeout_seconds: 30000\n", id="milliseconds"),
        pytest.param("  timeout_seconds: ${API_TIMEOUT_MS:-30}\n", id="a-variable-for-a-timeout"),
        pytest.param("  give_up_after: 7 days\n", id="a-span"),
        pytest.param("  auth: {type: bearer, token: '${API_TOKEN}'}\n", id="a-token"),
        pytest.param("  auth: {type: api_key, key: 12345}\n", id="a-key-of-digits"),
        pytest.param("  auth: {type: '${AUTH:-entra}', audience: 'api://x'}\n", id="a-variable-for-the-kind"),
    ],
)
def test_what_the_file_may_hold_fits_the_schema(more: str) -> None:
    assert _complaints(CONFIG + more) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("3cx: {cdr_database: {port: '${CDR_DB_PORT}'}}", "3cx.cdr_database.port", id="port"),
        pytest.param("3cx: {start_from: 4711}", "3cx.start_from", id="an-id-to-start-from"),
        pytest.param("{}", "", id="all-of-it-in-the-environment"),
    ],
)
def test_what_the_environment_can_give_need_not_be_in_the_file(text: str, path: str) -> None:
    assert (path, _complaints(text)) == (path, [])


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("bogus: 1", id="unknown-section"),
        pytest.param("calls: {include_internl: true}", id="unknown-key"),
        pytest.param("calls: {include_internal: perhaps}", id="a-word-for-a-boolean"),
        pytest.param("calls: {phone_format: pretty}", id="another-word"),
        pytest.param("calls: {default_region: us}", id="a-small-region"),
        pytest.param("ledger: {keep_days: 3}", id="too-small-a-number"),
        pytest.param("ledger: {keep_days: many}", id="a-word-for-a-number"),
        pytest.param("  timeout_seconds: 90\n", id="neither-seconds-nor-milliseconds"),
        pytest.param("  give_up_after: 7\n", id="a-span-without-a-unit"),
        pytest.param("  auth: {type: bearer}\n", id="no-token"),
        pytest.param("  auth: {type: bearer, token: x, audience: y}\n", id="a-key-of-another-kind"),
        pytest.param("business_hours: {monday: {start: '08:00'}}", id="no-end"),
        pytest.param("business_hours: {monday: {start: '8 am', end: '17:00'}}", id="no-time"),
        pytest.param("call_groups: {monitored_groups: [{name: Sales}]}", id="a-group-without-an-id"),
        pytest.param("extension_mapping: [alice@example.com]", id="a-list-for-a-mapping"),
        pytest.param("extension_mapping: {101: 5}", id="a-number-for-an-address"),
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


def test_every_key_is_described() -> None:
    described = dict(_properties(config_schema()))
    assert len(described) > 40
    assert [path for path, part in described.items() if not part.get("description")] == []


def test_a_default_could_stand_in_the_file() -> None:
    definitions = {"$defs": config_schema()["$defs"]}
    wrong = [
        path
        for path, part in _properties(config_schema())
        if "default" in part and not Draft202012Validator(part | definitions).is_valid(part["default"])
    ]
    assert wrong == []
    assert ALICE not in str(definitions)
