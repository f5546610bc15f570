"""Reads the configuration file: YAML, ``${NAME}`` and ``${NAME:-default}``, and all mistakes at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from shared.config.settings import Settings
from shared.errors import InvalidConfig

MAX_FILE_BYTES = 256_000
DEEPEST = 50

# Read for a setting that the file does not name.
ENVIRONMENT: Mapping[tuple[str, ...], str] = {
    ("3cx", "cdr_database", "engine"): "CDR_DB_ENGINE",
    ("3cx", "cdr_database", "host"): "CDR_DB_HOST",
    ("3cx", "cdr_database", "port"): "CDR_DB_PORT",
    ("3cx", "cdr_database", "database"): "CDR_DB_NAME",
    ("3cx", "cdr_database", "username"): "CDR_DB_USER",
    ("3cx", "cdr_database", "password"): "CDR_DB_PASSWORD",
    ("3cx", "polling_interval_seconds"): "POLLING_INTERVAL_SECONDS",
    ("3cx", "start_from"): "CDR_START_FROM",
    ("api", "base_url"): "API_BASE_URL",
    ("api", "timeout_seconds"): "API_TIMEOUT_MS",
    ("api", "retry_attempts"): "API_RETRY_ATTEMPTS",
    ("business_hours", "timezone"): "TIMEZONE",
    ("call_groups", "alert_check_interval_minutes"): "ALERT_CHECK_INTERVAL_MINUTES",
}

_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load_settings(path: Path, environment: Mapping[str, str], root: Path) -> Settings:
    """The settings of a file; paths in it are relative to ``root``.

    :raises InvalidConfig: with a line for every mistake in it
    """
    return parse_settings(_read(path), environment, root)


def parse_settings(text: str, environment: Mapping[str, str], root: Path = Path()) -> Settings:
    """The settings of a file's text, paths in it relative to ``root``; raises as load_settings does."""
    unset: dict[tuple[str, ...], str] = {}
    data = _substitute(_parse_yaml(text), environment, (), unset)
    if not isinstance(data, dict):
        raise InvalidConfig(["the configuration file is empty or no mapping; it needs the sections 3cx and api"])
    _fill_from_environment(data, environment)
    try:
        return Settings.model_validate(data, context={"root": root})
    except ValidationError as exc:
        raise InvalidConfig(list(_mistakes(exc, data, unset))) from None


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise InvalidConfig([f"{path.name}: the configuration file cannot be read: {exc.strerror}"]) from exc
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidConfig([f"{path.name}: {len(raw)} bytes, at most {MAX_FILE_BYTES} are allowed"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConfig([f"{path.name}: is not UTF-8 text"]) from None


class _TextLoader(yaml.SafeLoader):
    """Leaves every scalar but null as the text it is, so that extension 0101 keeps its zero and 08:00 is no number."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way of saying it
    yaml_constructors = {  # noqa: RUF012 - the same
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "str", "seq", "map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(key.value)
            key.tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG  # even null, as a key, is a word
        return super().construct_mapping(node, deep=deep)


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])


def _check_tokens(text: str) -> None:
    """Before anything is built: the time that a parser needs grows with the square of the depth."""
    depth = 0
    for token in yaml.scan(text, Loader=_TextLoader):
        if isinstance(token, yaml.AliasToken):
            raise InvalidConfig(["the configuration file uses a YAML alias (*name); write the value out instead"])
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > DEEPEST:
            raise InvalidConfig(["the configuration file is nested too deeply"])


def _parse_yaml(text: str) -> Any:
    try:
        _check_tokens(text)
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, OverflowError) as exc:  # the last two: an escape beyond Unicode
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise InvalidConfig([f"the configuration file is not valid YAML: {where}{problem}"]) from None
    except RecursionError:
        raise InvalidConfig(["the configuration file is nested too deeply"]) from None


def _substitute(
    node: Any, environment: Mapping[str, str], path: tuple[str, ...], unset: dict[tuple[str, ...], str]
) -> Any:
    """Fill in the variables of every value. A value that comes out empty counts as absent, as in the shell."""
    if isinstance(node, dict):
        filled = {key: _substitute(value, environment, (*path, key), unset) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value is not None or node[key] is None}
    if isinstance(node, list):
        return [_substitute(value, environment, (*path, str(index)), unset) for index, value in enumerate(node)]
    if not isinstance(node, str) or not _VARIABLE.search(node):
        return node

    def fill(match: re.Match[str]) -> str:
        value = environment.get(match[1]) or match[2]
        if value is None:
            unset[path] = match[1]
        return value or ""

    return _VARIABLE.sub(fill, node) or None


def _fill_from_environment(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    for path, name in ENVIRONMENT.items():
        if not (value := environment.get(name)):
            continue
        section: Any = data
        for key in path[:-1]:
            section = section.setdefault(key, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(path[-1], value)


def _mistakes(exc: ValidationError, data: Any, unset: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    for error in exc.errors(include_url=False, include_context=False):
        at = _locate(tuple(str(part) for part in error["loc"]))
        name = ".".join(at.path) or "the file"
        if error["type"] == "extra_forbidden":
            near = difflib.get_close_matches(at.path[-1], at.known_keys, n=1, cutoff=0)
            yield f"{name}: unknown key; the nearest known one is {near[0]}"
        elif error["type"] == "missing":
            yield f"{name}: missing{_variable_of(at.path, unset)}{at.allowed}"
        else:
            yield f"{name}: {_held(data, at)}{error['msg'].removeprefix('Value error, ')}{at.allowed}"


@dataclass(frozen=True)
class _Location:
    """Where in the file a mistake is: its path, its field, and the keys that may stand beside it."""

    path: tuple[str, ...]
    field: FieldInfo | None
    known_keys: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"; allowed: {self.field.description}" if self.field and self.field.description else ""


def _locate(location: tuple[str, ...]) -> _Location:
    """Follow pydantic's location through the settings; it names the chosen member of a union too, the file does not."""
    models: list[type[BaseModel]] = [Settings]
    field: FieldInfo | None = None
    path: list[str] = []
    known: dict[str, FieldInfo] = {}
    for part in location:
        known = {info.alias or key: info for model in models for key, info in model.model_fields.items()}
        if part.startswith("("):
            continue
        if len(models) > 1 and (chosen := [model for model in models if part in _tags(model)]):
            models = chosen
            continue
        path.append(part)
        if part in known:
            field = known[part]
            models = [t for t in _types(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
    return _Location(tuple(path), field, tuple(known))


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """What the first key of a union's member, type or source, may hold."""
    return _types(next(iter(model.model_fields.values())).annotation)


def _types(annotation: Any) -> tuple[Any, ...]:
    """A type with all that it is made of: the members of a union, the arguments of a container or literal."""
    return (annotation, *(part for arg in getattr(annotation, "__args__", ()) for part in _types(arg)))


def _variable_of(path: tuple[str, ...], unset: Mapping[tuple[str, ...], str]) -> str:
    name = unset.get(path) or ENVIRONMENT.get(path)
    return f" (the environment variable {name} is not set)" if name else ""


def _held(data: Any, at: _Location) -> str:
    for key in at.path:
        data = data[int(key)] if isinstance(data, list) else data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict | list | None) or at.field is None:
        return ""
    return "holds ***: " if _may_be_secret(at.field.annotation) else f"holds {data!r:.80}: "


def _may_be_secret(annotation: Any) -> bool:
    """Also a section with a secret in it: somebody may have written the bare secret in its place."""
    return any(
        part is SecretStr
        or (
            isinstance(part, type)
            and issubclass(part, BaseModel)
            and any(_may_be_secret(field.annotation) for field in part.model_fields.values())
        )
        for part in _types(annotation)
    )
