"""What can be configured: typed, frozen settings, validated all at once.

The types are the single source for three things: the validation, the JSON Schema that stands beside the configuration
file, and the sentence "allowed: ..." of every mistake (each field's description).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
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
    field_validator,
)

Engine = Literal["sqlserver", "mysql", "sqlite"]
DEFAULT_PORTS: Mapping[str, int] = {"sqlserver": 1433, "mysql": 3306}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone that this system knows") from None
    return name


def _http_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise ValueError("is not an http or https address without query")
    return url.rstrip("/")


_ATOM, _LABEL = r"[\w!#$%&'*+/=?^`{|}~-]+", r"[^\W_]+(-+[^\W_]+)*"


def _email(address: str) -> str:
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


def _call_id_template(template: str) -> str:
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
HttpUrl = Annotated[str, Field(json_schema_extra={"format": "uri"}), AfterValidator(_http_url)]
Email = Annotated[str, Field(max_length=255, json_schema_extra={"format": "email"}), AfterValidator(_email)]
StartFrom = Annotated[
    Literal["beginning", "now"] | int | datetime, PlainValidator(_start_from, json_schema_input_type=str | int)
]
"""A naive date and time is meant in the database's own time zone."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


class CdrDatabase(_Section):
    """Where the call detail records are, and how to get there."""

    engine: Engine = Field("sqlserver", description="sqlserver, mysql (MariaDB too) or sqlite")
    host: str | None = Field(None, description="host name or address; not for sqlite", min_length=1)
    port: int | None = Field(None, ge=1, le=65535, description="1 to 65535; default 1433 (sqlserver), 3306 (mysql)")
    database: str = Field(description="name of the database; for sqlite the path of the file", min_length=1)
    username: str | None = Field(None, description="a login with nothing but SELECT; not for sqlite", min_length=1)
    password: SecretStr | None = Field(None, description="its password; not for sqlite")
    timezone: Zone = Field("UTC", description="IANA time zone of timestamps without offset, for example Europe/Berlin")
    encrypt: bool = Field(True, description="true or false: TLS to the database")
    trust_server_certificate: bool = Field(
        False, description="true or false: true takes any certificate, for a server with a self-signed one"
    )
    ca_file: ExistingFile | None = Field(
        None, description="for mysql: a file with the certificates to trust; for sqlserver use the system's own"
    )
    statement_timeout_seconds: int = Field(20, ge=1, le=45, description="1 to 45 seconds for one SELECT")

    @field_validator("host", "username", "password")
    @classmethod
    def _a_server_needs_it(cls, value: Any, info: ValidationInfo) -> Any:
        engine = info.data.get("engine", "sqlite")
        if value is None and engine != "sqlite":
            raise ValueError(f"missing, engine {engine} needs it")
        return value

    @field_validator("ca_file")
    @classmethod
    def _only_mysql_takes_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("engine", "mysql") != "mysql":
            raise ValueError("cannot be used with this engine")
        return value

    @property
    def effective_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.engine]


class ThreeCx(_Section):
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
    cdr_database: CdrDatabase


class NoAuth(_Section):
    type: Literal["none"] = Field("none", description="none")


class BearerAuth(_Section):
    type: Literal["bearer"] = Field(description="bearer")
    token: SecretStr = Field(description="the token, sent as Authorization: Bearer")


class ApiKeyAuth(_Section):
    type: Literal["api_key"] = Field(description="api_key")
    header: str = Field("X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="name of the header that carries the key")
    key: SecretStr = Field(description="the key")


class EntraAuth(_Section):
    type: Literal["entra"] = Field(description="entra")
    audience: str = Field(description="the API's application id URI, for example api://call-logger", min_length=1)


ApiAuth = Annotated[NoAuth | BearerAuth | ApiKeyAuth | EntraAuth, Field(discriminator="type")]


class Api(_Section):
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


class InternalNumberDigits(_Section):
    min: int = Field(2, ge=1, le=10, description="1 to 10")
    max: int = Field(5, ge=1, le=10, description="1 to 10, not below min")

    @field_validator("max")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", value):
            raise ValueError("is below min")
        return value


class Calls(_Section):
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
    anonymous_number: str = Field(
        "anonymous", min_length=1, max_length=50, description="1 to 50 characters, sent where a caller has no number"
    )
    unmapped_extensions: Literal["keep", "skip", "submit_without_email"] = Field(
        "keep", description="keep (in the ledger, for a replay), skip or submit_without_email"
    )
    pbx_call_id: Annotated[str, AfterValidator(_call_id_template)] = Field(
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


class Ledger(_Section):
    """How long the records of calls are kept."""

    keep_days: int = Field(90, ge=7, le=3650, description="7 to 3650 days, for calls that are submitted or skipped")
    keep_rejected_days: int = Field(365, ge=7, le=3650, description="7 to 3650 days, for calls that are rejected")


class DayHours(_Section):
    start: ClockTime = Field(description="hh:mm")
    end: ClockTime = Field(description="hh:mm, after start; not part of the hours")

    @field_validator("end")
    @classmethod
    def _in_order(cls, value: time, info: ValidationInfo) -> time:
        if value <= info.data.get("start", time()):
            raise ValueError("is not after start")
        return value


class BusinessHours(_Section):
    """One span a day; a day without one is closed."""

    timezone: Zone = Field("UTC", description="IANA time zone, for example America/Anchorage")
    monday: DayHours | None = Field(None, description="start and end, or null for closed")
    tuesday: DayHours | None = Field(None, description="start and end, or null for closed")
    wednesday: DayHours | None = Field(None, description="start and end, or null for closed")
    thursday: DayHours | None = Field(None, description="start and end, or null for closed")
    friday: DayHours | None = Field(None, description="start and end, or null for closed")
    saturday: DayHours | None = Field(None, description="start and end, or null for closed")
    sunday: DayHours | None = Field(None, description="start and end, or null for closed")

    def is_open(self, now: datetime) -> bool:
        """Whether an aware moment lies within the hours; the end of a span is exclusive."""
        local = now.astimezone(ZoneInfo(self.timezone))
        hours: DayHours | None = getattr(self, WEEKDAYS[local.weekday()])
        return hours is not None and hours.start <= local.time() < hours.end


class MonitoredGroup(_Section):
    id: str = Field(description="the group's number in the phone system", min_length=1, max_length=100)
    name: str = Field("", description="what people call it", max_length=255)


class CallGroups(_Section):
    alert_check_interval_minutes: int = Field(5, ge=1, le=60, description="1 to 60 minutes")
    monitored_groups: tuple[MonitoredGroup, ...] = Field((), description="a list of id and name")


class Settings(_Section):
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
