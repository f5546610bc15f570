"""From a call detail record to a call: every rule of the ``calls`` section, as pure functions.

A value that cannot make a call raises InvalidRow with the canonical column and what is wrong with it. The limits are
those of the Call Logger's own validation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cdr.calls.call import UNDATED, Call, CallKey, CallRecord, Direction, Job, NotLogged, Reason, Settlement, State
from shared.errors import InvalidRow, PhoneBookUnread, UnmappedExtension

MAX_PHONE_NUMBER = 50
MAX_EXTENSION = 20
MAX_CALL_GROUP_ID = 100
MAX_PBX_CALL_ID = 100
MAX_DURATION_S = 2**31 - 1

_BLANK = "".join(map(chr, range(1, 0x21)))
"""What the Call Logger takes for blank; Python has another idea of it."""

_INBOUND, _OUTBOUND, _INTERNAL = "0", "1", "2"  # column call_type


@dataclass(frozen=True, slots=True)
class CallRules:
    """The ``calls`` section of the configuration, with the mapping and groups that the rules need."""

    include_internal: bool = True
    include_unanswered: bool = False
    internal_digits: tuple[int, int] = (2, 5)
    phone_format: str = "digits"
    default_region: str | None = None
    anonymous_number: str = "anonymous"
    unmapped_extensions: str = "keep"
    pbx_call_id: str | None = None
    call_group: str = "any"
    emails: Mapping[str, str] = field(default_factory=dict)
    """By extension, wherever they come from."""
    phone_book: Literal["none", "unread", "read"] = "none"
    """Whether the phone system is asked for addresses too, and has ever told."""
    email_problems: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with an extension's address in the phone system."""
    monitored_groups: frozenset[str] = frozenset()
    timezone: str = "UTC"
    """Of timestamps without an offset."""

    def template_of(self, record: CallRecord) -> str:
        """Of the call's key at the API. An id that is no number of a row is the call's own already."""
        by_kind = "{call_id}-{id}" if type(record.values.get("id")) is int else "{id}"
        return self.pbx_call_id or by_kind


def job_of(record: CallRecord, rules: CallRules) -> Job:
    """A record with its place in the ledger. Total."""
    return Job(record, call_key(record, rules))


def to_call(record: CallRecord, rules: CallRules) -> Call | NotLogged:
    """The call that a record describes, or why the rules do not want it logged.

    :raises InvalidRow: a column cannot make a call
    :raises UnmappedExtension: nobody's e-mail address is known for the call's extension
    :raises PhoneBookUnread: it may be known to the phone system, which has not told yet
    """
    if problem := record.values.get("problem"):
        raise InvalidRow("call", str(problem))
    if not rules.include_unanswered and not _answered(record):
        return NotLogged(Reason.UNANSWERED)
    if record.values.get("not_logged") == Reason.NO_PARTY:
        return NotLogged(Reason.NO_PARTY)
    extension = _text(record, "extension", MAX_EXTENSION)
    caller, destination = _number(record, "caller_number"), _number(record, "dest_number")
    kind = _kind(record, caller, destination, rules)
    if kind == _INTERNAL and not rules.include_internal:
        return NotLogged(Reason.INTERNAL)
    direction = _direction(kind, extension, caller, destination)
    ended_at = end_time(record, rules.timezone)
    email = _email(extension, rules)
    if email is None and rules.unmapped_extensions == "skip":
        return NotLogged(Reason.UNMAPPED_EXTENSION)
    outside = "caller_number" if direction is Direction.INBOUND else "dest_number"
    return Call(
        pbx_call_id=_pbx_call_id(record, rules),
        phone_number=_phone_number(record, outside, rules),
        duration_s=_duration(record),
        extension=extension,
        email=email,
        direction=direction,
        call_group_id=_call_group(record, destination, rules),
        ended_at=ended_at,
    )


