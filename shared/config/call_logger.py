"""What can be configured about the Call Logger: where it is, how to log in, and how patient to be."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shared.config.types import CaFile, Duration, HttpUrl, Section, check_ends

OWN_HEADERS = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding")
)
"""Which the request could not do without, or with another value."""


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


def _bare_token(secret: SecretStr) -> SecretStr:
    token = _fits_a_header(secret).get_secret_value()
    check_ends(token)
    if re.match(r"(authorization: *)?bearer +", token, re.IGNORECASE):
        raise ValueError("begins with a word that is put before it; write the token alone")
    return secret


def _free_header(name: str) -> str:
    if name.lower() in OWN_HEADERS:
        raise ValueError("is a header that each request has already")
    return name


def _audience(audience: str) -> str:
    if re.search(r"\s|/\.default$", audience):
        raise ValueError("has a blank in it, or .default at its end, which is added to it")
    return audience


Seconds = Annotated[
    float,
    BeforeValidator(
        _milliseconds_from_1000,
        json_schema_input_type=Annotated[float, Field(ge=1, le=60)] | Annotated[float, Field(ge=1000, le=60_000)],
    ),
]
HeaderSecret = Annotated[SecretStr, AfterValidator(_fits_a_header)]


class NoAuth(Section):
    type: Literal["none"] = Field("none", description="none")


class BearerAuth(Section):
    type: Literal["bearer"] = Field(description="bearer")
    token: Annotated[SecretStr, AfterValidator(_bare_token)] = Field(
        description="the token, sent as Authorization: Bearer"
    )


class ApiKeyAuth(Section):
    type: Literal["api_key"] = Field(description="api_key")
    header: Annotated[str, AfterValidator(_free_header)] = Field(
        "X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="name of the header that carries the key"
    )
    key: HeaderSecret = Field(description="the key")


class EntraAuth(Section):
    type: Literal["entra"] = Field(description="entra")
    audience: Annotated[str, AfterValidator(_audience)] = Field(
        description="the API's application id URI, for example api://call-logger", min_length=1
    )


ApiAuth = Annotated[NoAuth | BearerAuth | ApiKeyAuth | EntraAuth, Field(discriminator="type")]


class Api(Section):
    """The Call Logger."""

    base_url: HttpUrl = Field(
        description="http(s) address up to and with /api, for example https://calls.example.com/api"
    )
    timeout_seconds: Seconds = Field(
        30, ge=1, le=60, description="1 to 60 seconds for one request; numbers from 1000 are milliseconds"
    )
    retry_attempts: int = Field(
        3, ge=1, le=10, description="1 to 10 tries in a row before the call goes back to the queue"
    )
    give_up_after: Duration = Field(
        timedelta(days=7),
        description="such as 7 days: when a call that the API cannot take is given up, and recorded as rejected",
    )
    ca_file: CaFile | None = Field(None, description="a file with the certificates to trust, for a private CA")
    auth: ApiAuth = Field(NoAuth(), description="type: none, bearer, api_key or entra")
