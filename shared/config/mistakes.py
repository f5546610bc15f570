"""What is wrong with the settings, in sentences: the path in the file, what stands there, and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from shared.config.credentials import may_hold_one
from shared.config.settings import Settings
from shared.config.types import ShownIf, types_in
from shared.config.variables import KeyPath
from shared.config.yaml_text import Plain

LONGEST_NAME = 200
LONGEST_VALUE = 80

HABITS: Mapping[str, str] = {
    **dict.fromkeys(("server", "hostname", "address", "data_source"), "host"),
    **dict.fromkeys(("name", "dbname", "db", "catalog", "initial_catalog", "path", "file"), "database"),
    **dict.fromkeys(("user", "uid", "login"), "username"),
    **dict.fromkeys(("pwd", "pass"), "password"),
    **dict.fromkeys(("driver", "dialect", "type"), "engine"),
    **dict.fromkeys(("ssl", "tls", "sslmode"), "encrypt"),
    **dict.fromkeys(("url", "endpoint", "uri"), "base_url"),
    **dict.fromkeys(("open", "from", "begin"), "start"),
    **dict.fromkeys(("close", "to", "until"), "end"),
}
"""What people and other programs call a setting, where it is no slip of the pen."""


def name_of(path: KeyPath) -> str:
    """As it is written in a mistake: on one line, whatever the file has for a key."""
    shown = ("***" if may_hold_one(key) else key for key in path)
    name = "".join(char if char.isprintable() else repr(char)[1:-1] for char in ".".join(shown))
    return name[:LONGEST_NAME] or "the file"


def mistakes_in(
    exc: ValidationError,
    data: Plain,
    *,
    variables: Mapping[KeyPath, str],
    unset: Mapping[KeyPath, str],
    told: Collection[KeyPath],
) -> Iterator[str]:
    """A sentence for each mistake, but none for what follows from one that has been told of already.

    ``variables`` is which variable is read for a setting that the file does not name, ``unset`` which one left a value
    empty, ``told`` the paths that have been told of.
    """
    for error in exc.errors(include_url=False, include_context=False):
        at = _locate(error["loc"])
        if at.path in told or (error["type"].startswith("union_tag") and any(path[:-1] == at.path for path in told)):
            continue
        name, message = name_of(at.path), _in_our_words(error["type"], error["msg"])
        if error["type"] == "extra_forbidden" and _may_be_rest_of_secret(data, at):
            shown = name_of((*at.path[:-1], "***"))
            yield f"{shown}: unknown key without a value; text with a comma in it needs quotes within {{…}}"
        elif error["type"] == "extra_forbidden":
            near = _nearest(at.path[-1][:LONGEST_NAME], at.known_keys)
            yield f"{name}: unknown key; the nearest known one is {near}"
        elif error["type"] == "missing" or message.startswith("missing"):
            because = "" if error["type"] == "missing" else message.removeprefix("missing")
            yield f"{name}: missing{_variable_of(at.path, variables, unset)}{because}{at.allowed}"
        else:
            yield f"{name}: {_held(data, at)}{message}{at.allowed}"


_OURS: Mapping[str, str] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "must be a section of keys with values"),
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_pattern_mismatch": "has not the form that is allowed",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
}
"""By pydantic's name of the mistake, where its own words are those of programmers."""

_TAG = re.compile(r"Input tag '(.*)' found using '(\w+)' does not match any of the expected tags: (.*)", re.DOTALL)
_NO_TAG = re.compile(r"Unable to extract tag using discriminator '(\w+)'")


def _in_our_words(kind: str, theirs: str) -> str:
    if kind in _OURS:
        return _OURS[kind]
    if tag := _TAG.fullmatch(theirs):
        shown = "***" if may_hold_one(tag[1]) else f"{tag[1]!r:.{LONGEST_VALUE}}"
        return f"its {tag[2]} is {shown} and must be one of {tag[3]}"
    if tag := _NO_TAG.fullmatch(theirs):
        return f"must have the key {tag[1]}"
    bound = theirs.replace("less than or equal to", "at most").replace("greater than or equal to", "at least")
    return re.sub("^(Input|String|Value) should ", "must ", bound.removeprefix("Value error, "))