def call_key(record: CallRecord, rules: CallRules) -> CallKey:
    """Where the row's call stands in the ledger; total, so that what is rejected has a place too.

    The name is the call's key at the API, because that is what two workers must never submit at once. Grouping by the
    day of the end makes look-ups by day cheap, which is only right while the key belongs to one row alone: with a
    template without ``{id}`` the rows of one call may end on both sides of midnight.
    """
    try:
        name = _pbx_call_id(record, rules)
    except InvalidRow:
        return CallKey(UNDATED, f"row-{record.id}")
    try:
        ended_at = end_time(record, rules.timezone)
    except InvalidRow:
        return CallKey(UNDATED, name)
    return CallKey(ended_at.date().isoformat() if "{id}" in rules.template_of(record) else UNDATED, name)


def row_key(key: CallKey, record_id: str) -> CallKey:
    """The place of a row's own record, where another row of the same call has the call's."""
    return CallKey(key.day, f"{key.name} row-{record_id}")


def same_call(other_id: str) -> Settlement:
    """What is recorded of a row whose call another row brought to the Call Logger."""
    return Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID, f"row {other_id} has the same pbxCallId")


def end_time(record: CallRecord, zone: str) -> datetime:
    """When the call ended, in UTC.

    :raises InvalidRow: if ended_at is missing, no time, or before started_at
    """
    ended = _time(record, "ended_at")
    if ended is None:
        raise InvalidRow("ended_at", "missing")
    ended_at = _in_utc("ended_at", ended, zone)
    started = _time(record, "started_at")
    if started is None or ended_at >= _in_utc("started_at", started, zone):
        return ended_at
    # A call over the end of summer time: the clock's second pass through that hour.
    second_pass = _in_utc("ended_at", ended.replace(fold=1), zone)
    if second_pass >= _in_utc("started_at", started, zone):
        return second_pass
    raise InvalidRow("ended_at", "is before started_at")


def body_of(call: Call) -> dict[str, Any]:
    """The JSON body of ``POST /calls/from-pbx``."""
    return {
        "phoneNumber": call.phone_number,
        "callDuration": call.duration_s,
        "callOwnerExtension": call.extension,
        "callOwnerEmail": call.email,
        "callDirection": call.direction.value,
        "callGroupId": call.call_group_id,
        "timestamp": f"{call.ended_at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
        "pbxCallId": call.pbx_call_id,
    }


def _email(extension: str, rules: CallRules) -> str | None:
    email = rules.emails.get(extension)
    if email is None and rules.phone_book == "unread":
        raise PhoneBookUnread(extension)
    if email is None and rules.unmapped_extensions == "keep":
        problem = rules.email_problems.get(extension, "is not listed in the phone system")
        raise UnmappedExtension(extension, f", and {problem}" if rules.phone_book == "read" else "")
    return email


def _answered(record: CallRecord) -> bool:
    value = record.values.get("answered")
    word = str(value).strip().lower()
    if word in ("1", "true", "t", "yes", "y", "1.0", "\x01"):  # the last is how MySQL gives a BIT
        return True
    if word in ("0", "false", "f", "no", "n", "0.0", "\x00"):
        return False
    raise InvalidRow(
        "answered", "missing" if value is None else f"holds {word[:20]!r}, which is neither true nor false"
    )


def _kind(record: CallRecord, caller: str, destination: str, rules: CallRules) -> str:
    """The column call_type where it says 0, 1 or 2, else by which side looks like an extension."""
    if (told := call_type_in(record)) is not None:
        return told
    if not looks_internal(caller, rules.internal_digits):
        return _INBOUND
    return _INTERNAL if looks_internal(destination, rules.internal_digits) else _OUTBOUND


def call_type_in(record: CallRecord) -> str | None:
    """0, 1 or 2, or None where the column says nothing of the kind."""
    value = record.values.get("call_type")
    text = str(value).strip()
    return text if not isinstance(value, bool) and text in (_INBOUND, _OUTBOUND, _INTERNAL) else None


def looks_internal(number: str, digits: tuple[int, int]) -> bool:
    return re.fullmatch(rf"[0-9]{{{digits[0]},{digits[1]}}}", number) is not None


def _direction(kind: str, extension: str, caller: str, destination: str) -> Direction:
    if kind == _INTERNAL:
        return Direction.OUTBOUND if extension == caller and extension != destination else Direction.INBOUND
    return Direction.OUTBOUND if kind == _OUTBOUND else Direction.INBOUND


