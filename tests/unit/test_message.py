"""The codec of queue messages: whatever a driver yields travels, and whatever is not ours is refused."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdr.calls.call import COLUMNS, CallKey, Row, Travels
from cdr.calls.message import MAX_TEXT, VERSION, decode_row, encode_row, text_of_body, with_travels
from shared.errors import InvalidMessage
from tests.support.factories import make_message, make_raw_row

MOST_BYTES = 49_152
"""Of UTF-8 in a message, so that its Base64 has at most 64 KiB."""

OTHER_COLUMNS = [column for column in COLUMNS if column != "id"]
ANY_TEXT = st.text(st.characters(codec=None), max_size=20)
DRIVER_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    ANY_TEXT,
    st.sampled_from(["\U0001f600", "\ud800", "\x00", '"', "\u00e9"]).map(lambda character: character * 10_000),
    st.binary(max_size=20),
    st.binary(max_size=20).map(bytearray),
    st.binary(max_size=20).map(memoryview),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
)
RAW_ROWS = st.dictionaries(st.sampled_from(OTHER_COLUMNS), DRIVER_VALUES).flatmap(
    lambda row: st.integers(-(2**63), 2**63 - 1).map(lambda row_id: {"id": row_id, **row})
)
TRAVELS = st.builds(
    Travels,
    st.integers(0, 10_000),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | st.builds(CallKey, st.dates().map(str), st.text("\U0001f600é", max_size=150)),
)


@pytest.mark.parametrize(
    ("value", "travels_as"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(True, True, id="bit"),
        pytest.param(90, 90, id="integer"),
        pytest.param(90.5, 90.5, id="float"),
        pytest.param(float("nan"), "nan", id="not-a-number"),
        pytest.param(float("-inf"), "-inf", id="infinity"),
        pytest.param(Decimal(90), 90, id="whole-decimal"),
        pytest.param(Decimal("90.0"), 90, id="whole-decimal-with-a-fraction-of-0"),
        pytest.param(Decimal("90.5"), "90.5", id="decimal"),
        pytest.param(Decimal("NaN"), "NaN", id="decimal-not-a-number"),
        pytest.param(Decimal("sNaN"), "sNaN", id="decimal-signalling"),
        pytest.param(Decimal("-Infinity"), "-Infinity", id="decimal-infinity"),
        pytest.param(Decimal("1E+999999999"), "1E+999999999", id="decimal-beyond-all-arithmetic"),
        pytest.param(10**50, str(10**50), id="longer-than-any-database's-integer"),
        pytest.param("Grüße \U0001f600", "Grüße \U0001f600", id="text"),
        pytest.param("a\ud800b", "a\ufffdb", id="half-a-surrogate-pair"),
        pytest.param("\ufeffx", "\ufeffx", id="byte-order-mark"),
        pytest.param("a\x00\r\nb", "a\x00\r\nb", id="control-characters"),
        pytest.param(b"abc", "abc", id="bytes"),
        pytest.param(b"\x01", "\x01", id="mysql's-bit"),
        pytest.param(b"\xff\xfe", "\\xff\\xfe", id="bytes-that-are-no-text"),
        pytest.param(bytearray(b"abc"), "abc", id="bytearray"),
        pytest.param(memoryview(b"abc"), "abc", id="memoryview"),
        pytest.param(datetime.fromisoformat("2026-11-22T10:01:30"), "2026-11-22T10:01:30", id="naive-time"),
        pytest.param(
            datetime(2026, 11, 22, 10, 1, 30, 5, UTC), "2026-11-22T10:01:30.000005+00:00", id="time-with-offset"
        ),
        pytest.param(date(2026, 11, 22), "2026-11-22", id="date"),
        pytest.param(time(0, 1, 30), "00:01:30", id="time-of-day"),
        pytest.param(timedelta(minutes=1, seconds=30), 90.0, id="mysql's-time"),
        pytest.param(uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007", id="uuid"),
    ],
)
def test_a_value_travels_as_json_can_hold_it(value: Any, travels_as: Any) -> None:
    row = decode_row(encode_row({"id": 7, "call_id": value}))
    assert row == Row(7, {"id": 7, "call_id": travels_as})
    assert type(row.values["call_id"]) is type(travels_as)


def test_long_text_is_cut_and_its_length_travels_along() -> None:
    row = decode_row(make_message(call_id="x" * 10_000, hangup_cause="y" * MAX_TEXT))
    assert row.values["call_id"] == "x" * MAX_TEXT
    assert row.values["hangup_cause"] == "y" * MAX_TEXT
    assert row.cut == {"call_id": 10_000}


def test_an_absent_optional_column_stays_absent_and_an_unknown_one_is_left_out() -> None:
    raw = make_raw_row(recording="hello.wav")
    del raw["call_group_id"]
    assert list(decode_row(encode_row(raw)).values) == [column for column in COLUMNS if column != "call_group_id"]


@given(RAW_ROWS)
@example({"id": 7, "call_id": Decimal("1E+999999")})
def test_every_row_that_a_driver_may_yield_travels(raw: dict[str, Any]) -> None:
    row = decode_row(encode_row(raw))
    assert row.id == raw["id"]
    assert row.values.keys() == raw.keys()
    assert all(value is None or isinstance(value, str | int | float) for value in row.values.values())
    texts = [value for value in row.values.values() if isinstance(value, str)]
    assert all(len(text) <= MAX_TEXT and text.encode().decode() == text for text in texts)


@given(RAW_ROWS)
def test_a_row_that_has_travelled_does_not_change_when_it_travels_on(raw: dict[str, Any]) -> None:
    row = decode_row(encode_row(raw))
    again = decode_row(encode_row(row.values))
    assert again.values == row.values


@given(RAW_ROWS, TRAVELS)
def test_a_message_always_fits_into_the_queue(raw: dict[str, Any], travels: Travels) -> None:
    assert len(with_travels(encode_row(raw), travels).encode()) < MOST_BYTES


def test_the_longest_message_fits_into_the_queue() -> None:
    """Each character of the longest text in every column, escaped as twelve."""
    raw = {"id": 2**63 - 1} | dict.fromkeys(OTHER_COLUMNS, "\U0001f600" * 10_000)
    key = CallKey("2026-11-22", "\U0001f600" * 100)
    message = with_travels(encode_row(raw), Travels(10_000, datetime.max.replace(tzinfo=UTC), key))
    assert len(message.encode()) < MOST_BYTES


@given(RAW_ROWS, TRAVELS)
def test_a_message_remembers_its_travels_and_keeps_its_row(raw: dict[str, Any], travels: Travels) -> None:
    message = encode_row(raw)
    assert decode_row(message).travels == Travels()
    row = decode_row(with_travels(with_travels(message, Travels(99)), travels))
    assert row.travels == travels
    assert (row.id, row.values, row.cut) == (
        decode_row(message).id,
        decode_row(message).values,
        decode_row(message).cut,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "is not JSON", id="nothing"),
        pytest.param("hello", "is not JSON", id="words"),
        pytest.param("[" * 100_000, "is not JSON", id="nested-too-deeply"),
        pytest.param(f'{{"version": {"1" * 5000}}}', "is not JSON", id="a-number-without-end"),
        pytest.param("[]", "has no version", id="a-list"),
        pytest.param("null", "has no version", id="null"),
        pytest.param('{"row": {"id": 7}}', "has no version", id="no-version"),
        pytest.param('{"version": 2, "row": {"id": 7}}', "has version '2', this worker knows 1", id="a-later-version"),
        pytest.param(
            '{"version": "1", "row": {"id": 7}}', "has version '1', this worker knows 1", id="version-as-text"
        ),
        pytest.param('{"version": true, "row": {"id": 7}}', "has version 'True'", id="true-is-no-version"),
        pytest.param('{"version": 1.0, "row": {"id": 7}}', "has version '1.0'", id="nor-is-a-float"),
        pytest.param(f'{{"version": "{"x" * 900}"}}', f"has version '{'x' * 20}', this worker knows 1", id="it-is-cut"),
        pytest.param('{"version": 1}', "holds no row", id="no-row"),
        pytest.param('{"version": 1, "row": [7]}', "holds no row", id="a-list-for-a-row"),
        pytest.param('{"version": 1, "row": {"id": 7}, "cut": 5}', "holds no row", id="a-number-for-what-was-cut"),
        pytest.param('{"version": 1, "row": {}}', "no whole number as id", id="no-id"),
        pytest.param('{"version": 1, "row": {"id": "7"}}', "no whole number as id", id="id-as-text"),
        pytest.param('{"version": 1, "row": {"id": 7.5}}', "no whole number as id", id="id-with-a-fraction"),
        pytest.param('{"version": 1, "row": {"id": true}}', "no whole number as id", id="true-is-no-id"),
        pytest.param(
            f'{{"version": 1, "row": {{"id": 1{"0" * 40}}}}}', "no whole number as id", id="id-too-long-for-a-key"
        ),
        pytest.param(
            '{"version": 1, "row": {"id": 7, "call_id": [1]}}',
            "a call_id that is neither text nor a number",
            id="a-list-for-a-value",
        ),
        pytest.param(
            '{"version": 1, "row": {"id": 7, "call_id": {}}}',
            "a call_id that is neither text nor a number",
            id="an-object-for-a-value",
        ),
        pytest.param('{"version": 1, "row": {"id": 7}, "travels": 5}', "record of its travels", id="travels-no-record"),
        pytest.param(
            '{"version": 1, "row": {"id": 7}, "travels": {"since": "x", "replay_of": null, "times_put_back": 1}}',
            "record of its travels",
            id="travels-since-no-time",
        ),
        pytest.param(
            '{"version": 1, "row": {"id": 7}, "travels": {"since": null, "replay_of": "x", "times_put_back": 1}}',
            "record of its travels",
            id="replay-of-no-key",
        ),
        pytest.param(
            '{"version": 1, "row": {"id": 7}, "travels": {"since": null, "replay_of": null, "times_put_back": 1e999}}',
            "record of its travels",
            id="put-back-for-ever",
        ),
    ],
)
def test_what_this_version_did_not_write_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_row(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidMessage):
        with_travels(text, Travels())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "row", "x"]), inner, max_size=3),
    max_leaves=10,
)
NEARLY = st.fixed_dictionaries(
    {
        "version": st.just(VERSION) | JSON,
        "row": st.fixed_dictionaries({"id": st.integers() | JSON, "extension": JSON}) | JSON,
    },
    optional={
        "cut": JSON | st.dictionaries(st.sampled_from(COLUMNS), JSON),
        "travels": JSON | st.fixed_dictionaries({"since": JSON, "replay_of": JSON, "times_put_back": JSON}),
    },
)


@given(st.text() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
@example(
    '{"version": 1, "row": {"id": 7}, '
    '"travels": {"since": "0001-01-01T00:00:00+14:00", "replay_of": 0, "times_put_back": 0}}'
)
@example('{"version": 1, "row": {"id": 7}, "travels": {"since": 5, "replay_of": [1, 2], "times_put_back": 0}}')
@example('{"version": 1, "row": {"id": 7}, "cut": {"call_id": "\\ud800"}}')
def test_any_text_is_either_a_row_or_an_invalid_message(text: str) -> None:
    try:
        row = decode_row(text)
    except InvalidMessage:
        return
    assert isinstance(row.id, int)
    assert json.dumps(dict(row.values), ensure_ascii=False).encode()
    assert all(isinstance(length, int) for length in row.cut.values())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_body_in_base64_is_its_text(text: str) -> None:
    assert text_of_body(b64encode(text.encode())) == text


@pytest.mark.parametrize("body", [b"&%$ not base64 &%$", b'{"version": 1}', b"abc", b64encode(b"\xff\xfe")])
def test_a_body_that_is_no_text_in_base64_is_taken_as_it_is(body: bytes) -> None:
    assert text_of_body(body) == body.decode()
