"""Whatever stands in the file, it is either valid or a list of mistakes: nothing else ever leaves the reader."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.config.yaml_text import read_yaml
from shared.errors import InvalidConfig
from tests.support.settings import parse_settings

EXAMPLE = Path(__file__).parents[4] / "config" / "3cx-config.yml"
ENVIRONMENT = {"API_BASE_URL": "https://x.example", "CDR_DB_ENGINE": "sqlite", "CDR_DB_NAME": "x", "A": "b"}
OF_THE_EXAMPLE = {"API_TOKEN": "t", "XAPI_ID": "i", "XAPI_SECRET": "s", "TEAMS_WEBHOOK": "https://x.example/y"}


def mistakes(text: str) -> Sequence[str]:
    try:
        parse_settings(text, ENVIRONMENT | OF_THE_EXAMPLE)
    except InvalidConfig as exc:
        return exc.mistakes or ["a mistake without words"]
    return ()


def can_be_written_down(lines: Sequence[str]) -> bool:
    return all(line.encode() and "\n" not in line for line in lines)


YAML_PIECES = """\
3cx api cdr_database auth type bearer calls business_hours monday extension_mapping base_url port timezone 101
{ } [ ] , " ' | > &a *a !!int !!null !!str !!set ? : - # %YAML --- ... ${A} ${A:-b} null ~ << 1e999 nan \\x
"\\UFFFFFFFF" "\\uD800"
""".split()  # noqa: SIM905 - as a list it would be a column of fifty lines
SPACES = ["\n", "\n  ", "\n    ", " ", ": ", "- ", "\ud800", "\x00"]


@given(st.text() | st.lists(st.sampled_from(YAML_PIECES + SPACES), max_size=30).map("".join))
@example("?")
@example("null: 5\n~: 6")
@example('"\\uD800": 1')
@example('3cx: {cdr_database: {database: "\\uD800"}}')
def test_any_text(text: str) -> None:
    assert can_be_written_down(mistakes(text))


def same_for_null(value: Any) -> Any:
    """With null for whatever may be a way to write it: the plain parser below does not tell."""
    match value:
        case dict():
            return {key: same_for_null(one) for key, one in value.items()}
        case list():
            return [same_for_null(one) for one in value]
    return None if value in ("", "~", "null", "Null", "NULL") else value


@given(st.lists(st.sampled_from(YAML_PIECES + SPACES), max_size=30).map("".join))
@example("- ! \n- a")
@example("a\n\ufeffb")
@example(EXAMPLE.read_text(encoding="utf-8"))
def test_what_is_read_is_what_the_plain_parser_reads(text: str) -> None:
    """The quick parser is another program, which must not make anything else of a file that both take."""
    assume("!!null" not in text)  # whatever follows is none to ours, and is as it stands to one that knows no tags
    try:
        found, plain = read_yaml(text), yaml.load(text, Loader=yaml.BaseLoader)
    except (InvalidConfig, yaml.YAMLError, ValueError, OverflowError):
        return
    assert same_for_null(found) == same_for_null(plain)


ODD = r"""
[800, 801] | {} | [] | ~ | '' | "\0" | "\uD800" | "\UFFFFFFFF" | "\x" | ' | " | ` | @x | % | %YAML 9.9 | --- | ... | >2
!!map [a] | !!seq {a: b} | !!str [a] | !!str {=: a} | !!null [a] | !!int 5 | !!binary x | !!set {a} | !!omap [a: b] | !
!x y | !<!x> y | !! | !x!y z | &a b | &a | *a | <<: {a: b} | << | - - a | ? a | ? [a] : b | [a: b] | {[a]: b} | [[[[]]]]
${A | ${A-} | ${} | $A | $(A) | ${A} | ${B} | ${A:-{b}} | @Microsoft.KeyVault(x) | 1e999 | nan | -1 | 99999999999999
20261101 | 24:00 | 2026-13-45 | 0001-01-01 | (one) | (several) | (x) | a..b | SRV\X | http://u:p@h | {call_id}{id} | UK
"""
"""What stands in place of a value or a key: each is something of its own to a reader of YAML, or to a setting."""
ODD_WORDS = [word for line in ODD.strip().splitlines() for word in line.split(" | ")]
ODD_CHARACTERS = "\t\n\r :{}[],-?&*!|>'\"%@`#$\\=~()<\u2028\x85\ufeff\ud800\x00\x07é😀"
RICHER = {
    "  # auth: {type: bearer": "  auth: {type: bearer",
    "  # holidays:": "  holidays:",
    "  # members: { source: xapi": "  members: { source: xapi",
    "  # notify:\n  #   -": "  notify:\n    -",
}
"""What is commented out in the example."""


def mutated(text: str, chance: random.Random) -> str:
    """With up to four lines lost, doubled, moved, or holding something odd."""
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        line, odd = lines[at], chance.choice(ODD_WORDS)
        key, colon, value = line.partition(":")
        middle = chance.randrange(len(line) + 1)
        lines[at : at + 1] = chance.choice(
            (
                [],
                [line, chance.choice(lines)],
                [" " * chance.randrange(8) + line.lstrip()],
                [f"{key}: {odd}" if colon else odd],
                [f"{key}: {odd}" if colon else odd],
                [f"{key[: len(key) - len(key.lstrip())]}{odd}:{value}"],
                [line[:middle] + chance.choice(ODD_CHARACTERS) + line[middle:]],
                [line[:middle] + line[middle + chance.randint(1, 3) :]],
                [line + odd],
            )
        )
        text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(8))
def test_any_mutation_of_the_example(seed: int) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for dull, rich in RICHER.items():
        assert dull in text
        text = text.replace(dull, rich)
    chance = random.Random(seed)
    found = [mistakes(mutated(text, chance)) for _ in range(50)]
    assert all(map(can_be_written_down, found))
    assert () in found  # so what is mutated is no nonsense from the start


SQLITE = "3cx: {{cdr_database: {{engine: sqlite, database: x}}, {}}}"
API = "api: {{base_url: 'https://calls.example.com/api', {}}}"
PLACES = {
    "schema": SQLITE,
    "start_from": SQLITE,
    "polling_interval_seconds": SQLITE,
    "gap_wait": SQLITE,
    "cdr_database": "3cx: {{{}}}",
    "host": "3cx: {{cdr_database: {{engine: mysql, {}}}}}",
    "base_url": "api: {{{}}}",
    "timeout_seconds": API,
    "auth": API,
    "ca_file": API,
    "pbx_call_id": "calls: {{{}}}",
    "default_region": "calls: {{{}}}",
    "internal_number_digits": "calls: {{{}}}",
    "timezone": "business_hours: {{{}}}",
    "end": "business_hours: {{monday: {{start: '07:00', {}}}}}",
    "holidays": "business_hours: {{{}}}",
    "id": "call_groups: {{members: {{source: static}}, monitored_groups: [{{id: 1}}, {{{}}}]}}",
    "members": "call_groups: {{{}}}",
    "101": "extension_mapping: {{{}}}",
}
VALUES = ["null", "[]", "{}", "[a]", "[[a]]", "{a: b}", "0", "-1", "1e400", "nan", "true", "08:00", "08:00Z", "24:00"]
MORE_VALUES = ["99999999999999999999", "20261101", "2026-11-01", "2026-99-99", "'${A}'", "'${A'", "a..b", "UK"]


@pytest.mark.parametrize("name", PLACES)
def test_any_odd_value_of_a_setting(name: str) -> None:
    found = [mistakes(PLACES[name].format(f"{name}: {value}")) for value in VALUES + MORE_VALUES]
    assert all(map(can_be_written_down, found))


@pytest.mark.parametrize("name", PLACES)
@settings(max_examples=25)
@given(st.text(max_size=20).map(json.dumps))
def test_any_text_of_a_setting(name: str, value: str) -> None:
    assert can_be_written_down(mistakes(PLACES[name].format(f"{name}: {value}")))
