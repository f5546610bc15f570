"""The kinds of values that settings hold, each with its check; and what all sections of the file have in common."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone that this system knows") from None
    return name


_HOST = r"(\[[0-9A-Fa-f:.]+\]|[\w-]{1,63}(\.[\w-]{1,63})*)"


def http_url(url: str) -> str:
    if not re.fullmatch(rf"https?://{_HOST}(:[0-9]{{1,5}})?(/[^\s?#]*)?", url):
        raise ValueError("is not an http or https address without query")
    return url.rstrip("/")


MAX_EMAIL = 255
_ATOM, _LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[^\W_]+(-+[^\W_]+)*"


def email_address(address: str) -> str:
    """Not stricter than the Call Logger, and not laxer: it would refuse every call of the person."""
    if not re.fullmatch(rf"(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})+", address):
        raise ValueError("is not an e-mail address")
    return address


def _milliseconds_from_1000(value: Any) -> Any:
    """The earlier integration's API_TIMEOUT_MS is in milliseconds; no time-out in seconds is that large."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return number / 1000 if number >= 1000 else value  # noqa: PLR2004 - the bound that the docstring explains


def _fits_a_header(secret: SecretStr) -> SecretStr:
    """A line break, as files of secrets have at their end, would fail each request with the secret in the error."""
    if not re.fullmatch("[!-~]([ -~]*[!-~])?", secret.get_secret_value()):
        raise ValueError("is empty, or has a blank or line break at an end, or a character that no HTTP header takes")
    return secret


def call_id_template(template: str) -> str:
    if not re.fullmatch(r"[^{}]*((\{call_id\}|\{id\})[^{}]*)+", template):
        raise ValueError("must be made of {call_id} and {id}")
    return template


def _start_from(value: Any) -> Literal["beginning", "now"] | int | datetime:
    match value:
        case "beginning":
            return "beginning"
        case "now":
            return "now"
        case int() | datetime():
            return value
        case str() if re.fullmatch(r"-?\d{1,19}", value):
            return int(value)
        case str() if re.match(r"\d{4}-\d\d-\d\d", value):
            return datetime.fromisoformat(value)
    raise ValueError("is none of the allowed values")


_DURATION = "^([1-9][0-9]{0,5}) *(s|m|h|d|seconds?|minutes?|hours?|days?)$"


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(_DURATION, str(value).strip())
    if found is None:
        raise ValueError("is no number above 0 with a unit")
    return int(found[1]) * timedelta(**{_UNITS[found[2][0]]: 1})


_CLOCK_TIME = "^([01]?[0-9]|2[0-3]):[0-5][0-9]$"


def _clock_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(_CLOCK_TIME, value):
        raise ValueError("is no time of the form hh:mm")
    return value.zfill(len("08:00"))


def _existing_file(path: str, info: ValidationInfo) -> str:
    """A path is meant relative to the app's own folder, which the reader of the file hands in as context."""
    file = Path((info.context or {}).get("root", ".")) / path
    try:
        if file.is_file():
            return str(file.resolve())
    except OSError:
        pass
    raise ValueError("is no file that can be read")


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Duration = Annotated[
    timedelta, PlainValidator(_duration, json_schema_input_type=Annotated[str, Field(pattern=_DURATION)])
]
ClockTime = Annotated[
    time, BeforeValidator(_clock_time, json_schema_input_type=Annotated[str, Field(pattern=_CLOCK_TIME)])
]
ExistingFile = Annotated[str, AfterValidator(_existing_file)]
Seconds = Annotated[
    float,
    BeforeValidator(
        _milliseconds_from_1000,
        json_schema_input_type=Annotated[float, Field(ge=1, le=60)] | Annotated[float, Field(ge=1000, le=60_000)],
    ),
]
Zone = Annotated[str, AfterValidator(_zone)]
HttpUrl = Annotated[str, Field(json_schema_extra={"format": "uri"}), AfterValidator(http_url)]
Email = Annotated[
    str, Field(max_length=MAX_EMAIL, json_schema_extra={"format": "email"}), AfterValidator(email_address)
]
HeaderSecret = Annotated[SecretStr, AfterValidator(_fits_a_header)]
StartFrom = Annotated[
    Literal["beginning", "now"] | int | datetime, PlainValidator(_start_from, json_schema_input_type=str | int)
]
"""A naive date and time is meant in the database's own time zone."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)
