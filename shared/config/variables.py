"""``${NAME}`` and ``${NAME:-default}`` in the file's values, and what looks like one, or never became a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shared.config.yaml_text import Plain

KeyPath = tuple[str, ...]
"""Where in the file a value stands; places in a list are numbers from 0."""

NOT_UNDERSTOOD = (
    "has a variable in it that is not understood; understood are ${NAME} and ${NAME:-default}, the name of letters, "
    "digits and _ (a $ that is meant as such can stand in an environment variable, which is taken as it is)"
)
IN_A_KEY = "is a key with ${ in it; only values are filled in from the environment"
UNRESOLVED = (
    "is still {kind} reference, which the platform could not resolve: look at it among the app's settings, whether "
    "{what} is there, and whether the app's identity may read it"
)

# A default may have pairs of braces in it, as a template has.
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)(?:\{[^{}]*\}|[^}]))*))?\}")
_IN_OTHER_WORDS = re.compile(r"\$(?:(?P<bracket>\([^)]*\)|env:)|(?P<name>[A-Za-z_]\w*))", re.ASCII)
"""How shells and pipelines write one: $NAME, $(NAME), $env:NAME."""
_REFERENCE = re.compile(r"@\s*Microsoft\s*\.\s*(KeyVault|AppConfiguration)\s*\(", re.IGNORECASE)
_KINDS = {"keyvault": ("a Key Vault", "the secret"), "appconfiguration": ("an App Configuration", "the key")}


@dataclass(frozen=True, slots=True)
class Filled:
    """The file's values with their variables filled in."""

    data: Plain
    unset: Mapping[KeyPath, str]
    """By the path that was left empty, the variable that has no value."""
    refused: Mapping[KeyPath, str]
    """By path, what is wrong with a value that no setting may have."""


def fill_in(data: Plain, environment: Mapping[str, str], may_be_secret: Callable[[KeyPath], bool]) -> Filled:
    """Fill in the variables of every value. A value that comes out empty counts as absent, as in the shell."""
    unset: dict[KeyPath, str] = {}
    refused: dict[KeyPath, str] = {}

    def filled(node: Plain, path: KeyPath) -> Plain:
        if isinstance(node, dict):
            refused.update({(*path, key): IN_A_KEY for key in node if "${" in key})
            values = {key: filled(value, (*path, key)) for key, value in node.items()}
            return {key: value for key, value in values.items() if value is not None or node[key] is None}
        if isinstance(node, list):
            return [filled(value, (*path, str(place))) for place, value in enumerate(node)]
        if node is None or "$" not in node:
            return node
        if _is_misunderstood(_VARIABLE.sub("\0", node), environment, is_secret=may_be_secret(path)):
            refused[path] = NOT_UNDERSTOOD
            return node
        empty = [found[1] for found in _VARIABLE.finditer(node) if _value(found, environment) is None]
        if empty:
            unset[path] = empty[-1]
        return _VARIABLE.sub(lambda found: _value(found, environment) or "", node) or None

    return Filled(filled(data, ()), unset, refused)


def unresolved(data: Plain, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every value, of file or environment, that the platform should have replaced by a secret and did not."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from unresolved(value, (*path, key))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from unresolved(value, (*path, str(place)))
    elif data and (problem := reference_in(data)):
        yield path, problem


def reference_in(text: str) -> str | None:
    """What is wrong, if there is the text of a reference in it, where the platform should have put a secret."""
    if (found := _REFERENCE.search(text)) is None:
        return None
    kind, what = _KINDS[found[1].lower()]
    return UNRESOLVED.format(kind=kind, what=what)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str | None:
    """None only where there is neither a value nor a default."""
    return environment.get(found[1]) or found[2]


def _is_misunderstood(rest: str, environment: Mapping[str, str], *, is_secret: bool) -> bool:
    """Whether what the variables leave of a value was meant to be one.

    A lone $ is a character like any other: names of databases and logins have it, and most of all passwords, of which
    only one that is nothing but a variable in other words is taken for it.
    """
    if "${" in rest:
        return True
    for found in _IN_OTHER_WORDS.finditer(rest):
        name = found["name"] or ""
        looks_like_it = bool(found["bracket"]) or name in environment or (name.isupper() and len(name) > 1)
        is_all = found.start() == 0 and (found.end() == len(rest) or found["bracket"] == "env:")
        if (is_all and looks_like_it) if is_secret else (is_all or looks_like_it):
            return True
    return False
