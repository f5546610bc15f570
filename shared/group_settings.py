"""What can be configured about business hours and call groups."""

from __future__ import annotations

from datetime import date, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, SecretStr, Tag, ValidationInfo, field_validator, model_validator

from shared.database_settings import Database, Engine
from shared.setting_types import ClockTime, Duration, ExistingFile, HttpUrl, Section, Zone, http_url

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
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
        day: DayHours | tuple[DayHours, ...] | None = getattr(self, WEEKDAYS[weekday])
        return () if day is None else day if isinstance(day, tuple) else (day,)

    @model_validator(mode="after")
    def _no_overlap(self) -> Week:
        """Lays the week's spans on one line of minutes; the last may reach into the first day again."""
        line = sorted(
            (
                weekday * 1440 + _minutes(span.start),
                weekday * 1440 + _minutes(span.end) + 1440 * span.overnight,
                weekday,
            )
            for weekday in range(7)
            for span in self.spans(weekday)
        )
        if line:
            start, end, weekday = line[0]
            line.append((start + 7 * 1440, end + 7 * 1440, weekday))
        overlaps = [(one[2], other[2]) for one, other in pairwise(line) if other[0] < one[1]]
        if overlaps:
            where = ", ".join(f"{WEEKDAYS[a]} and {WEEKDAYS[b]}" if a != b else WEEKDAYS[a] for a, b in overlaps)
            raise ValueError(f"spans overlap: {where}")
        return self


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


class Holidays(Section):
    """Days without business hours."""

    country: str | None = Field(None, pattern="^[A-Z]{2}$", description="two capital letters, such as US")
    subdivision: str | None = Field(None, description="a state or region of the country, such as AK")
    dates: tuple[date, ...] = Field((), description="a list of days of one's own, such as 2026-12-24")

    @field_validator("subdivision")
    @classmethod
    def _known(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Here and not at the country, because the two are only known together."""
        country = info.data.get("country")
        if country is None:
            if value is not None:
                raise ValueError("needs country")
            return value
        import holidays

        known = holidays.list_supported_countries(include_aliases=True)
        if country not in known:
            raise ValueError(f"no holidays are known for the country {country}")
        if value is not None and value not in known[country]:
            raise ValueError(f"is no subdivision of {country}; known: {', '.join(known[country])[:200]}")
        return value


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
        http_url(value.get_secret_value().partition("?")[0])
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

    @field_validator("monitored_groups")
    @classmethod
    def _each_once(cls, groups: tuple[MonitoredGroup, ...], info: ValidationInfo) -> tuple[MonitoredGroup, ...]:
        ids = [group.id for group in groups]
        if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
            raise ValueError(f"group {', '.join(twice)} stands twice")
        if isinstance(info.data.get("members"), StaticMembers):
            without = [group.id for group in groups if group.members is None]
            if without:
                raise ValueError(f"members.source static needs members of group {', '.join(without)}")
        return groups
