"""The kinds of values that settings hold, each with its check; and what all sections of the file have in common."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo


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


_ATOM, _LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[^\W_]+(-+[^\W_]+)*"


def _email(address: str) -> str:
    """Not stricter than the Call Logger, and not laxer: it would refuse every call of the person."""
    if not re.fullmatch(rf"(?=[^@]{{1,64}}@){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})+", address):
        raise ValueError("is not an e-mail address")
    return address


_DURATION = "^([1-9][0-9]{0,5}) *(s|m|h|d|seconds?|minutes?|hours?|days?)$"


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(_DURATION, str(value).strip())
    if found is None:
        raise ValueError("is no number above 0 with a unit")
    return int(found[1]) * timedelta(**{_UNITS[found[2][0]]: 1})


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
ExistingFile = Annotated[str, AfterValidator(_existing_file)]
Zone = Annotated[str, AfterValidator(_zone)]
HttpUrl = Annotated[str, Field(json_schema_extra={"format": "uri"}), AfterValidator(http_url)]
Email = Annotated[str, Field(max_length=255, json_schema_extra={"format": "email"}), AfterValidator(_email)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)
