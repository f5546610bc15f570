"""What can be configured about the phone system: how to get to its database, and what to read of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from shared.config.intervals import POLL_SECONDS
from shared.config.select_files import OF_LEGS, OF_ROWS, known_selects, select_file
from shared.config.types import CaFile, Duration, Host, HttpUrl, Name, Secret, Section, Zone, host_for

Engine = Literal["sqlserver", "mysql", "postgresql", "sqlite"]
DEFAULT_PORTS: Mapping[str, int] = {"sqlserver": 1433, "mysql": 3306, "postgresql": 5432}
HIGHEST_ID = 2**63 - 1
YEARS = range(1900, 2200)
"""In which eight digits are taken for a day."""
TAKE_A_CA_FILE = ("mysql", "postgresql")
FOLDERS: Mapping[str, tuple[str, ...]] = {"calllog": (OF_ROWS,), "v20": (OF_LEGS,), "auto": (OF_ROWS, OF_LEGS)}
"""Of the SELECTs of the sources that take one."""
OF_ALL = "calllog"
"""Which files of old name, whatever their source is now."""


class Database(Section):
    """A server, or for sqlite a file."""

    SETTING: ClassVar[str]
    """Where it stands in the configuration file."""

    engine: Engine = Field("sqlserver", description="sqlserver, mysql (MariaDB too), postgresql or sqlite")
    host: Host | None = Field(None, description="name or address of the server; not for sqlite")
    port: int | None = Field(
        None, ge=1, le=65535, description="1 to 65535; if not given 1433 (sqlserver), 3306 (mysql) or 5432 (postgresql)"
    )
    database: Name = Field(
        description="name of the database; for sqlite the path of its file, which is all that it needs"
    )
    username: Name | None = Field(None, description="a login with nothing but SELECT; not for sqlite")
    password: Secret | None = Field(None, description="its password; not for sqlite")
    timezone: Zone = Field(
        "UTC",
        description="IANA time zone of timestamps without an offset, for example Europe/Berlin; TIMESTAMP of mysql, "
        "timestamptz of postgresql and datetimeoffset of sqlserver are moments, whatever it says",
    )
    encrypt: bool = Field(True, description="true or false: TLS to the server")
    trust_server_certificate: bool = Field(
        False,
        description="true or false: true takes any certificate, such as a self-signed one; false verifies it, "
        "for which sqlserver needs Microsoft's ODBC driver, because FreeTDS cannot",
    )
    ca_file: CaFile | None = Field(
        None,
        description="for mysql and postgresql: a file with the certificates to trust, where they are verified; "
        "sqlserver takes the system's own, or those of the file that the environment variable SSL_CERT_FILE names",
    )
    statement_timeout_seconds: int = Field(20, ge=1, le=45, description="1 to 45 seconds for one SELECT")

    @field_validator("host", "username", "password")
    @classmethod
    def _a_server_needs_it(cls, value: Any, info: ValidationInfo) -> Any:
        engine = info.data.get("engine", "sqlite")
        if value is None and engine != "sqlite":
            raise ValueError(f"missing, engine {engine} needs it")
        return value

    @field_validator("host")
    @classmethod
    def _the_engine_finds_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        engine = info.data.get("engine", "sqlite")
        return value if value is None or engine == "sqlite" else host_for(engine, value)

    @field_validator("ca_file")
    @classmethod
    def _some_take_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("engine", "mysql") not in TAKE_A_CA_FILE:
            raise ValueError("cannot be used with this engine")
        return value

    @field_validator("ca_file")
    @classmethod
    def _it_is_looked_at(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("trust_server_certificate"):
            raise ValueError(
                "is never looked at, because trust_server_certificate: true takes any; leave one of them out"
            )
        if value is not None and not info.data.get("encrypt", True):
            raise ValueError("is never looked at, because of encrypt: false; leave one of them out")
        return value

    @property
    def effective_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.engine]


class CdrDatabase(Database):
    """Where the call detail records are."""

    SETTING: ClassVar[str] = "3cx.cdr_database"


Start = Literal["beginning", "now"] | int | datetime


def start_in(value: Any) -> Start:
    """Where reading is to begin, from text. A date and time may be naive, see start_moment.

    :raises ValueError: it is none, in words that a person can act on
    """
    match value:
        case "beginning":
            return "beginning"
        case "now":
            return "now"
        case str() if re.fullmatch(r"-?[0-9]+", value):
            return _row_id(value)
        case str() if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return _start_date(datetime.fromisoformat(value))
    raise ValueError("is none of the allowed values")


def _row_id(digits: str) -> int:
    if day := _as_day(digits):
        raise ValueError(f"is it a day or an id? write {day:%Y-%m-%d} for a day, 0{digits} for the id")
    if len(digits.lstrip("-0")) > len(str(HIGHEST_ID)) or abs(number := int(digits)) > HIGHEST_ID:
        raise ValueError(f"is no id: the highest is {HIGHEST_ID}")
    return number


def _as_day(digits: str) -> datetime | None:
    """Eight digits that are a day in one of the usual orders, also with a time after them."""
    for form in ("%Y%m%d", "%d%m%Y", "%m%d%Y", "%Y%m%d%H%M", "%Y%m%d%H%M%S"):
        try:
            day = datetime.strptime(digits, form)  # noqa: DTZ007 - only its date is shown
        except ValueError:
            continue
        if day.year in YEARS and len(digits) == len(day.strftime(form)):
            return day
    return None


def _start_date(moment: datetime) -> datetime:
    """In any time zone."""
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError("is at the end of the calendar")
    return moment


StartFrom = Annotated[Start, PlainValidator(start_in, json_schema_input_type=str | int)]
"""A naive date and time is meant in the database's own time zone."""