def _phone_number(record: CallRecord, column: str, rules: CallRules) -> str:
    number = _number(record, column)
    if column not in record.shortened and not re.search("[0-9]", number):
        return rules.anonymous_number
    formatted = _formatted(number, rules).replace("\0", "")
    _check_fit(record, column, formatted, MAX_PHONE_NUMBER)
    return formatted


def _formatted(number: str, rules: CallRules) -> str:
    digits = re.sub("[^0-9]", "", number)
    if rules.phone_format == "raw":
        return number
    if rules.phone_format == "digits" or looks_internal(digits, rules.internal_digits):
        return digits
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, rules.default_region)
    except phonenumbers.NumberParseException:
        return digits  # a number that no country knows is still the number that was called
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _call_group(record: CallRecord, destination: str, rules: CallRules) -> str | None:
    own = record.values.get("call_group_id")
    if own is not None and str(own).strip():
        group = _text(record, "call_group_id", MAX_CALL_GROUP_ID)
        return group if rules.call_group == "any" or group in rules.monitored_groups else None
    return destination if destination in rules.monitored_groups else None


def _pbx_call_id(record: CallRecord, rules: CallRules) -> str:
    template = rules.template_of(record)
    call_id = _text(record, "call_id", MAX_PBX_CALL_ID) if "{call_id}" in template else ""
    rendered = template.format(call_id=call_id, id=record.id)
    length = _length(rendered)
    if length > MAX_PBX_CALL_ID:
        raise InvalidRow("call_id", f"makes a pbxCallId of {length} characters, at most {MAX_PBX_CALL_ID} fit")
    return rendered


def _duration(record: CallRecord) -> int:
    """Whole seconds, from a number or from h:mm:ss."""
    value = record.values.get("duration_s")
    if value is None:
        raise InvalidRow("duration_s", "missing")
    seconds = _seconds(value)
    if seconds is None:
        raise InvalidRow("duration_s", f"holds {str(value)[:20]!r}, which is no number of seconds")
    if seconds < 0:
        raise InvalidRow("duration_s", "is negative")
    if seconds > MAX_DURATION_S:
        raise InvalidRow("duration_s", f"is more than {MAX_DURATION_S} seconds")
    return int(seconds + 0.5)


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    text = str(value).strip()
    if clock := re.fullmatch(r"([0-9]{1,6}):([0-5][0-9]):([0-5][0-9])(\.[0-9]{1,9})?", text):
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
    return float(text) if re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", text) else None


def _number(record: CallRecord, column: str) -> str:
    """A number as it was written, without the address parts of SIP; empty where there is none."""
    value = record.values.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRow(column, "is neither text nor a number")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return re.sub(r"^(sips?|tel):", "", text.strip()).split("@")[0].strip()


def _text(record: CallRecord, column: str, longest: int) -> str:
    value = record.values.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise InvalidRow(column, "is neither text nor a whole number")
    text = "" if value is None else str(value).strip().strip(_BLANK)
    if not text:
        raise InvalidRow(column, "missing")
    if "\0" in text:  # the backend's database takes none, and it would answer 500 for ever
        raise InvalidRow(column, "holds a NUL character")
    _check_fit(record, column, text, longest)
    return text


def _check_fit(record: CallRecord, column: str, text: str, longest: int) -> None:
    if column in record.shortened or _length(text) > longest:
        raise InvalidRow(column, f"has {record.shortened.get(column, _length(text))} characters, at most {longest} fit")


def _length(text: str) -> int:
    """As the Call Logger counts: in UTF-16, where some characters are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _time(record: CallRecord, column: str) -> datetime | None:
    value = record.values.get(column)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value.strip())
            if len(value.strip()) > len("2026-11-22"):
                return parsed
        except ValueError:
            pass
    raise InvalidRow(column, f"holds {str(value)[:40]!r}, which is no date and time")


def _in_utc(column: str, moment: datetime, zone: str) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except OverflowError:
        raise InvalidRow(column, "is beyond the calendar") from None
