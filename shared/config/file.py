"""Reads the configuration file: its values, those of the environment, and all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from shared.config.mistakes import may_be_secret, mistakes_in, name_of
from shared.config.settings import Settings
from shared.config.variables import UNRESOLVED, fill_in, is_unresolved, unresolved
from shared.config.yaml_text import Plain, read_yaml
from shared.errors import InvalidConfig

MAX_FILE_BYTES = 256_000

# Read for a setting that the file does not name.
ENVIRONMENT: Mapping[tuple[str, ...], str] = {
    ("3cx", "source"): "CDR_SOURCE",
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

READ_BESIDE_THE_FILE = ("AzureWebJobsStorage", "AZURE_CLIENT_ID")
"""How variables begin that the clients of Azure read themselves."""


def load_settings(path: Path, environment: Mapping[str, str], root: Path) -> Settings:
    """The settings of a file; paths in it are relative to ``root``.

    :raises InvalidConfig: with a line for every mistake in it
    """
    return parse_settings(_read(path), environment, root)


def parse_settings(text: str, environment: Mapping[str, str], root: Path = Path()) -> Settings:
    """The settings of a file's text, paths in it relative to ``root``; raises as load_settings does."""
    filled = fill_in(read_yaml(text), environment, may_be_secret)
    data = filled.data
    if not isinstance(data, dict):
        raise InvalidConfig(["the configuration file is empty or no mapping; it needs the sections 3cx and api"])
    _fill_from_environment(data, environment)
    refused = {**filled.refused, **dict(unresolved(data))}
    mistakes = [f"{name_of(path)}: {problem}" for path, problem in refused.items()]
    beside = (name for name, value in environment.items() if is_unresolved(value))
    mistakes += [f"{name}: {UNRESOLVED}" for name in beside if name.startswith(READ_BESIDE_THE_FILE)]
    try:
        settings = Settings.model_validate(data, context={"root": root})
    except ValidationError as exc:
        mistakes += mistakes_in(exc, data, variables=ENVIRONMENT, unset=filled.unset, told=refused)
        raise InvalidConfig(mistakes) from None
    if mistakes:
        raise InvalidConfig(mistakes)
    return settings


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:  # the latter: a name that cannot be one
        problem = exc.strerror if isinstance(exc, OSError) else exc
        raise InvalidConfig([f"{path.name}: the configuration file cannot be read: {problem}"]) from exc
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidConfig([f"{path.name}: more than the {MAX_FILE_BYTES} bytes that are allowed"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConfig([f"{path.name}: is not UTF-8 text"]) from None


def _fill_from_environment(data: dict[str, Plain], environment: Mapping[str, str]) -> None:
    for path, name in ENVIRONMENT.items():
        if value := environment.get(name):
            _put(data, path, value)


def _put(data: dict[str, Plain], path: tuple[str, ...], value: str) -> None:
    """Where nothing stands; a section that is something else than one is named as a mistake later."""
    section: Plain = data
    for key in path[:-1]:
        if not isinstance(section, dict):
            return
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
    if isinstance(section, dict) and section.get(path[-1]) is None:
        section[path[-1]] = value
