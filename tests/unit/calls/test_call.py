"""From what a driver yields to a call detail record: total, and nothing but values that JSON can hold."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given

from cdr.calls.call import COLUMNS, MAX_TEXT, UNDATED, CallKey, CallRecord, Reason
from tests.support.factories import make_raw_row, make_record
from tests.support.raw_rows import raw_rows


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="bit"),
        pytest.param(90, 90, id="integer"),
        pytest.param(10**50, str(10**50), id="longer-than-any-database's-integer"),
        pytest.param(90.5, 90.5, id="float"),
        pytest.param(float("nan"), "nan", id="not-a-number"),
        pytest.param(float("-inf"), "-inf", id="infinity"),
        pytest.param(Decimal("90.0"), 90, id="whole-decimal"),
        pytest.param(Decimal("90.5"), "90.5", id="decimal"),
        pytest.param(Decimal("sNaN"), "sNaN", id="decimal-signalling"),
        pytest.param(Decimal("-Infinity"), "-Infinity", id="decimal-infinity"),
        pytest.param(Decimal("1E+999999999"), "1E+999999999", id="decimal-beyond-all-arithmetic"),
        pytest.param("a\x00\r\nb \U0001f600", "a\x00\r\nb \U0001f600", id="text"),
        pytest.param(b"\x01", "\x01", id="mysql's-bit"),
        pytest.param(b"\xff\xfe", "\\xff\\xfe", id="bytes-that-are-no-text"),
        pytest.param(bytearray(b"abc"), "abc", id="bytearray"),
        pytest.param(memoryview(b"abc"), "abc", id="memoryview"),
        pytest.param(datetime.fromisoformat("2026-11-22T10:01:30"), "2026-11-22T10:01:30", id="naive-time"),
        pytest.param(datetime(2026, 11, 22, 10, 1, 30, 5, UTC), "2026-11-22T10:01:30.000005+00:00", id="aware-time"),
        pytest.param(date(2026, 11, 22), "2026-11-22", id="date"),
        pytest.param(time(0, 1, 30), "00:01:30", id="time-of-day"),
        pytest.param(timedelta(minutes=1, seconds=30), 90.0, id="mysql's-time"),
        pytest.param(uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007", id="anything-else"),
    ],
)
def test_a_value_becomes_one_that_json_can_hold(value: Any, plain: Any) -> None:
    found = make_record(call_id=value).values["call_id"]
    assert (found, type(found)) == (plain, type(plain))


def test_long_text_is_shortened_and_its_length_kept() -> None:
    record = make_record(call_id="x" * 10_000, hangup_cause="y" * MAX_TEXT)
    assert (record.values["call_id"], record.values["hangup_cause"]) == ("x" * MAX_TEXT, "y" * MAX_TEXT)
    assert record.shortened == {"call_id": 10_000}


def test_an_absent_column_stays_absent_and_an_unknown_one_is_left_out() -> None:
    raw = make_raw_row(recording="hello.wav")
    del raw["call_group_id"]
    optional = {"call_group_id", "not_logged", "problem"}
    assert list(CallRecord.from_row(raw).values) == [column for column in COLUMNS if column not in optional]


@given(raw_rows())
@example({"id": 7, "call_id": Decimal("1E+999999")})
def test_any_row_becomes_a_record(raw: dict[str, Any]) -> None:
    record = CallRecord.from_row(raw)
    assert (record.id, record.values["id"], record.values.keys()) == (str(raw["id"]), raw["id"], raw.keys())
    assert json.loads(json.dumps(dict(record.values), allow_nan=False)) == record.values
    assert all(len(value) <= MAX_TEXT for value in record.values.values() if isinstance(value, str))
    assert CallRecord.from_row(record.values).values == record.values


def test_every_reason_has_a_sentence_of_its_own() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)


def test_a_call_may_stand_under_the_days_around_its_own_and_one_without_a_day_nowhere_else() -> None:
    assert CallKey("2026-03-01", "c-1").around == [CallKey("2026-02-28", "c-1"), CallKey("2026-03-02", "c-1")]
    assert list(CallKey(UNDATED, "c-1").around) == []
