"""What can be configured: typed, frozen settings, validated all at once.

The types are the single source for three things: the validation, the JSON Schema that stands beside the configuration
file, and the sentence "allowed: ..." of every mistake (each field's description).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from shared.config.database import Database
from shared.config.groups import BusinessHours, CallGroups
from shared.config.types import (
    Duration,
    Email,
    ExistingFile,
    HeaderSecret,
    HttpUrl,
    Seconds,
    Section,
    StartFrom,
    call_id_template,
)


class CdrDatabase(Database):
    """Where the call detail records are."""


class ThreeCx(Section):
    """The phone system."""

    integration_method: Literal["cdr_polling"] = Field("cdr_polling", description="cdr_polling")
    polling_interval_seconds: int = Field(
        30,
        ge=5,
        le=3600,
        description="5 to 3600 seconds; polled at the next shorter interval that divides a minute or hour",
    )
    start_from: StartFrom = Field(
        "beginning",
        description="beginning, now, an id (rows after it) or a date such as 2026-11-01; for the very first poll",
    )
    schema_: str = Field(
        "calllog",
        alias="schema",
        min_length=1,
        description="name of a file in config/schemas without .sql, or the path of a file of your own",
    )
    gap_wait: Duration = Field(
        timedelta(minutes=15), description="such as 15 minutes: how long ids that were skipped may still appear"
    )
    open_row_wait: Duration = Field(
        timedelta(hours=24), description="such as 24 hours: when a row without an end is given up"
    )
    cdr_database: CdrDatabase = Field(description="where the call detail records are, and how to get there")


class NoAuth(Section):
    type: Literal["none"] = Field("none", description="none")


class BearerAuth(Section):
    type: Literal["bearer"] = Field(description="bearer")
    token: HeaderSecret = Field(description="the token, sent as Authorization: Bearer")


class ApiKeyAuth(Section):
    type: Literal["api_key"] = Field(description="api_key")
    header: str = Field("X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="name of the header that carries the key")
    key: HeaderSecret = Field(description="the key")


class EntraAuth(Section):
    type: Literal["entra"] = Field(description="entra")
    audience: str = Field(description="the API's application id URI, for example api://call-logger", min_length=1)


ApiAuth = Annotated[NoAuth | BearerAuth | ApiKeyAuth | EntraAuth, Field(discriminator="type")]


class Api(Section):
    """The Call Logger."""

    base_url: HttpUrl = Field(
        description="http(s) address up to and with /api, for example https://calls.example.com/api"
    )
    timeout_seconds: Seconds = Field(
        30, ge=1, le=60, description="1 to 60 seconds for one request; numbers from 1000 are milliseconds"
    )
    retry_attempts: int = Field(3, ge=1, le=10, description="1 to 10 tries before the call goes back to the queue")
    give_up_after: Duration = Field(
        timedelta(days=7), description="such as 7 days: when a call that the API cannot take is given up"
    )
    ca_file: ExistingFile | None = Field(None, description="a file with the certificates to trust, for a private CA")
    auth: ApiAuth = Field(NoAuth(), description="type: none, bearer, api_key or entra")


class InternalNumberDigits(Section):
    min: int = Field(2, ge=1, le=10, description="1 to 10")
    max: int = Field(5, ge=1, le=10, description="1 to 10, not below min")

    @field_validator("max")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", value):
            raise ValueError("is below min")
        return value


class Calls(Section):
    """How a row of the phone system becomes a call in the Call Logger."""

    include_internal: bool = Field(True, description="true or false: log calls between extensions")
    include_unanswered: bool = Field(False, description="true or false: log calls that nobody answered")
    internal_number_digits: InternalNumberDigits = Field(
        InternalNumberDigits(), description="how many digits an extension's number has: min and max"
    )
    phone_format: Literal["digits", "e164", "raw"] = Field("digits", description="digits, e164 or raw")
    default_region: str | None = Field(
        None,
        pattern="^[A-Z]{2}$",
        description="two capital letters, for e164: the country of numbers without +, such as US",
    )
    anonymous_number: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        "anonymous", min_length=1, max_length=50, description="1 to 50 characters, sent where a caller has no number"
    )
    unmapped_extensions: Literal["keep", "skip", "submit_without_email"] = Field(
        "keep", description="keep (in the ledger, for a replay), skip or submit_without_email"
    )
    pbx_call_id: Annotated[str, AfterValidator(call_id_template)] = Field(
        "{call_id}-{id}", description="a template of {call_id} and {id}: the call's unique key at the Call Logger"
    )

    @field_validator("default_region")
    @classmethod
    def _e164_needs_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("phone_format") == "e164":
            raise ValueError("missing, phone_format e164 needs it")
        return value

    max_rejections_per_minute: int = Field(
        60, ge=1, le=100_000, description="1 to 100000: with more, a worker stops rejecting and puts calls back instead"
    )


class Ledger(Section):
    """How long the records of calls are kept."""

    keep_days: int = Field(90, ge=7, le=3650, description="7 to 3650 days, for calls that are submitted or skipped")
    keep_rejected_days: int = Field(365, ge=7, le=3650, description="7 to 3650 days, for calls that are rejected")


class Settings(Section):
    """The whole configuration file."""

    three_cx: ThreeCx = Field(alias="3cx", description="the phone system")
    api: Api = Field(description="the Call Logger")
    calls: Calls = Field(Calls(), description="how rows become calls")
    ledger: Ledger = Field(Ledger(), description="how long records are kept")
    business_hours: BusinessHours = Field(BusinessHours(), description="time zone and hours of each weekday")
    call_groups: CallGroups = Field(CallGroups(), description="queues and ring groups")
    extension_mapping: dict[str, Email] = Field(
        default_factory=dict, description="extension: e-mail address; extensions are text, leading zeros count"
    )


def start_moment(value: datetime, zone: str) -> datetime:
    """The configured start as an aware UTC moment; without an offset it is meant in the database's time zone."""
    return (value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