def _nearest(key: str, known: Collection[str]) -> str:
    usual = HABITS.get(key.lower(), "")
    return usual if usual in known else difflib.get_close_matches(key.lower(), known, n=1, cutoff=0)[0]


def _may_be_rest_of_secret(data: Plain, at: _Location) -> bool:
    """In a flow mapping of YAML a password ends at its first comma, and what follows that is a key."""
    key = at.path[-1]
    is_like_another = bool(difflib.get_close_matches(key.lower(), at.known_keys, n=1)) or key.lower() in HABITS
    return at.stands_by_secrets and not is_like_another and _value_at(data, at.path) is None


def may_be_secret(path: KeyPath) -> bool:
    """Whether a value may be one; also where no setting is known."""
    found = _locate(path, with_tags=False).field
    return found is None or _is_secret(found.annotation)


@dataclass(frozen=True, slots=True)
class _Location:
    """Where in the file a mistake is: its path, its field, and the keys that may stand beside it, of which some may be
    secrets."""

    path: KeyPath
    field: FieldInfo | None
    known_keys: tuple[str, ...]
    stands_by_secrets: bool

    @property
    def allowed(self) -> str:
        return f"; allowed: {self.field.description}" if self.field and self.field.description else ""


def _locate(location: Iterable[int | str], *, with_tags: bool = True) -> _Location:
    """Follow a location through the settings.

    pydantic's own also has a tag for the chosen member of a union, which the file has not.
    """
    models: list[type[BaseModel]] = [Settings]
    field: FieldInfo | None = None
    path: list[str] = []
    known: dict[str, FieldInfo] = {}
    for part in map(str, location):
        if len(models) > 1 and with_tags:
            models = [model for model in models if part in _tags(model)] or models[:1]
            continue
        known = {info.alias or key: info for model in models for key, info in model.model_fields.items()}
        path.append(part)
        if part in known:
            field = known[part]
            models = [t for t in types_in(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
    by_secrets = any(_is_secret(info.annotation) for info in known.values())
    return _Location(tuple(path), field, tuple(known), by_secrets)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """What the key that tells a union's members apart, source or type, may hold."""
    fields = model.model_fields
    return types_in((fields.get("source") or fields["type"]).annotation) if {"source", "type"} & fields.keys() else ()


def _variable_of(path: KeyPath, variables: Mapping[KeyPath, str], unset: Mapping[KeyPath, str]) -> str:
    name = unset.get(path) or variables.get(path)
    return f" (the environment variable {name} is not set)" if name else ""


def _held(data: Plain, at: _Location) -> str:
    value = _value_at(data, at.path)
    if not isinstance(value, str) or at.field is None:
        return ""
    return f"holds {value!r:.{LONGEST_VALUE}}: " if _may_be_shown(value, at.field) else "holds ***: "


def _value_at(data: Plain, path: KeyPath) -> Plain:
    for key in path:
        data = data[int(key)] if isinstance(data, list) else data.get(key) if isinstance(data, dict) else None
    return data


def _may_be_shown(text: str, field: FieldInfo) -> bool:
    if _is_secret(field.annotation):
        return False
    wholly = [mark.pattern for mark in (*field.metadata, *types_in(field.annotation)) if isinstance(mark, ShownIf)]
    if wholly:
        return all(re.fullmatch(pattern, text) for pattern in wholly) and not may_hold_one(text.replace("://", ""))
    return not may_hold_one(text)


def _is_secret(annotation: Any) -> bool:
    """Also a section with a secret in it: somebody may have written the bare secret in its place."""
    return any(
        part is SecretStr
        or (
            isinstance(part, type)
            and issubclass(part, BaseModel)
            and any(_is_secret(field.annotation) for field in part.model_fields.values())
        )
        for part in types_in(annotation)
    )
