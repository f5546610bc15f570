"""What can be configured about business hours and call groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, LiteralString

from pydantic import (
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from shared.config.database import Database, Engine
from shared.config.types import ClockTime, Duration, ExistingFile, HttpUrl, Section, Zone, http_url

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MINUTES = 24 * 60
DAY = "a span with start and end, a list of spans, or null for closed"


class DayHours(Section):
    """A span of a day; the end is not part of it."""

    start: ClockTime = Field(description="hh:mm")
    overnight: bool = Field(False, description="true or false: true means that the end is on the next day")
    end: ClockTime = Field(description="hh:mm, after start; with overnight: true the next day's, not after start")

    @field_validator("end")
    @classmethod
    def _in_order(cls, value: time, info: ValidationInfo) -> time:
        start, overnight = info.data.get("start"), info.data.get("overnight", False)
        if start is not None and overnight and value > start:
            raise ValueError("is after start, so the span would be longer than a day")
        if start is not None and not overnight and value <= start:
            raise ValueError("is not after start; a span over midnight needs overnight: true")
        return value


def _kind_of_day(value: Any) -> str:
    return "(several)" if isinstance(value, list | tuple) else "(one)"


# The tags appear in pydantic's locations and not in the file; their brackets tell.
Day = (
    Annotated[
        Annotated[DayHours, Tag("(one)")] | Annotated[tuple[DayHours, ...], Tag("(several)")],
        Discriminator(_kind_of_day),
    ]
    | None
)
DayOrClosed = DayHours | tuple[DayHours, ...] | None


class Week(Section):
    """The hours of each weekday; a span belongs to the day on which it starts."""

    monday: Day = Field(None, description=DAY)
    tuesday: Day = Field(None, description=DAY)
    wednesday: Day = Field(None, description=DAY)
    thursday: Day = Field(None, description=DAY)
    friday: Day = Field(None, description=DAY)
    saturday: Day = Field(None, description=DAY)
    sunday: Day = Field(None, description=DAY)

    def spans(self, weekday: int) -> tuple[DayHours, ...]:
        """The spans that start on a weekday, Monday being 0."""
        return _spans(getattr(self, WEEKDAYS[weekday]))

    @field_validator(*WEEKDAYS)
    @classmethod
    def _no_overlap(cls, value: DayOrClosed, info: ValidationInfo) -> DayOrClosed:
        """With itself, the day before, and on Sunday with the Monday after; a wrong day is named on its own."""
        name = str(info.field_name)
        days, weekday = {**info.data, name: value}, WEEKDAYS.index(name)
        pairs = [(weekday - 1, weekday)] if weekday else []
        if weekday == len(WEEKDAYS) - 1:
            pairs.append((weekday, 0))
        if _overlap(_line(_spans(value), 0)):
            raise ValueError("two of its spans overlap")
        for first, second in pairs:
            one, other = (_spans(days.get(WEEKDAYS[day])) for day in (first, second))
            if _overlap(_line(one, 0) + _line(other, DAY_MINUTES)):
                raise ValueError(f"overlaps {WEEKDAYS[first if second == weekday else second]}, over midnight")
        return value


def _spans(day: DayOrClosed) -> tuple[DayHours, ...]:
    return () if day is None else day if isinstance(day, tuple) else (day,)


def _line(spans: tuple[DayHours, ...], first: int) -> list[tuple[int, int]]:
    """Starts and ends in minutes, of a day whose midnight is minute ``first``."""
    return [(first + _minutes(span.start), first + _minutes(span.end) + DAY_MINUTES * span.overnight) for span in spans]


def _overlap(line: list[tuple[int, int]]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in pairwise(sorted(line)))


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


class Holidays(Section):
    """Days without business hours."""

    country: str | None = Field(None, pattern="^[A-Z]{2}$", description="two capital letters, such as US")
    subdivision: str | None = Field(None, description="a state or region of the country, such as AK")
    dates: tuple[date, ...] = Field((), description="a list of days of one's own, such as 2026-12-24")

    @field_validator("country")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in _countries():
            raise ValueError("is no country whose holidays are known")
        return value

    @field_validator("subdivision")
    @classmethod
    def _part_of_country(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or "country" not in info.data:
            return value
        country = info.data["country"]
        if country is None:
            raise ValueError("needs country")
        known = _countries()[country]
        if value not in known:
            raise ValueError(f"is no subdivision of {country}; known: {', '.join(known)[:200]}")
        return value


def _countries() -> Mapping[str, list[str]]:
    """Every country whose holidays are known, with its subdivisions."""
    import holidays

    return holidays.list_supported_countries(include_aliases=True)


class BusinessHours(Week):
    timezone: Zone = Field("UTC", description="IANA time zone, for example America/Anchorage")
    holidays: Holidays = Field(Holidays(), description="country, subdivision, and dates of one's own")


class GroupHours(Week):
    """A group's own hours, in place of the common ones."""

    timezone: Zone | None = Field(None, description="IANA time zone; that of business_hours if not given")
    holidays: Holidays | None = Field(None, description="as in business_hours; those if not given")