class Xapi(Section):
    """The REST API of 3CX V20. It knows one token at a time, so no other tool may use this client."""

    url: HttpUrl = Field(description="http(s) address of the phone system, such as https://pbx.example.com:5001")
    client_id: Name = Field(description="the API client's id")
    client_secret: Secret = Field(description="its secret", min_length=1)
    ca_file: CaFile | None = Field(None, description="a file with the certificates to trust, for a private CA")


class ThreeCx(Section):
    """The phone system."""

    integration_method: Literal["cdr_polling"] = Field("cdr_polling", description="cdr_polling, the only one")
    polling_interval_seconds: int = Field(
        POLL_SECONDS.usual,
        ge=POLL_SECONDS.least,
        le=POLL_SECONDS.most,
        description="5 to 3600 seconds; polled at the next shorter interval that divides a minute or an hour",
    )
    start_from: StartFrom = Field(
        "beginning",
        description="beginning, now, an id (rows after it) or a date such as 2026-11-01; for the very first poll",
    )
    source: Literal["calllog", "v20", "v18", "xapi", "auto"] = Field(
        "calllog",
        description="calllog (each row of a table is a call), v20 (cdroutput, of V20 Update 6 and later), v18 "
        "(the cl_ tables, of V16 to V20 Update 5), xapi (V20's REST API) or auto (whichever of these tables is there)",
    )
    replica_delay: Duration | None = Field(
        None,
        description="such as 5 minutes, for v20: the schedule of the Data Connector that writes this replica; if not "
        "given, it is the phone system's own database",
    )
    xapi: Xapi | None = Field(None, description="V20's REST API: for source xapi, and for what others leave to it")
    schema_: str | None = Field(
        None,
        alias="schema",
        min_length=1,
        description="the SELECT: name of a file in config/schemas (for v20 in config/legs) without .sql, or the path "
        "of a file of your own; if not given, the one that belongs to the source",
    )
    gap_wait: Duration = Field(
        timedelta(minutes=15),
        description="such as 15 minutes: how long missing ids may still appear, that is, the phone system's longest "
        "transaction",
    )
    open_row_wait: Duration = Field(
        timedelta(hours=24), description="such as 24 hours: when a row without an end is given up"
    )
    late_leg_wait: Duration = Field(
        timedelta(minutes=15),
        description="such as 15 minutes, for v20: how late a leg may be written, or be told to belong to another call",
    )
    settle_seconds: int = Field(
        0,
        ge=0,
        le=3600,
        description="0 to 3600 seconds: rows that ended less than so long ago count as not ended yet, for tables "
        "(calllog, v18) that are written in steps",
    )
    cdr_database: CdrDatabase | None = Field(
        None, description="where the call detail records are, and how to get there; not for source xapi"
    )

    @field_validator("replica_delay", "settle_seconds")
    @classmethod
    def _its_source_minds_it(cls, value: Any, info: ValidationInfo) -> Any:
        source = info.data.get("source", "auto")
        sources = {"replica_delay": ("v20", "auto"), "settle_seconds": ("calllog", "v18", "auto")}
        if value and source not in sources[str(info.field_name)]:
            raise ValueError(f"has no effect on source {source}; leave it out, or set source")
        return value

    @field_validator("schema_")
    @classmethod
    def _its_source_reads_it(cls, value: str | None, info: ValidationInfo) -> str | None:
        source, root = info.data.get("source"), (info.context or {}).get("root", Path())
        if value in (None, OF_ALL) or source is None:
            return value
        folders = FOLDERS.get(source, ())
        if not folders:
            raise ValueError(f"has no effect on source {source}; leave it out, or set source")
        if not any(_is_file(select_file(value, root, folder)) for folder in folders):
            raise ValueError(f"is no file that is there; known names: {known_selects(root, *folders)}")
        return value

    @field_validator("cdr_database", mode="before")
    @classmethod
    def _one_that_names_nothing_is_none(cls, value: Any, info: ValidationInfo) -> Any:
        """The usual file has a section whose variables an app without a database leaves empty."""
        if info.data.get("source") != "xapi" or not isinstance(value, dict):
            return value
        return value if value.get("host") or value.get("database") else None

    @field_validator("cdr_database")
    @classmethod
    def _a_source_needs_it(cls, value: CdrDatabase | None, info: ValidationInfo) -> CdrDatabase | None:
        source = info.data.get("source")
        if value is None and source not in (None, "xapi"):
            raise ValueError(f"missing, source {source} needs it")
        return value

    @field_validator("xapi")
    @classmethod
    def _its_source_needs_it(cls, value: Xapi | None, info: ValidationInfo) -> Xapi | None:
        if value is None and info.data.get("source") == "xapi":
            raise ValueError("missing, source xapi needs it")
        return value

    @property
    def database(self) -> CdrDatabase:
        """Of a source that has one."""
        if self.cdr_database is None:
            raise LookupError(f"source {self.source} has no database")
        return self.cdr_database

    @property
    def timezone(self) -> str:
        """Of timestamps without an offset."""
        return self.cdr_database.timezone if self.cdr_database else "UTC"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that none can have
        return False


def start_moment(value: datetime, zone: str) -> datetime:
    """The configured start as an aware UTC moment; without an offset it is meant in the database's time zone."""
    return (value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
