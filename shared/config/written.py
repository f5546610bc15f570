"""The configuration file as it is written: its text read once, taken apart as YAML, with nothing judged yet.

It knows no types of settings, which take longer to load than the rest of the app at its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.config.yaml_text import Plain, read_yaml
from shared.errors import InvalidConfig

MAX_FILE_BYTES = 256_000
LONGEST_NAME = 100
WHERE = "it is config/3cx-config.yml, or what the app setting CONFIG_FILE names, seen from the app's folder"

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


def read_file(path: Path) -> Plain:
    """:raises InvalidConfig: it cannot be read, or is no YAML as the file uses it"""
    return read_yaml(_read(path))


def _read(path: Path) -> str:
    name = "".join(char if char.isprintable() else repr(char)[1:-1] for char in path.name[:LONGEST_NAME])
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as exc:  # the latter: a name that cannot be one
        problem = exc.strerror if isinstance(exc, OSError) else exc
        raise InvalidConfig([f"{name}: the configuration file cannot be read: {problem}; {WHERE}"]) from exc
    if len(raw) > MAX_FILE_BYTES:
        raise InvalidConfig([f"{name}: more than the {MAX_FILE_BYTES} bytes that are allowed"])
    if b"\0" in raw:  # and nearly every second byte, as Windows' own programs write it
        raise InvalidConfig([f"{name}: is not UTF-8 text, but perhaps UTF-16; save it as UTF-8"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidConfig([f"{name}: is not UTF-8 text; save it as such"]) from None
