"""From a call detail record to a call: every rule of the ``calls`` section, as pure functions.

A value that cannot make a call raises InvalidRow with the canonical column and what is wrong with it. The limits are
those of the Call Logger's own validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from cdr.calls import numbers, times
from cdr.calls.beginning import beginning_in
from cdr.calls.call import (
    UNDATED,
    Call,
    CallKey,
    CallRecord,
    CallType,
    Direction,
    Job,
    NotLogged,
    Outline,
    Reason,
    Settlement,
    State,
)
from shared.errors import InvalidRow, PhoneBookUnread, UnmappedExtension
from shared.extensions import MAX_EXTENSION, in_plain_digits, without_blanks

MAX_PHONE_NUMBER = 50
MAX_CALL_GROUP_ID = 100
MAX_PBX_CALL_ID = 100
MAX_DURATION_S = 2**31 - 1

_CALL_TYPES: Mapping[str, CallType] = {each.value: each for each in CallType}

_NO_NUMBER = frozenset({"-1", "-1.0"})
_OF_EXTENSIONS = frozenset({"extension", "call_group_id"})

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on", "1.0", "-1", "answered", "\x01"})  # the last: a BIT of MySQL
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", "0.0", "unanswered", "not answered", "missed", "\x00"})

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class CallRules:
    """The ``calls`` section of the configuration, with the mapping and groups that the rules need."""

    include_internal: bool = True
    include_unanswered: bool = False
    internal_digits: tuple[int, int] = (2, 5)
    phone_format: Literal["digits", "e164", "raw"] = "digits"
    default_region: str | None = None
    anonymous_number: str = "anonymous"
    unmapped_extensions: Literal["keep", "skip", "submit_without_email"] = "keep"
    pbx_call_id: str | None = None
    call_group: Literal["any", "monitored"] = "any"
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
    """A record with its place in the ledger, and its outline. Total."""
    return Job(record, call_key(record, rules), outline_of(record, rules))


def extension_of(record: CallRecord) -> str | None:
    """Whose call it is, as far as the row says so."""
    return _if_any(lambda: _text(record, "extension", MAX_EXTENSION))


def outline_of(record: CallRecord, rules: CallRules) -> Outline:
    """What can be told of a record, each part of it by itself. Total."""
    extension = extension_of(record)
    destination = _if_any(lambda: _number(record, "dest_number")) or ""

    def direction() -> Direction:
        return _direction(_kind(record, rules), extension or "", _number(record, "caller_number"), destination)

    return Outline(
        extension,
        _if_any(direction),
        _if_any(lambda: _call_group(record, destination, rules)),
        _if_any(lambda: end_time(record, rules.timezone)),
    )


def _if_any(tell: Callable[[], Found]) -> Found | None:
    try:
        return tell()
    except InvalidRow:
        return None


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
    kind = _kind(record, rules)
    if kind is CallType.INTERNAL and not rules.include_internal:
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
    day makes look-ups by day cheap, which is only right while the key belongs to one row alone: with a template without
    ``{id}`` the rows of one call may end on both sides of midnight. The day is that on which the call began, where its
    id tells, since nothing changes that; else that of the end.
    """
    try:
        name = _pbx_call_id(record, rules)
    except InvalidRow:
        return CallKey(UNDATED, f"row-{record.id}")
    ended_at = _if_any(lambda: end_time(record, rules.timezone))
    began_at = beginning_in(record.source_id)
    moment = began_at or ended_at
    if moment is None or "{id}" not in rules.template_of(record):
        return CallKey(UNDATED, name, ended_at)
    return CallKey(moment.date().isoformat(), name, ended_at, is_lasting=began_at is not None)


def row_key(key: CallKey, record_id: str) -> CallKey:
    """The place of a row's own record, where another row of the same call has the call's."""
    return CallKey(key.day, f"{key.name} row-{record_id}", key.ended_at)


def same_call(other_id: str) -> Settlement:
    """What is recorded of a row whose call another row brought to the Call Logger."""
    return Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID, f"row {other_id} has the same pbxCallId")


