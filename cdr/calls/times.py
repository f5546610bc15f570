"""Dates, times and durations as phone systems write them. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from cdr.calls.call import INTEGERS_BELOW
from shared.extensions import in_plain_digits

YEARS = range(1990, 2200)
"""What lies outside stands for "not yet": every engine and every writer of rows has a placeholder of its own, such as
1900-01-01 or 9999-12-31."""

_NOTHING = frozenset(
    {"", "-", "--", "-1", "-1.0", "\\n", "null", "none", "nil", "n/a", "na", "nat", "nan", "undefined"}
)
_ENDLESS = frozenset({"infinity", "inf"})
_YEARS = (
    re.compile(r"([+-]?[0-9]{4,9})[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?![0-9])"),
    re.compile(r"([0-9]{4})[0-9]{4}(?![0-9])"),
    re.compile(r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4})(?![0-9])"),
)
"""Of a date, whichever of its parts are day and month."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<word>{'|'.join(_MONTHS)})[a-z]*\.?"
_DAYS = (
    r"(?P<y>[0-9]{4})(?P<mark>[-/.])(?P<m>[0-9]{1,2})(?P=mark)(?P<d>[0-9]{1,2})",
    r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})",
    rf"{_MONTH} (?P<d>[0-9]{{1,2}}),? (?P<y>[0-9]{{4}})",
    rf"(?P<d>[0-9]{{1,2}})\.?[ -]{_MONTH}[ -](?P<y>[0-9]{{4}})",
)
"""Not 04/05/2026, which is another day on the other side of the ocean."""
_TIME = (
    r"[T ,]\s*(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,:](?P<part>[0-9]{1,12}))?)?"
    r" ?(?P<half>[ap]\.?m\.?)?"
    r" ?(?P<zone>Z|UTC|GMT"
    r"|(?:UTC|GMT)?(?P<sign>[+-])(?P<off_h>[0-9]{2})(?::?(?P<off_m>[0-9]{2})(?::?(?P<off_s>[0-9]{2}))?)?"
    r"(?: (?!AM|PM|BC|AD)[A-Z]{2,5}| ?\([^()]*\)|\[[\w/+-]+\])?)?"
)
"""An offset says all of a zone, whatever name stands behind it."""

_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?"
_WRITTEN = tuple(re.compile(_WEEKDAY + day + _TIME, re.IGNORECASE) for day in _DAYS)
_IN_A_ROW = re.compile(r"[12][0-9]{13}")
"""A time as one number: 20261122100130."""

_CLOCK = re.compile(
    r"(?:(?P<days>[0-9]{1,5})(?: ?d(?:ays?)?,? ?| |\.))?"
    r"(?P<hours>[0-9]{1,6}):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9](?:[.,][0-9]{1,9})?)",
    re.IGNORECASE,
)
_ISO_SPAN = re.compile(
    r"P(?:0+Y)?(?:0+M)?(?:(?P<d>[0-9]{1,5})D)?(?:T(?:(?P<h>[0-9]{1,7})H)?(?:(?P<m>[0-9]{1,9})M)?(?:(?P<s>[0-9]{1,10}(?:[.,][0-9]{1,9})?)S)?)?",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"(?:(?P<d>[0-9]{1,5}) ?d(?:ays?)?)?,? ?(?:(?P<h>[0-9]{1,7}) ?h(?:(?:ou)?rs?)?)?,? ?"
    r"(?:(?P<m>[0-9]{1,9}) ?m(?:in(?:ute)?s?)?)?,? ?(?:(?P<s>[0-9]{1,10}(?:\.[0-9]{1,9})?) ?s(?:ec(?:ond)?s?)?)?",
    re.IGNORECASE,
)


