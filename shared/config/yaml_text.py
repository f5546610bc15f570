"""YAML as the configuration file uses it: mappings, lists, text and null. All else that YAML can do is a mistake."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, TypeAlias

import yaml

from shared.config.credentials import may_hold_one
from shared.errors import InvalidConfig

DEEPEST = 50

Plain: TypeAlias = dict[str, "Plain"] | list["Plain"] | str | None

_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_ANCHORED = (*_OPENING, yaml.ScalarToken, yaml.TagToken, yaml.BlockEntryToken)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_YAML = "tag:yaml.org,2002:"
_TAG = "a tag that is not understood here; text that begins with ! needs quotes"
_ALIAS = "write the value out instead; text that begins with * needs quotes"
_EMPTY = "an anchor (&name) with nothing behind it; text that begins with & needs quotes"
_IN_OUR_WORDS = {"found undefined tag handle": _TAG, "second occurrence": "an anchor (&name) that stands twice"}
"""By the beginning of the parser's: the first would show what may be a piece of a password, the second says little."""


class _TextLoader(yaml.SafeLoader):
    """Takes every scalar but null for the text it is: extension 0101 keeps its zero, and 08:00 is no number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way of saying it


class _FastTextLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # made while running
    """The same by the parser in C, ten times as fast, where PyYAML comes with it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as above


_NULL = (f"{_YAML}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_TextLoader.add_implicit_resolver(*_NULL)
_FastTextLoader.add_implicit_resolver(*_NULL)


_DISPUTED = re.compile(r"(?<![^\s\[\]{},:])!|\ufeff")
"""Of a tag and a byte order mark within the text the two parsers make different things."""


def read_yaml(text: str) -> Plain:
    """:raises InvalidConfig: with the place in the text where that is known"""
    if not _DISPUTED.search(text):
        with suppress(yaml.YAMLError, ValueError, OverflowError, InvalidConfig):
            return _read(text, _FastTextLoader)
    try:
        return _read(text, _TextLoader)  # it says better what is wrong, and where
    except (yaml.YAMLError, ValueError, OverflowError) as exc:  # the last two: an escape beyond Unicode
        raise InvalidConfig([f"the configuration file is not valid YAML: {_reason(exc, text)}"]) from None


def _read(text: str, loader: type[yaml.SafeLoader]) -> Plain:
    _check_tokens(text, loader)
    node = yaml.compose(text, Loader=loader)
    return None if node is None else _plain(node)


def _check_tokens(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Before anything is built: the time that a parser needs grows with the square of the depth."""
    depth, before = 0, None
    for token in yaml.scan(text, Loader=loader):
        if isinstance(token, yaml.AliasToken):
            line = token.start_mark.line + 1
            raise InvalidConfig([f"the configuration file uses a YAML alias (*name) in line {line}; {_ALIAS}"])
        if isinstance(before, yaml.AnchorToken) and not isinstance(token, _ANCHORED):
            raise yaml.MarkedYAMLError(problem=_EMPTY, problem_mark=before.start_mark)
        before = token
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > DEEPEST:
            raise InvalidConfig(["the configuration file is nested too deeply"])


def _plain(node: yaml.Node) -> Plain:
    match node, str(node.tag).removeprefix(_YAML):
        case yaml.ScalarNode(), "null":
            return None
        case yaml.ScalarNode(), "str":
            return str(node.value)
        case yaml.SequenceNode(), "seq":
            return [_plain(item) for item in node.value]
        case yaml.MappingNode(), "map":
            return _mapping(node)
    raise yaml.MarkedYAMLError(problem=_TAG, problem_mark=node.start_mark)


def _mapping(node: yaml.MappingNode) -> Plain:
    """Every key is the word that it is, also null and <<."""
    found: dict[str, Plain] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key.start_mark)
        if key.value in found:
            has_no_value = found[key.value] is None and _plain(value) is None  # as what follows a comma in a password
            shown = "***" if has_no_value or may_hold_one(key.value) else f"{key.value:.80}"
            raise yaml.MarkedYAMLError(problem=f"the key {shown} stands twice", problem_mark=key.start_mark)
        found[key.value] = _plain(value)
    return found


def _reason(exc: Exception, text: str) -> str:
    theirs = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    problem = next((ours for start, ours in _IN_OUR_WORDS.items() if theirs.startswith(start)), theirs)
    mark = getattr(exc, "problem_mark", None)
    if mark is None:
        return problem
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{_way_out(text, _line(text, mark.index))}"


def _way_out(text: str, line: str) -> str:
    if "${" in line:
        return "; within {…} or […] a variable needs quotes"
    if re.search(r"^ *[\t\u00a0]", text, re.MULTILINE):
        return "; lines are indented by blanks, and here by tabs or no-break spaces"
    return ""


def _line(text: str, index: int) -> str:
    return text[text.rfind("\n", 0, index) + 1 :].partition("\n")[0]