class NoMembers(Section):
    """Groups are named on calls but not checked."""

    source: Literal["none"] = Field("none", description="none")


class StaticMembers(Section):
    source: Literal["static"] = Field(description="static: each monitored group lists its members")


class MemberDatabase(Database):
    SETTING: ClassVar[str] = "call_groups.members.database"

    engine: Engine = Field("postgresql", description="postgresql, mysql (MariaDB too), sqlserver or sqlite")


class DatabaseMembers(Section):
    source: Literal["database"] = Field(description="database: the phone system's own, or any with a SELECT for it")
    database: MemberDatabase = Field(description="how to get there")
    select: str = Field(
        "3cx-v20",
        min_length=1,
        description="name of a file in config/members without .sql, or the path of a file of your own",
    )


class XapiMembers(Section):
    source: Literal["xapi"] = Field(description="xapi: the REST API of 3CX V20")
    url: HttpUrl = Field(description="http(s) address of the phone system, such as https://pbx.example.com:5001")
    client_id: str = Field(description="the API client's id", min_length=1)
    client_secret: SecretStr = Field(description="its secret")
    ca_file: ExistingFile | None = Field(None, description="a file with the certificates to trust, for a private CA")


Members = Annotated[NoMembers | StaticMembers | DatabaseMembers | XapiMembers, Field(discriminator="source")]


class Notify(Section):
    """A webhook that is told of alerts."""

    type: Literal["teams", "slack", "json"] = Field(description="teams, slack or json")
    url: SecretStr = Field(description="the webhook's http(s) address")

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: SecretStr) -> SecretStr:
        try:
            http_url(value.get_secret_value().partition("?")[0])
        except ValueError:
            raise ValueError("is no http or https address") from None
        return value


class MonitoredGroup(Section):
    id: str = Field(description="the group's number in the phone system", min_length=1, max_length=100)
    name: str = Field("", description="what people call it", max_length=255)
    members: tuple[str, ...] | None = Field(None, description="a list of extensions, for members.source static")
    business_hours: GroupHours | None = Field(None, description="hours of its own, in place of the common ones")


class CallGroups(Section):
    alert_check_interval_minutes: int = Field(5, ge=1, le=60, description="1 to 60 minutes")
    grace_minutes: int = Field(0, ge=0, le=1440, description="0 to 1440: how long a group may be empty before an alert")
    unknown_after: Duration = Field(
        timedelta(minutes=15), description="such as 15 minutes: how long nothing may be known before an alert says so"
    )
    remind_after: Duration | None = Field(None, description="such as 1 hour: when webhooks are told again; or null")
    members: Members = Field(NoMembers(), description="source: none, static, database or xapi")
    notify: tuple[Notify, ...] = Field((), description="a list of webhooks, each with type and url")
    monitored_groups: tuple[MonitoredGroup, ...] = Field((), description="a list of groups, each with id and name")

    @field_validator("monitored_groups", mode="wrap")
    @classmethod
    def _fit_together(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Names what is wrong between groups together with what is wrong within them."""
        is_static = isinstance(info.data.get("members"), StaticMembers)
        mistakes = list(_mistakes_between(value, is_static=is_static)) if isinstance(value, list) else []
        try:
            groups = handler(value)
        except ValidationError as exc:
            mistakes += [_again(error) for error in exc.errors(include_url=False)]
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return groups


def _mistakes_between(groups: list[Any], *, is_static: bool) -> Iterator[InitErrorDetails]:
    seen = set()
    for place, group in enumerate(groups):
        if not isinstance(group, dict):
            continue
        if "id" in group and group["id"] in seen:
            yield _mistake(place, "id", group["id"], "stands twice")
        seen.add(group.get("id"))
        if is_static and group.get("members") is None:
            yield _mistake(place, "members", None, "missing, members.source static needs it")


def _mistake(place: int, key: str, value: Any, message: LiteralString) -> InitErrorDetails:
    return {"type": PydanticCustomError("group", message), "loc": (place, key), "input": value}


def _again(error: ErrorDetails) -> InitErrorDetails:
    return {"type": error["type"], "loc": error["loc"], "input": error["input"], "ctx": error.get("ctx", {})}