def stands_for_no_time(value: Any) -> bool:
    """Whether a value of a column of times says that there is none yet. A text that makes no sense does not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value in {0, -1} or (isinstance(value, float) and math.isnan(value))
    if not isinstance(value, str):
        return value is None
    text = in_plain_digits(value).strip().lower()
    if text.strip("()<>[] ") in _NOTHING or text.lstrip("+-") in _ENDLESS or not text.strip("0.:-/ tz"):
        return True
    if year := next(filter(None, (pattern.match(text) for pattern in _YEARS)), None):
        return text.endswith(" bc") or int(year[1]) not in YEARS
    moment = time_of(text)
    return moment is not None and moment.year not in YEARS


def time_of(text: str) -> datetime | None:
    """A date and time, aware where it has an offset; None if it is none. 24:00 is the beginning of the next day, as
    a leap second is of the next hour."""
    written = " ".join(in_plain_digits(text).split())
    if _IN_A_ROW.fullmatch(written):
        written = f"{written[:8]}T{written[8:]}"
    for pattern in _WRITTEN:
        if found := pattern.fullmatch(written):
            return _moment(found)
    try:
        return datetime.fromisoformat(written) if len(written) > len("2026-11-22") else None
    except ValueError:
        return None


def _moment(found: re.Match[str]) -> datetime | None:
    parts = found.groupdict()
    month = _MONTHS.index(parts["word"].lower()) + 1 if parts.get("word") else int(parts["m"])
    hour = int(parts["hour"])
    if parts["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004 - of half a day
            return None
        hour = hour % 12 + (12 if parts["half"].lower().startswith("p") else 0)
    minute, second = int(parts["minute"]), int(parts["second"] or 0)
    part = int((parts["part"] or "").ljust(6, "0")[:6])
    more = timedelta()
    if hour == 24 and not (minute or second or part):  # noqa: PLR2004 - of a day
        hour, more = 0, timedelta(days=1)
    elif minute == 59 and second == 60:  # noqa: PLR2004 - a leap second is an hour's last
        second, part, more = 59, 0, timedelta(seconds=1)
    try:
        day = int(parts["y"]), month, int(parts["d"])
        return datetime(*day, hour, minute, second, part, tzinfo=_zone(parts)) + more
    except (ValueError, OverflowError):
        return None


def _zone(parts: dict[str, Any]) -> timezone | None:
    if not parts["zone"]:
        return None
    if not parts["sign"]:
        return UTC
    hours, minutes, seconds = (int(parts[name] or 0) for name in ("off_h", "off_m", "off_s"))
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-offset if parts["sign"] == "-" else offset)


def end_in_utc(started: datetime | None, ended: datetime, duration_s: float | None, zone: str) -> datetime | None:
    """When a call ended; None if that is before its start. Times without an offset are in the zone.

    The hour in which summer time ends comes twice. Which of its passes is meant shows in the duration: the one that
    brings the call's span nearest to it, and the first one if nothing shows.
    """
    ends = readings(ended, zone)
    if started is None:
        return ends[0]
    spans = [(end - start, end) for end in ends for start in readings(started, zone) if end >= start]
    if not spans:
        return None
    if duration_s is None:
        return min(end for _, end in spans)
    return min(spans, key=lambda found: (abs(found[0].total_seconds() - duration_s), found[1]))[1]


def readings(moment: datetime, zone: str) -> list[datetime]:
    """What a time stands for, in UTC: one moment, or two for the hour that comes twice, the first one first."""
    if moment.tzinfo is not None:
        return [moment.astimezone(UTC)]
    first, second = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    return [first, second] if first < second else [first]


def seconds_of(value: Any) -> float | None:
    """A duration from a number of seconds or from what people write instead, such as 0:01:30, 1.02:03:04, PT90S, 1 day
    00:10:00 or 1h 30m; None if it is none. A text of two parts such as 1:30 could be either of two."""
    if isinstance(value, str):
        return _seconds_in(" ".join(in_plain_digits(value).split()))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < INTEGERS_BELOW else None  # a message may hold any integer


def _seconds_in(text: str) -> float | None:
    if re.fullmatch(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?", text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    spelled = _ISO_SPAN.fullmatch(text) or _WORDS.fullmatch(text)
    if not text or not spelled or not any(spelled.groups()):
        return None
    given = {name: float((part or "0").replace(",", ".")) for name, part in spelled.groupdict().items()}
    return ((given["d"] * 24 + given["h"]) * 60 + given["m"]) * 60 + given["s"]
