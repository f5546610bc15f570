"""What can be configured about business hours: the spans of each weekday, the time zone, and days without any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from shared.config.types import Section, Zone

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MINUTES = 24 * 60
DAY = "a span with start and end, a list of spans, or null, which is closed"

_CLOCK_TIME = "([01]?[0-9]|2[0-3]):[0-5][0-9]"
_END_OF_DAY = "24:00"
_NO = ("false", "no", "off", "n", "f", "0")


def _clock_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(_CLOCK_TIME, value):
        raise ValueError("is no time of the form hh:mm")
    return value.zfill(len("08:00"))


def _end_time(value: Any) -> Any:
    if value == _END_OF_DAY:
        raise ValueError("is the end of the day itself, so it does not go with overnight")
    return _clock_time(value)


ClockTime = Annotated[
    time, BeforeValidator(_clock_time, json_schema_input_type=Annotated[str, Field(pattern=f"^{_CLOCK_TIME}$")])
]
EndTime = Annotated[
    time,
    BeforeValidator(
        _end_time, json_schema_input_type=Annotated[str, Field(pattern=f"^({_CLOCK_TIME}|{_END_OF_DAY})$")]
    ),
]


class DayHours(Section):
    """A span of a day; the end is not part of it."""

    start: ClockTime = Field(description="hh:mm")
    overnight: bool = Field(False, description="true or false: true means that the end is on the next day")
    end: EndTime = Field(
        description="hh:mm, after start and not part of the span, 24:00 at the latest; with overnight: true that of "
        "the next day, not after start"
    )

    @model_validator(mode="before")
    @classmethod
    def _end_of_day(cls, data: Any) -> Any:
        """24:00 is midnight, and that is on the next day."""
        if not isinstance(data, dict) or data.get("end") != _END_OF_DAY:
            return data
        says_no = str(data.get("overnight", "false")).lower() in _NO
        return data | {"end": "00:00", "overnight": True} if says_no else data

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


def _calendar_day(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}([T ]00:00(:00)?)?", value):
        raise ValueError("is no day of the form 2026-12-24")
    return value


CalendarDay = Annotated[date, BeforeValidator(_calendar_day, json_schema_input_type=date)]


class Holidays(Section):
    """Days without business hours."""

    country: str | None = Field(
        None, pattern="^[A-Z]{2}$", description="two capital letters, such as US: whose public holidays count"
    )
    subdivision: str | None = Field(None, description="a state or region of the country, such as AK")
    dates: tuple[CalendarDay, ...] = Field((), description="a list of days of one's own, such as 2026-12-24")

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
