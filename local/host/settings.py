"""What `host.json` and `local.settings.json` say, read as the Azure Functions host and Core Tools read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_TIME_SPAN = re.compile(r"(\d{1,2}):([0-5]?\d):([0-5]?\d)(\.\d{1,7})?")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""As escapes of JSON may be, and no variable of an environment."""


class HostError(Exception):
    """A reason not to start, in one line for the person at the terminal."""


@dataclass(frozen=True)
class QueueSettings:
    """`extensions.queues` of host.json: one set for every queue of the app."""

    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout: timedelta
    max_polling_interval: timedelta
    is_base64: bool


@dataclass(frozen=True)
class HostSettings:
    queues: QueueSettings
    route_prefix: str


def read_host_settings(script_root: Path) -> HostSettings:
    """Raises HostError where host.json is missing, no JSON, or holds a value the host would not start with."""
    path = script_root / "host.json"
    if not path.is_file():
        raise HostError(f"{path} is missing: this is no function app")
    extensions = _section(_read_json(path), "extensions")
    prefix = _section(extensions, "http").get("routePrefix", "api")
    if not isinstance(prefix, str):
        raise HostError(f"host.json: extensions.http.routePrefix is {prefix!r}; it must be text")
    return HostSettings(_queue_settings(_section(extensions, "queues")), prefix.strip("/"))


def apply_local_settings(script_root: Path, environ: MutableMapping[str, str]) -> None:
    """Put `Values` of local.settings.json, where there is one, into `environ`; what is already there wins."""
    path = script_root / "local.settings.json"
    if not path.is_file():
        return
    document = _read_json(path)
    if document.get("IsEncrypted"):
        raise HostError("local.settings.json is encrypted: run `func settings decrypt` first")
    if "Values" not in document and any(name.isupper() for name in document):
        raise HostError('local.settings.json: the settings must stand within "Values": {...}')
    for name, value in _section(document, "Values").items():
        if not isinstance(value, str):
            raise HostError(f"local.settings.json: Values.{name} must be text, in quotes")
        if not name or "=" in name or _NO_TEXT.search(name + value):
            raise HostError(f"local.settings.json: Values.{ascii(name)[1:-1]} is nothing that an environment takes")
        environ.setdefault(name, value)


def _queue_settings(section: Mapping[str, Any]) -> QueueSettings:
    batch_size = _whole_number(section, "batchSize", 16, low=1, high=32)
    encoding = section.get("messageEncoding", "base64")
    if str(encoding).lower() not in {"base64", "none"}:
        raise _refusal("messageEncoding", encoding, "base64 or none")
    return QueueSettings(
        batch_size=batch_size,
        new_batch_threshold=_whole_number(section, "newBatchThreshold", batch_size // 2, low=0),
        max_dequeue_count=_whole_number(section, "maxDequeueCount", 5, low=1),
        visibility_timeout=_time_span(section, "visibilityTimeout", "00:00:00", low=timedelta(0)),
        max_polling_interval=_time_span(section, "maxPollingInterval", "00:01:00", low=timedelta(milliseconds=100)),
        is_base64=str(encoding).lower() == "base64",
    )


def _whole_number(section: Mapping[str, Any], key: str, default: int, *, low: int, high: int | None = None) -> int:
    value = section.get(key, default)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or value < low or (high is not None and value > high):
        raise _refusal(key, value, f"a whole number, {low} or more" + (f", at most {high}" if high else ""))
    return int(value)


def _time_span(section: Mapping[str, Any], key: str, default: str, *, low: timedelta) -> timedelta:
    value = section.get(key, default)
    match = _TIME_SPAN.fullmatch(str(value))
    hours = int(match[1]) if match else 24
    if match is None or hours > 23:  # noqa: PLR2004 - the hours of a day
        raise _refusal(key, value, 'a time span, "hh:mm:ss"')
    span = timedelta(hours=hours, minutes=int(match[2]), seconds=int(match[3]) + float(match[4] or 0))
    if span < low:
        raise _refusal(key, value, f"{low.total_seconds():g} s or more")
    return span


def _refusal(key: str, value: object, allowed: str) -> HostError:
    return HostError(f"host.json: extensions.queues.{key} is {value!r}; it must be {allowed}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as exc:  # as Windows' own programs write it
        raise HostError(f"{path.name} is not UTF-8 text, but perhaps UTF-16; save it as UTF-8") from exc
    except ValueError as exc:
        raise HostError(f"{path.name} is no valid JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise HostError(f"{path.name} must hold a JSON object")
    return document


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name) or {}
    if not isinstance(section, dict):
        raise HostError(f"{name!r} must be a JSON object")
    return section