def end_time(record: CallRecord, zone: str) -> datetime:
    """When the call ended, in UTC.

    :raises InvalidRow: if ended_at is missing, no time, or before started_at
    """
    ended, started = _time(record, "ended_at"), _time(record, "started_at")
    if ended is None:
        held = record.values.get("ended_at")
        why = "missing" if held is None else f"holds {str(held)[:40]!r}, which stands for no end"
        raise InvalidRow("ended_at", why)
    ended_at = times.end_in_utc(started, ended, times.seconds_of(record.values.get("duration_s")), zone)
    if ended_at is None:
        raise InvalidRow("ended_at", "is before started_at")
    return ended_at


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
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    why = "missing" if value is None else f"holds {word[:20]!r}, which is neither true nor false"
    raise InvalidRow("answered", why)


def _kind(record: CallRecord, rules: CallRules) -> CallType:
    """The column call_type where it says 0, 1 or 2, else by which side looks like an extension."""
    if (told := call_type_in(record)) is not None:
        return told
    if not _is_internal(record, "caller_number", rules):
        return CallType.INBOUND
    return CallType.INTERNAL if _is_internal(record, "dest_number", rules) else CallType.OUTBOUND


def call_type_in(record: CallRecord) -> CallType | None:
    """None where the column says nothing of the kind."""
    value = record.values.get("call_type")
    text = str(value).strip().removesuffix(".0")  # of a column of floats
    return None if isinstance(value, bool) else _CALL_TYPES.get(text)


def _is_internal(record: CallRecord, column: str, rules: CallRules) -> bool:
    written = str(record.values.get(column) or "")
    return numbers.says_extension(written) or numbers.looks_internal(_number(record, column), rules.internal_digits)


def _direction(kind: CallType, extension: str, caller: str, destination: str) -> Direction:
    if kind is CallType.INTERNAL:
        return Direction.OUTBOUND if extension == caller and extension != destination else Direction.INBOUND
    return Direction.OUTBOUND if kind is CallType.OUTBOUND else Direction.INBOUND


def _phone_number(record: CallRecord, column: str, rules: CallRules) -> str:
    number = _number(record, column)
    if column not in record.shortened and not re.search("[0-9]", number):
        return rules.anonymous_number
    formatted = _formatted(number, rules).replace("\0", "")
    _check_fit(record, column, formatted, MAX_PHONE_NUMBER)
    return formatted


def _formatted(number: str, rules: CallRules) -> str:
    if rules.phone_format == "raw":
        return number
    if rules.phone_format == "digits":
        return numbers.digits_of(number)
    return numbers.as_e164(number, rules.default_region, rules.internal_digits)


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
    """In whole seconds."""
    value = record.values.get("duration_s")
    if value is None:
        raise InvalidRow("duration_s", "missing")
    seconds = times.seconds_of(value)
    if seconds is None:
        raise InvalidRow("duration_s", f"holds {str(value)[:20]!r}, which is no number of seconds")
    if seconds < 0:
        raise InvalidRow("duration_s", "is negative")
    if seconds > MAX_DURATION_S:
        raise InvalidRow("duration_s", f"is more than {MAX_DURATION_S} seconds")
    return int(seconds + 0.5)


def _number(record: CallRecord, column: str) -> str:
    """A number as it was written, without what stands around it; empty where there is none."""
    value = record.values.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRow(column, "is neither text nor a number")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    number = numbers.plain("" if text.strip() in _NO_NUMBER else text)
    if numbers.is_rounded(number):
        raise InvalidRow(column, "was a floating-point number before it was text, and has lost digits")
    return number


def _text(record: CallRecord, column: str, longest: int) -> str:
    value = record.values.get(column)
    if column in _OF_EXTENSIONS and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise InvalidRow(column, "is neither text nor a whole number")
    written = "" if value is None else str(value)
    plain = without_blanks(written)
    text = numbers.extension_of(in_plain_digits(plain)) if column in _OF_EXTENSIONS else plain
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
    if times.stands_for_no_time(value):
        return None
    found = times.time_of(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidRow(column, f"holds {str(value)[:40]!r}, which is no date and time")
    return found
