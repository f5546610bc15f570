"""YAML as the file uses it: text stays text, and whatever else YAML can do is a mistake with its place."""

from __future__ import annotations

import pytest

from tests.support.factories import ALICE, CONFIG, make_settings
from tests.unit.shared.config.reading import mistake, mistakes

KEYS = ["0x65", "1_0", "1e3", "010", "08", "1:30", "yes", "null", "~", "2026-11-22", "<<"]


@pytest.mark.parametrize("key", KEYS)
def test_no_extension_is_taken_for_anything_but_its_text(key: str) -> None:
    assert make_settings(f"extension_mapping:\n  {key}: {ALICE}\n").extension_mapping == {key: ALICE}


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("&rules raw", "raw"),  # an anchor that nobody refers to
        ("!!str raw", "raw"),
        ("! raw", "raw"),
        ("!!null x", None),
        ("!!str null", "null"),
    ],
)
def test_what_says_no_more_than_text_or_nothing_is_taken(written: str, held: str | None) -> None:
    found = mistakes(f"{CONFIG}calls: {{default_region: {written}, phone_format: x}}\n")
    assert len(found) == (2 if held else 1)
    assert any(line.startswith(f"calls.default_region: holds '{held}': ") for line in found) is (held is not None)


TAG = "a tag that is not understood here; text that begins with ! needs quotes"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("3cx:\n  schema: a\n  schema: b\n", "line 3, column 3: the key schema stands twice"),
        ("a: {PWD=hunter2: 1, PWD=hunter2: 2}", "line 1, column 21: the key *** stands twice"),
        ("a: &x {b: c}\nd: *x\n", "uses a YAML alias (*name) in line 2; write the value out instead"),
        ("a: {<<: *x}", "uses a YAML alias (*name) in line 1; write the value out instead"),
        ("a: *hunter2", "text that begins with * needs quotes"),
        *(
            (f"a: &hunter2{rest}", "line 1, column 4: an anchor (&name) with nothing behind it")
            for rest in ("", "\nb: c")
        ),
        ("a: &x b\nc: &x d\n", "line 2, column 4: an anchor (&name) that stands twice"),
        ("a: [b\nc: d\n", "line 2, column 2: expected ',' or ']'"),
        (
            "a:\n\tb: c\n",
            "line 2, column 1: found character '\\t' that cannot start any token; lines are indented by blanks",
        ),
        (
            "a:\n\u00a0\u00a0b: c\n\u00a0\u00a0d\n e: f",
            "; lines are indented by blanks, and here by tabs or no-break spaces",
        ),
        ("? [a]\n: b\n", "line 1, column 3: a key must be plain text"),
        ("a: b\n---\nc: d\n", "line 2, column 1: but found another document"),
        (
            "a:\n  b: {host: ${HOST}}",
            "line 2, column 14: expected ',' or '}', but got '{'; within {…} or […] a variable",
        ),
        *(
            (f"a: {tagged}", f"line 1, column 4: {TAG}")
            for tagged in ("!!int 5", "!!timestamp x", "!!set {b}", "!!omap")
        ),
        *(
            (f"a: {tagged}", f"line 1, column 4: {TAG}")
            for tagged in ("!!map [a]", "!!seq {a: b}", "!!str [a]", "!!null [a]")
        ),
        *(
            (f"a: {tagged}", f"line 1, column 4: {TAG}")
            for tagged in ("!hunter2", "!h!unter2", "!!python/object:os.system {}")
        ),
        ('a: "\\UFFFFFFFF"', "not valid YAML"),
        ('a: "\\U00110000"', "not valid YAML"),
        ("a: \x07", "special characters are not allowed"),
        ("[" * 600, "is nested too deeply"),
        ("a: " + "{b: " * 600 + "c" + "}" * 600, "is nested too deeply"),
        ("- " * 600, "is nested too deeply"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_malformed_yaml_is_one_clear_mistake(text: str, problem: str) -> None:
    found = mistake(text)
    assert found.startswith("the configuration file ")
    assert problem in found
    assert "unter2" not in found


@pytest.mark.parametrize("depth", range(50, 500, 45))
def test_no_depth_of_nesting_breaks_the_reader(depth: int) -> None:
    """Somewhere here the parser gives up; what it still reads must not be too deep for what comes after it."""
    assert mistakes(f"{CONFIG}x: {'[' * depth}{']' * depth}\n")
