"""From a call detail record to a call: every rule of the ``calls`` section, and every value that cannot make a call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdr.calls.body import body_of
from cdr.calls.call import UNDATED, Call, CallKey, CallRecord, Direction, NotLogged, Outline, Reason
from cdr.calls.numbers import looks_internal
from cdr.calls.rules import CallRules, call_key, end_time, job_of, outline_of, row_key, same_call, to_call
from local.call_logger.rules import CALL_RULES, violations
from shared.errors import InvalidRow, PhoneBookUnread, UnmappedExtension
from tests.support.factories import ALICE, OUTSIDE, make_call, make_raw_row, make_record, make_rules

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
LONG = "1" * 10_000
ENDED = datetime(2026, 11, 22, 10, 1, 30, tzinfo=UTC)


def _call(rules: CallRules | None = None, **changed: Any) -> Call:
    call = to_call(make_record(**changed), rules or make_rules())
    assert isinstance(call, Call)
    return call


def _refusal(rules: CallRules | None = None, **changed: Any) -> InvalidRow:
    with pytest.raises(InvalidRow) as caught:
        to_call(make_record(**changed), rules or make_rules())
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_plain_record_makes_a_plain_call() -> None:
    assert _call() == make_call()


# The body of a submission


def test_the_body_has_the_fields_of_the_call_logger() -> None:
    assert body_of(make_call(call_group_id="800")) == {
        "phoneNumber": "19075550142",
        "callDuration": 90,
        "callOwnerExtension": "101",
        "callOwnerEmail": ALICE,
        "callDirection": "INBOUND",
        "callGroupId": "800",
        "timestamp": "2026-11-22T10:01:30.000Z",
        "pbxCallId": "0000017F-7-7",
    }


@pytest.mark.parametrize(
    ("ended_at", "timestamp"),
    [
        (datetime(2026, 11, 22, 10, 1, 30, 999, UTC), "2026-11-22T10:01:30.000Z"),
        (datetime(2026, 11, 22, 10, 1, 30, 5_000, UTC), "2026-11-22T10:01:30.005Z"),
        (datetime(2026, 11, 22, 10, 1, 30, 999_999, UTC), "2026-11-22T10:01:30.999Z"),
        (datetime(1, 2, 3, tzinfo=UTC), "0001-02-03T00:00:00.000Z"),
    ],
)
def test_a_timestamp_has_three_fraction_digits_and_four_of_the_year(ended_at: datetime, timestamp: str) -> None:
    assert body_of(make_call(ended_at=ended_at))["timestamp"] == timestamp


# Direction and numbers


@pytest.mark.parametrize(
    ("call_type", "extension", "caller", "destination", "direction", "number"),
    [
        pytest.param(0, "101", OUTSIDE, "101", INBOUND, "19075550142", id="0-is-inbound"),
        pytest.param(0, "101", "101", OUTSIDE, INBOUND, "101", id="0-is-inbound-whatever-the-numbers-look-like"),
        pytest.param(1, "101", "101", OUTSIDE, OUTBOUND, "19075550142", id="1-is-outbound"),
        pytest.param(" 1 ", "101", "101", OUTSIDE, OUTBOUND, "19075550142", id="1-in-a-column-of-fixed-width"),
        pytest.param(1.0, "101", "102", "103", OUTBOUND, "103", id="1-in-a-column-of-floats"),
        pytest.param(2, "101", "102", "101", INBOUND, "102", id="2-to-the-owner-is-inbound"),
        pytest.param(2, "101", "101", "102", OUTBOUND, "102", id="2-from-the-owner-is-outbound"),
        pytest.param(2, "101", "101", "101", INBOUND, "101", id="2-to-oneself"),
        pytest.param(2, "101", "102", "800", INBOUND, "102", id="2-through-a-group"),
        pytest.param(None, "101", OUTSIDE, "101", INBOUND, "19075550142", id="no-type-from-outside"),
        pytest.param(None, "101", "101", OUTSIDE, OUTBOUND, "19075550142", id="no-type-to-outside"),
        pytest.param(None, "101", "101", "102", OUTBOUND, "102", id="no-type-internal-from-the-owner"),
        pytest.param(None, "101", "102", "101", INBOUND, "102", id="no-type-internal-to-the-owner"),
        pytest.param(None, "101", None, "101", INBOUND, "anonymous", id="no-type-no-caller"),
        pytest.param("Outbound", "101", OUTSIDE, "101", INBOUND, "19075550142", id="a-word-for-a-type"),
        pytest.param(True, "101", OUTSIDE, "101", INBOUND, "19075550142", id="a-bit-for-a-type"),
        pytest.param(None, "101", 101, 19075550142, OUTBOUND, "19075550142", id="numbers-in-number-columns"),
        pytest.param(None, "101", "sip:101@pbx.example", "+19075550142", OUTBOUND, "19075550142", id="sip-address"),
    ],
)
def test_the_direction_says_whose_number_the_outside_party_is(  # noqa: PLR0917 - the columns of a table
    call_type: Any, extension: str, caller: Any, destination: Any, direction: Direction, number: str
) -> None:
    call = _call(call_type=call_type, extension=extension, caller_number=caller, dest_number=destination)
    assert (call.direction, call.phone_number) == (direction, number)


@pytest.mark.parametrize(
    ("number", "digits", "is_internal"),
    [
        ("1", (2, 5), False),
        ("12", (2, 5), True),
        ("12345", (2, 5), True),
        ("123456", (2, 5), False),
        ("123", (4, 4), False),
        ("+123", (2, 5), False),
        ("12a", (2, 5), False),
        ("", (1, 5), False),
        ("١٢٣", (2, 5), False),
        ("123\n", (2, 5), False),
    ],
)
def test_an_extension_is_a_number_of_so_many_digits(number: str, digits: tuple[int, int], is_internal: bool) -> None:  # noqa: FBT001
    assert looks_internal(number, digits) is is_internal


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        (OUTSIDE, "19075550142"),
        ("(907) 555-0142", "9075550142"),
        ("sip:+19075550142@trunk.example;user=phone", "19075550142"),
        ("sips:19075550142@trunk.example", "19075550142"),
        ("tel:+1-907-555-0142", "19075550142"),
        (19075550142, "19075550142"),
        pytest.param(19075550142.0, "19075550142", id="in-a-column-of-floats"),
        pytest.param("0049 30 123", "004930123", id="a-leading-zero-survives"),
        pytest.param("1" * 50, "1" * 50, id="as-long-as-may-be"),
        pytest.param("1-" * 50, "1" * 50, id="only-digits-count"),
        pytest.param("9" * 30 + "\x00" * 5, "9" * 30, id="nul-characters"),
    ],
)
def test_a_phone_number_is_its_digits(number: Any, digits: str) -> None:
    assert _call(caller_number=number).phone_number == digits


@pytest.mark.parametrize(
    ("number", "region", "formatted"),
    [
        pytest.param("(907) 555-0142", "US", "+19075550142", id="national"),
        pytest.param("+49 30 123456", "US", "+4930123456", id="international"),
        pytest.param("030 123456", "DE", "+4930123456", id="national-elsewhere"),
        pytest.param("sip:9075550142@trunk.example", "US", "+19075550142", id="sip"),
        pytest.param("102", "US", "102", id="an-extension-is-no-phone-number"),
        pytest.param("+1", "US", "1", id="too-short-for-any-country"),
        pytest.param("0" * 40, "US", "0" * 40, id="no-country-knows-it"),
    ],
)
def test_a_phone_number_can_be_e164(number: str, region: str, formatted: str) -> None:
    rules = make_rules(phone_format="e164", default_region=region)
    assert _call(rules, caller_number=number).phone_number == formatted


@pytest.mark.parametrize(
    ("number", "raw"),
    [(OUTSIDE, OUTSIDE), (" 907-555 ", "907-555"), ("sip:907@x", "907"), (907, "907"), ("9\x0007", "907")],
)
def test_a_phone_number_can_stay_as_it_is(number: Any, raw: str) -> None:
    assert _call(make_rules(phone_format="raw"), caller_number=number).phone_number == raw


@pytest.mark.parametrize("phone_format", ["digits", "e164", "raw"])
@pytest.mark.parametrize(
    "number",
    [None, "  ", -1, "-1", "anonymous", "sip:anonymous@192.0.2.1", "unknown@unknown.invalid", "+", float("nan")],
)
def test_a_caller_without_a_number_gets_the_stand_in(number: Any, phone_format: str) -> None:
    rules = make_rules(phone_format=phone_format, default_region="US", anonymous_number="withheld")
    assert _call(rules, caller_number=number).phone_number == "withheld"


# Which calls are logged

NOTHING_ELSE = {"extension": None, "caller_number": LONG, "ended_at": "never", "duration_s": None}


@pytest.mark.parametrize("answered", [False, 0, "0", "false", "No", " f ", 0.0, "0.0", b"\x00"])
def test_an_unanswered_call_is_not_logged_whatever_else_it_lacks_unless_wanted(answered: Any) -> None:
    unanswered = make_record(answered=answered, **NOTHING_ELSE)
    assert to_call(unanswered, make_rules()) == NotLogged(Reason.UNANSWERED)
    assert _call(make_rules(include_unanswered=True), answered=answered)


@pytest.mark.parametrize("answered", [True, 1, "1", "true", "YES", " t ", 1.0, "1.0", b"\x01"])
def test_an_answered_call_is_logged(answered: Any) -> None:
    assert _call(answered=answered)


def test_whether_a_call_was_answered_does_not_matter_where_all_are_logged() -> None:
    assert _call(make_rules(include_unanswered=True), answered="perhaps")


@pytest.mark.parametrize(
    ("call_type", "caller", "destination", "is_internal"),
    [
        pytest.param(2, "101", "102", True, id="by-its-type"),
        pytest.param(2, OUTSIDE, OUTSIDE, True, id="by-its-type-whatever-the-numbers"),
        pytest.param(None, "101", "102", True, id="by-its-numbers"),
        pytest.param(0, OUTSIDE, "101", False, id="with-the-outside"),
    ],
)
def test_internal_calls_can_be_left_out(call_type: Any, caller: str, destination: str, is_internal: bool) -> None:  # noqa: FBT001
    record = make_record(call_type=call_type, caller_number=caller, dest_number=destination)
    assert (to_call(record, make_rules(include_internal=False)) == NotLogged(Reason.INTERNAL)) is is_internal
    assert isinstance(to_call(record, make_rules()), Call)


def test_a_source_may_know_that_a_call_has_no_party_or_what_is_wrong_with_it() -> None:
    no_party = make_record(not_logged="no_party", **NOTHING_ELSE)
    assert to_call(no_party, make_rules()) == NotLogged(Reason.NO_PARTY)
    unanswered = make_record(not_logged="no_party", answered=False)
    assert to_call(unanswered, make_rules()) == NotLogged(Reason.UNANSWERED)
    assert _call(not_logged="another reason")
    problem = {"problem": "its legs go round in a circle", "answered": False}
    assert str(_refusal(**problem)) == "call: its legs go round in a circle"


# Whose call it is


def test_the_owner_is_found_by_the_extension_as_it_is_written() -> None:
    rules = make_rules(emails={"101": ALICE, "0101": "bob@example.com"})
    assert [_call(rules, extension=written).email for written in ("101", 101)] == [ALICE, ALICE]
    assert _call(rules, extension=" 0101 ").email == "bob@example.com"


@pytest.mark.parametrize("column", ["extension", "call_group_id"])
@pytest.mark.parametrize(
    "written",
    [
        "Ext.101",
        101.0,
        "101.0",
        "101@h",
        '"101"',
        "sip:101@h",
        '"M 2" <sip:101@h>',
        "Ext.101 (Max)",
        "Max (101)",
        "\u200e101\u200f",
        "x101",
        "\uff11\uff10\uff11",
    ],
)
def test_an_extension_is_found_as_a_number_is(column: str, written: Any) -> None:
    call = _call(**{column: written})
    assert {"extension": call.extension, "call_group_id": call.call_group_id}[column] == "101"


@pytest.mark.parametrize("written", ["sales (EU)", "101,102", "101; 102", "a@b", "101 Alice", "+101"])
def test_what_is_no_single_extension_stays_as_it_is(written: str) -> None:
    assert _call(call_group_id=written).call_group_id == written


def test_an_unmapped_extension_is_kept_or_skipped_or_submitted_without_an_address() -> None:
    unmapped = make_record(extension="102")
    with pytest.raises(UnmappedExtension, match="extension 102 has no address in extension_mapping"):
        to_call(unmapped, make_rules())
    skip, submit = (make_rules(unmapped_extensions=choice) for choice in ("skip", "submit_without_email"))
    assert to_call(unmapped, skip) == NotLogged(Reason.UNMAPPED_EXTENSION)
    assert to_call(unmapped, submit) == make_call(extension="102", email=None)
    assert _call(skip) == _call(submit) == make_call()


@pytest.mark.parametrize("unmapped", ["keep", "skip", "submit_without_email"])
def test_an_extension_waits_for_a_phone_system_that_never_told_unless_it_is_mapped(unmapped: str) -> None:
    rules = make_rules(phone_book="unread", unmapped_extensions=unmapped)
    assert _call(rules) == make_call()
    with pytest.raises(
        PhoneBookUnread, match="extension 102 has no address in extension_mapping, and the phone system"
    ):
        to_call(make_record(extension="102"), rules)


@pytest.mark.parametrize(
    ("extension", "why"),
    [("102", "has no e-mail address in the phone system"), ("103", "is not listed in the phone system")],
)
def test_an_unmapped_extension_says_what_the_phone_system_has_of_it(extension: str, why: str) -> None:
    rules = make_rules(phone_book="read", email_problems={"102": "has no e-mail address in the phone system"})
    with pytest.raises(UnmappedExtension) as refused:
        to_call(make_record(extension=extension), rules)
    assert refused.value.extension == extension
    assert str(refused.value) == f"extension {extension} has no address in extension_mapping, and {why}"


def test_a_queue_that_nobody_answered_is_looked_up_like_an_extension() -> None:
    rules = make_rules(emails={"800": ALICE}, include_unanswered=True)
    assert _call(rules, extension="800", answered=False, call_group_id="800").email == ALICE


@pytest.mark.parametrize(
    ("own", "destination", "group"),
    [
        pytest.param("900", "800", "900", id="the-row's-own"),
        pytest.param(900, "800", "900", id="the-row's-own-as-a-number"),
        pytest.param(None, "800", "800", id="a-monitored-destination"),
        pytest.param("  ", "800", "800", id="blank-is-none"),
        pytest.param(None, 800, "800", id="a-monitored-destination-as-a-number"),
        pytest.param(None, "sip:800@pbx.example", "800", id="a-monitored-destination-as-an-address"),
        pytest.param(None, "101", None, id="no-group"),
        pytest.param(None, None, None, id="no-destination"),
    ],
)
def test_the_call_group_is_the_rows_or_a_monitored_destination(own: Any, destination: Any, group: str | None) -> None:
    rules = make_rules(monitored_groups=frozenset({"800"}))
    assert _call(rules, call_group_id=own, dest_number=destination).call_group_id == group


def test_other_groups_than_the_monitored_ones_can_be_left_out() -> None:
    rules = make_rules(monitored_groups=frozenset({"800"}), call_group="monitored")
    assert [_call(rules, call_group_id=own, dest_number="801").call_group_id for own in ("800", "900", None)] == [
        "800",
        None,
        None,
    ]


def test_a_record_without_the_optional_column_has_no_group() -> None:
    raw = make_raw_row()
    del raw["call_group_id"]
    assert to_call(CallRecord.from_row(raw), make_rules()) == make_call()


# Times


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (90, 90),
        (0, 0),
        pytest.param(89.5, 90, id="rounded"),
        pytest.param(89.4, 89, id="rounded-down"),
        pytest.param("90", 90, id="text"),
        pytest.param(" 90.6 ", 91, id="text-with-a-fraction"),
        pytest.param("0:01:30", 90, id="a-clock"),
        pytest.param("00:01:30.9999999", 91, id="sql-server's-time-as-text"),
        pytest.param("100:00:00", 360_000, id="more-than-a-day"),
        pytest.param(timedelta(minutes=1, seconds=30), 90, id="mysql's-time"),
        pytest.param(timedelta(microseconds=50), 0, id="next-to-nothing"),
        pytest.param(2**31 - 1, 2**31 - 1, id="the-longest"),
    ],
)
def test_the_duration_is_in_whole_seconds(duration: Any, seconds: int) -> None:
    assert _call(duration_s=duration).duration_s == seconds


@pytest.mark.parametrize(
    ("zone", "started", "ended", "in_utc"),
    [
        pytest.param("UTC", "11-22 10:00", "11-22 10:01:30", "11-22 10:01:30", id="utc"),
        pytest.param("America/Anchorage", "07-01 16:00", "07-01 16:01:30.1234567", "07-02 00:01:30.123456", id="zone"),
        pytest.param("America/Anchorage", None, "07-01T16:01+02:00", "07-01 14:01", id="its-own-offset"),
        pytest.param("Asia/Tokyo", None, "11-22T10:01:30Z", "11-22 10:01:30", id="utc-by-its-letter"),
        pytest.param("UTC", "11-22 10:01:30", "11-22 10:01:30", "11-22 10:01:30", id="no-length"),
        pytest.param("Europe/Berlin", "10-25 02:50", "10-25 02:10", "10-25 01:10", id="over-the-end-of-summer-time"),
        pytest.param("Europe/Berlin", "10-25 02:10", "10-25 02:50", "10-25 00:50", id="in-the-hour-that-comes-twice"),
        pytest.param("Europe/Berlin", "10-25 01:50", "10-25 03:10", "10-25 02:10", id="across-that-hour"),
        pytest.param("UTC", None, "/04/30 06:35:46", "04-30 06:35:46", id="as-3cx-writes-it"),
        pytest.param("Europe/Berlin", "03-29 01:50", "03-29 03:10", "03-29 01:10", id="over-the-start-of-summer-time"),
    ],
)
def test_the_end_is_in_utc(zone: str, started: str | None, ended: str, in_utc: str) -> None:
    ended = f"2026{ended}" if ended.startswith("/") else f"2026-{ended}"
    found = end_time(make_record(started_at=started and f"2026-{started}", ended_at=ended), zone)
    assert (found, found.utcoffset()) == (datetime.fromisoformat(f"2026-{in_utc}+00:00"), timedelta())


def test_an_end_well_before_the_start_is_no_end_of_summer_time() -> None:
    refusal = _refusal(make_rules(timezone="Europe/Berlin"), started_at="2026-10-25 02:50", ended_at="2026-10-25 01:10")
    assert str(refusal) == "ended_at: is before started_at"


# What cannot make a call


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        pytest.param("answered", None, "missing", id="answered-null"),
        pytest.param("answered", "perhaps", "holds 'perhaps', which is neither true nor false", id="answered-word"),
        pytest.param("answered", "x" * 10_000, f"holds '{'x' * 20}'", id="answered-long"),
        pytest.param("extension", None, "missing", id="extension-null"),
        pytest.param("extension", "  ", "missing", id="extension-blank"),
        pytest.param("extension", "\x01\x1f", "missing", id="extension-blank-to-the-backend"),
        pytest.param("extension", "\u00a0\u2003", "missing", id="extension-blank-to-python"),
        pytest.param("extension", True, "is neither text nor a whole number", id="extension-bit"),
        pytest.param("extension", 10.5, "is neither text nor a whole number", id="extension-fraction"),
        pytest.param("extension", "1" * 21, "has 21 characters, at most 20 fit", id="extension-long"),
        pytest.param("extension", "\U0001f600" * 11, "has 22 characters, at most 20 fit", id="extension-wide"),
        pytest.param("extension", "1\x002", "holds a NUL character", id="extension-nul"),
        pytest.param("call_id", None, "missing", id="call-id-null"),
        pytest.param("call_id", "x" * 101, "has 101 characters, at most 100 fit", id="call-id-long"),
        pytest.param(
            "call_id", "x" * 100, "makes a pbxCallId of 102 characters, at most 100 fit", id="call-id-with-id"
        ),
        pytest.param("call_id", "x" + " " * 10_000, "has 10001 characters, at most 100 fit", id="call-id-mostly-blank"),
        pytest.param("caller_number", True, "is neither text nor a number", id="caller-bit"),
        pytest.param("caller_number", "1" * 51, "has 51 characters, at most 50 fit", id="caller-long"),
        pytest.param("caller_number", LONG, "has 10000 characters, at most 50 fit", id="caller-very-long"),
        pytest.param("caller_number", "x" * 10_000, "has 10000 characters, at most 50 fit", id="caller-long-words"),
        pytest.param("started_at", "noon", "holds 'noon', which is no date and time", id="start-word"),
        pytest.param("ended_at", None, "missing", id="end-null"),
        pytest.param("ended_at", "2026-11-22", "holds '2026-11-22', which is no date and time", id="end-date-only"),
        pytest.param("ended_at", "2026-13-22 10:00", "which is no date and time", id="end-month-13"),
        pytest.param("ended_at", "x" * 10_000, f"holds '{'x' * 40}', which is no date and time", id="end-long"),
        pytest.param("ended_at", "2026-11-22 09:59:59", "is before started_at", id="end-before-start"),
        pytest.param("ended_at", "9999-12-31T23:59:59-14:00", "which stands for no end", id="end-of-all-days"),
        pytest.param("ended_at", "", "holds '', which stands for no end", id="end-blank"),
        pytest.param("duration_s", None, "missing", id="duration-null"),
        pytest.param("duration_s", "long", "holds 'long', which is no number of seconds", id="duration-word"),
        pytest.param("duration_s", True, "holds 'True', which is no number of seconds", id="duration-bit"),
        pytest.param("duration_s", "1:2:3", "which is no number of seconds", id="duration-strange-clock"),
        pytest.param("duration_s", "1e3", "which is no number of seconds", id="duration-exponent"),
        pytest.param("caller_number", "1.23E+11", "was a floating-point number", id="number-that-lost-digits"),
        pytest.param("duration_s", float("nan"), "holds 'nan', which is no number of seconds", id="duration-nan"),
        pytest.param("duration_s", -1, "is negative", id="duration-negative"),
        pytest.param("duration_s", "-0.5", "is negative", id="duration-a-bit-negative"),
        pytest.param("duration_s", timedelta(seconds=-1), "is negative", id="duration-negative-time"),
        pytest.param("duration_s", 2**31, "is more than 2147483647 seconds", id="duration-too-long"),
        pytest.param("call_group_id", "8" * 101, "has 101 characters, at most 100 fit", id="group-long"),
    ],
)
def test_a_value_that_cannot_make_a_call_is_refused_by_name(field: str, value: Any, problem: str) -> None:
    refusal = _refusal(**{field: value})
    assert refusal.field == field
    assert problem in str(refusal)


def test_the_number_of_the_outside_party_is_refused_by_its_own_name() -> None:
    refusal = _refusal(call_type=1, caller_number="101", dest_number=LONG)
    assert str(refusal) == "dest_number: has 10000 characters, at most 50 fit"
    assert _refusal(make_rules(phone_format="raw"), caller_number="1 " * 30).field == "caller_number"


def test_what_no_rule_looks_at_may_be_anything() -> None:
    assert _call(hangup_cause=LONG, dest_number=LONG) == make_call()


# Its key at the Call Logger, and its place in the ledger


@pytest.mark.parametrize(
    ("template", "changed", "key"),
    [
        (None, {}, "0000017F-7-7"),
        (None, {"id": "00000000-0000-0000-0000-000000000007/101"}, "00000000-0000-0000-0000-000000000007/101"),
        ("{call_id}", {}, "0000017F-7"),
        ("{id}", {"call_id": None}, "7"),
        ("3cx:{id}:{call_id}", {}, "3cx:7:0000017F-7"),
        ("{call_id}-{id}", {"id": "b7/2"}, "0000017F-7-b7/2"),
    ],
)
def test_the_key_follows_the_template(template: str | None, changed: dict[str, Any], key: str) -> None:
    rules = make_rules(pbx_call_id=template)
    assert _call(rules, **changed).pbx_call_id == call_key(make_record(**changed), rules).name == key


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        pytest.param({}, CallKey("2026-11-22", "0000017F-7-7"), id="by-its-key-and-the-day-it-ended"),
        pytest.param({"ended_at": None}, CallKey(UNDATED, "0000017F-7-7"), id="no-end"),
        pytest.param({"ended_at": "2026-11-22 09:00"}, CallKey(UNDATED, "0000017F-7-7"), id="end-before-start"),
        pytest.param({"call_id": None}, CallKey(UNDATED, "row-7"), id="no-call-id"),
        pytest.param({"call_id": LONG}, CallKey(UNDATED, "row-7"), id="call-id-too-long"),
    ],
)
def test_every_record_has_a_place_in_the_ledger(changed: dict[str, Any], key: CallKey) -> None:
    record = make_record(**changed)
    assert job_of(record, make_rules()).key == key
    assert row_key(key, record.id) == CallKey(key.day, f"{key.name} row-7")
    assert "row 7 " in same_call(record.id).detail


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({}, Outline("101", Direction.INBOUND, None, ENDED)),
        ({"answered": None, "problem": "no sense"}, Outline("101", Direction.INBOUND, None, ENDED)),
        ({"extension": None}, Outline(None, Direction.INBOUND, None, ENDED)),
        ({"dest_number": True}, Outline("101", Direction.INBOUND, None, ENDED)),
        ({"caller_number": True}, Outline("101", None, None, ENDED)),
        ({"ended_at": "soon", "call_group_id": "800"}, Outline("101", Direction.INBOUND, "800", None)),
    ],
)
def test_of_a_record_that_makes_no_call_the_rest_is_told_all_the_same(changed: dict[str, Any], left: Outline) -> None:
    assert outline_of(make_record(**changed), make_rules()) == left


def test_the_day_is_that_of_the_end_in_utc() -> None:
    record = make_record(started_at="2026-11-22 22:00", ended_at="2026-11-22 22:05")
    assert call_key(record, make_rules(timezone="America/Anchorage")).day == "2026-11-23"


V20_ID = "00000000-01dc-9a69-1dbe-96110000301f"
"""Of 10 February 2026, 08:41:57 UTC."""


@given(
    other=st.fixed_dictionaries(
        {},
        optional={
            "started_at": st.datetimes().map(str) | st.none(),
            "ended_at": st.datetimes().map(str) | st.none() | st.text(max_size=5),
            "duration_s": st.integers() | st.none(),
            "extension": st.text(max_size=3),
        },
    ),
    zone=st.sampled_from(["UTC", "America/Anchorage", "Pacific/Kiritimati", "Pacific/Pago_Pago"]),
    part=st.sampled_from(["", "/101"]),
)
def test_a_call_whose_id_tells_when_it_began_has_one_place_whatever_is_told_anew(
    other: dict[str, Any], zone: str, part: str
) -> None:
    key = call_key(make_record(id=V20_ID + part, **other), make_rules(timezone=zone))
    assert (key.day, key.name, key.around) == ("2026-02-10", V20_ID + part, ())


def test_rows_that_share_a_key_share_their_place_whenever_they_end() -> None:
    rules = make_rules(pbx_call_id="3cx {call_id}")
    rows = (make_record(id=7, ended_at="2026-11-22 23:59"), make_record(id=8, ended_at="2026-11-23 00:01"))
    assert {call_key(row, rules) for row in rows} == {CallKey(UNDATED, "3cx 0000017F-7")}


def test_a_change_of_other_rules_moves_no_call() -> None:
    """A replay, once the extension is mapped, must find the record of the call that was rejected."""
    rules = make_rules(emails={}, phone_format="raw", include_unanswered=True, unmapped_extensions="skip")
    assert call_key(make_record(), rules) == call_key(make_record(), make_rules())


# Any record

PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "call_id": st.text("\U0001f600aé/\\#?\x00\x01 ", max_size=110) | st.integers(),
    "started_at": st.datetimes(timezones=st.none() | st.timezones()),
    "ended_at": st.datetimes(timezones=st.none() | st.timezones()),
    "duration_s": st.integers(-5, 2**32) | st.floats(-1, 1e10) | st.timedeltas() | st.times(),
    "caller_number": st.text("0123456789+ -()@:\x00\x01\U0001f600", max_size=60) | st.sampled_from(["101", OUTSIDE]),
    "dest_number": st.text("0123456789+ -()@:\x00\x01\U0001f600", max_size=60) | st.sampled_from(["800", OUTSIDE]),
    "extension": st.text("01\x01\u2003\U0001f600", max_size=22) | st.just("101"),
    "call_type": st.sampled_from([0, 1, 2, "0", "2", None]),
    "answered": st.sampled_from([True, 1, "true", False, None]),
    "call_group_id": st.none() | st.text("8\x01\U0001f600 ", max_size=110),
}
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.just(LONG)
RECORDS = st.builds(
    lambda row_id, values: make_record(id=row_id, **values),
    st.integers(-(10**19), 10**19) | st.text("ab-/", min_size=1, max_size=40),
    st.fixed_dictionaries({}, optional={name: values | ANYTHING for name, values in PLAUSIBLE.items()}),
)
RULES = st.builds(
    CallRules,
    include_internal=st.booleans(),
    include_unanswered=st.booleans(),
    internal_digits=st.sampled_from([(2, 5), (1, 10), (3, 3)]),
    phone_format=st.sampled_from(["digits", "e164", "raw"]),
    default_region=st.sampled_from(["US", "DE", "XX"]),
    anonymous_number=st.sampled_from(["anonymous", "0", "a" * 50]),
    unmapped_extensions=st.sampled_from(["keep", "skip", "submit_without_email"]),
    pbx_call_id=st.sampled_from([None, "{call_id}-{id}", "{call_id}", "{id}", "x" * 90 + "{id}"]),
    emails=st.sampled_from([{}, {"101": ALICE}]),
    monitored_groups=st.sampled_from([frozenset(), frozenset({"800"})]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/Anchorage", "Pacific/Kiritimati"]),
)


@settings(max_examples=300)  # one record in eight makes a call
@given(RECORDS, RULES)
def test_any_record_makes_a_call_that_the_call_logger_takes_or_a_reason_why_not(
    record: CallRecord, rules: CallRules
) -> None:
    key, told = job_of(record, rules).key, outline_of(record, rules)
    assert key.day == UNDATED or str(datetime.fromisoformat(key.day).date()) == key.day
    assert 0 < len(key.name) <= 100
    assert rules.pbx_call_id == "{call_id}" or key != call_key(make_record(**record.values | {"id": "other"}), rules)
    try:
        made = to_call(record, rules)
    except (UnmappedExtension, InvalidRow):
        return
    if isinstance(made, Call):
        assert violations(CALL_RULES, body_of(made)) == []
        assert not any("\0" in value for value in body_of(made).values() if isinstance(value, str))
        assert key.name == made.pbx_call_id
        assert told == Outline(made.extension, made.direction, made.call_group_id, made.ended_at)
