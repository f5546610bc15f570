"""What travels on the queue: whatever was written is read again, also by 1.0.0; what is none of ours is told apart."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdr.calls.call import COLUMNS, UNDATED, CallKey, CallRecord
from cdr.calls.message import Message, Unreadable, letter_of, letters_of, text_of_body
from shared.errors import InvalidMessage
from tests.support.factories import make_message, make_raw_row, make_record
from tests.support.raw_rows import MERGED, OTHER_COLUMNS, RECORDS, WELL_FORMED

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOST_BYTES = 49_152
"""Of UTF-8 in a message, so that its Base64 has at most 64 KiB."""

KEYS = st.builds(CallKey, st.dates().map(str) | st.just(UNDATED), st.text(WELL_FORMED, max_size=150))
MESSAGES = st.builds(
    Message,
    st.lists(RECORDS | MERGED, min_size=1, max_size=3).map(tuple),
    st.integers(0, 10_000),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | KEYS,
)


@given(MESSAGES)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert Message.from_text(message.to_text()) == message


@given(RECORDS, st.integers(0, 10_000), KEYS)
def test_a_message_of_one_record_fits_into_the_queue(record: CallRecord, tries: int, replay_of: CallKey) -> None:
    assert len(Message((record,), tries, NOON, replay_of).to_text().encode()) < MOST_BYTES


def test_the_longest_message_fits_into_the_queue() -> None:
    """Each character of the longest text in every column, escaped as twelve."""
    record = CallRecord.from_row({"id": 2**63 - 1} | dict.fromkeys(OTHER_COLUMNS, "\U0001f600" * 10_000))
    message = Message((record,), 10_000, datetime.max.replace(tzinfo=UTC), CallKey("2026-11-22", "\U0001f600" * 100))
    assert len(message.to_text().encode()) < MOST_BYTES


# 1.0.0

ODD = {
    "id": -3,
    "call_id": 'Grüße "\U0001f600"',
    "duration_s": timedelta(seconds=90.5),
    "caller_number": Decimal("1.50"),
    "dest_number": b"\xff\x00",
    "extension": 101,
    "call_type": None,
    "hangup_cause": "8" * 300,
}


def test_what_1_0_0_wrote_is_read_and_the_same_is_written_today() -> None:
    odd = make_raw_row(**ODD)
    del odd["call_group_id"]
    replayed = CallKey("2026-11-22", "0000017F-7-7")
    later = NOON + timedelta(microseconds=5)
    messages = [
        make_message(),
        Message((make_record(id=2**63 - 1),), replay_of=replayed),
        Message((CallRecord.from_row(odd),), 10_000, later, CallKey(UNDATED, "row-7")),
    ]
    texts = (Path(__file__).parents[2] / "data" / "v1" / "messages.jsonl").read_text().splitlines()
    assert [Message.from_text(text) for text in texts] == messages
    assert [message.to_text() for message in messages] == texts


# What becomes of a message


def test_another_try_counts_from_the_first_and_takes_along_what_is_still_to_do() -> None:
    one, other = make_record(id=1), make_record(id=2)
    message = Message((one, other), replay_of=CallKey(UNDATED, "x")).again(NOON)
    assert message.again(NOON + timedelta(hours=1)).only([other]) == Message((other,), 2, NOON, CallKey(UNDATED, "x"))


def test_a_first_try_that_is_still_to_come_is_dated_anew_since_by_it_no_call_would_ever_be_given_up() -> None:
    written_by_a_wrong_clock = Message((make_record(),), 3, NOON + timedelta(days=3_650))
    assert written_by_a_wrong_clock.again(NOON).first_tried_at == NOON


# What is none of ours


def _with(**parts: object) -> str:
    return json.dumps({"version": 1, "row": {"id": 7}} | parts)


def _travels(**changed: object) -> str:
    return _with(travels={"times_put_back": 1, "since": None, "replay_of": None} | changed)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "is not JSON", id="nothing"),
        pytest.param("hello", "is not JSON", id="words"),
        pytest.param("[" * 100_000, "is not JSON", id="nested-too-deeply"),
        pytest.param(f'{{"version": {"1" * 5000}}}', "is not JSON", id="a-number-without-end"),
        pytest.param("[]", "has no version", id="a-list"),
        pytest.param('{"row": {"id": 7}}', "has no version", id="no-version"),
        pytest.param(_with(version=3), "has version '3', this worker knows 1 and 2", id="a-later-version"),
        pytest.param(_with(version="1"), "has version '1', this", id="version-as-text"),
        pytest.param(_with(version=True), "has version 'True'", id="true-is-no-version"),
        pytest.param(_with(version=1.0), "has version '1.0'", id="nor-is-a-float"),
        pytest.param(_with(version="x" * 900), f"has version '{'x' * 20}', this", id="it-is-shortened"),
        pytest.param('{"version": 1}', "holds no row", id="no-row"),
        pytest.param(_with(row=[7]), "holds no row", id="a-list-for-a-row"),
        pytest.param(_with(cut=5), "holds no row", id="a-number-for-what-was-cut"),
        pytest.param(_with(cut={"call_id": "5"}), "holds no row", id="a-length-as-text"),
        pytest.param(_with(replaces=5), "which records it is in place of", id="a-number-for-what-it-replaces"),
        pytest.param(_with(replaces=[5]), "holds no row", id="a-number-among-what-it-replaces"),
        pytest.param(_with(version=2), "holds no records", id="one-as-several"),
        pytest.param(_with(version=2, records=[]), "holds no records", id="none-as-several"),
        pytest.param(_with(version=2, records={"row": {"id": 7}}), "holds no records", id="an-object-for-records"),
        pytest.param(_with(version=2, records=[{"row": {"id": 7}}, 5]), "holds no row", id="a-number-among-records"),
        pytest.param(_with(row={}), "nor a text as id", id="no-id"),
        pytest.param(_with(row={"id": ""}), "nor a text as id", id="an-empty-id"),
        pytest.param(_with(row={"id": "x" * 256}), "nor a text as id", id="id-as-text-too-long"),
        pytest.param(_with(row={"id": 7.5}), "nor a text as id", id="id-with-a-fraction"),
        pytest.param(_with(row={"id": True}), "nor a text as id", id="true-is-no-id"),
        pytest.param(_with(row={"id": 10**40}), "nor a text as id", id="id-too-long-for-a-key"),
        pytest.param(_with(row={"id": 7, "call_id": [1]}), "a call_id that is neither text", id="a-list-for-a-value"),
        pytest.param(_with(row={"id": 7, "call_id": {}}), "a call_id that is neither", id="an-object-for-a-value"),
        pytest.param(_with(travels=5), "record of its travels", id="travels-no-record"),
        pytest.param(_travels(since="x"), "record of its travels", id="since-no-time"),
        pytest.param(_travels(since=5), "record of its travels", id="since-a-number"),
        pytest.param(_travels(since="0001-01-01T00:00:00+14:00"), "record of its travels", id="since-before-all-days"),
        pytest.param(_travels(replay_of="x"), "record of its travels", id="replay-of-no-key"),
        pytest.param(_travels(replay_of=[1, 2]), "record of its travels", id="replay-of-numbers"),
        pytest.param(_travels(replay_of=["x" * 256, "y"]), "record of its travels", id="replay-of-a-long-name"),
        pytest.param(_travels(times_put_back=-1), "record of its travels", id="put-back-less-than-never"),
        pytest.param(_travels(times_put_back=float("inf")), "record of its travels", id="put-back-for-ever"),
    ],
)
def test_what_nobody_wrote_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        Message.from_text(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_half_a_surrogate_pair_is_replaced_since_no_encoding_can_write_it_and_unknown_columns_are_left_out() -> None:
    text = r'{"version": 1, "row": {"id": "\ud800", "call_id": "a\udfffb", "recording": "x"}, "cut": {"call_id": 300}}'
    (record,) = Message.from_text(text).records
    assert record == CallRecord("\ufffd", {"id": "\ufffd", "call_id": "a\ufffdb"}, {"call_id": 300})


def test_a_text_that_no_row_would_have_brought_is_cut_as_a_rows_is() -> None:
    (record,) = Message.from_text(_with(row={"id": 7, "caller_number": "1" + " " * 40_000 + "x"})).records
    assert (len(record.values["caller_number"]), record.shortened) == (255, {"caller_number": 40_002})


def test_what_a_record_is_in_place_of_is_in_place_of_nothing_itself() -> None:
    nested = {"row": {"id": 8}, "replaces": [{"row": {"id": 9}}]}
    (record,) = Message.from_text(_with(replaces=[nested])).records
    assert record.replaces == (CallRecord("8", {"id": 8}),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "row", "x"]), inner, max_size=3),
    max_leaves=10,
)
PART = st.fixed_dictionaries(
    {"row": st.fixed_dictionaries({"id": st.integers() | JSON, "extension": JSON}) | JSON},
    optional={"cut": JSON | st.dictionaries(st.sampled_from(COLUMNS), JSON), "replaces": JSON},
)
TRAVELS = JSON | st.fixed_dictionaries({"since": JSON, "replay_of": JSON, "times_put_back": JSON})
NEARLY = st.builds(
    lambda version, part, more: {"version": version} | part | more,
    st.sampled_from([1, 2]) | JSON,
    PART
    | JSON.map(lambda value: {"records": value})
    | st.lists(PART, max_size=3).map(lambda parts: {"records": parts}),
    st.just({}) | TRAVELS.map(lambda travels: {"travels": travels}),
)


@given(st.text() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
@example('{"version": 1, "row": {"id": 7}, "cut": {"call_id": "\\ud800"}}')
def test_any_text_is_a_message_that_can_be_put_back_or_unreadable(text: str) -> None:
    letter = letter_of(text)
    if isinstance(letter, Unreadable):
        assert letter.to_text() == text
    else:
        assert letter_of(letter.to_text()) == letter or "NaN" in text


def test_what_is_unreadable_keeps_its_text_and_has_one_place_in_the_ledger() -> None:
    letter, other = letter_of("hello\ud800"), letter_of("hello")
    assert isinstance(letter, Unreadable)
    assert isinstance(other, Unreadable)
    assert (letter.problem, letter.to_text()) == ("the message is not JSON", "hello\ud800")
    assert letter.key == Unreadable("hello\ud800", "whatever").key != other.key
    assert (letter.key.day, letter.key.name.partition("-")[0]) == (UNDATED, "message")


# Several records, of which some cannot be read


def test_a_record_that_cannot_be_read_costs_no_other_of_its_message() -> None:
    good = Message((make_record(id=1), make_record(id=2)), 3, NOON)
    body = json.loads(good.to_text())
    body["records"][1:1] = [{"row": {"id": None}, "by a newer version": 1}, 5]
    readable, *others = letters_of(json.dumps(body))
    assert readable == good
    assert [type(each) for each in others] == [Unreadable, Unreadable]
    assert [json.loads(each.to_text())["records"] for each in others] == [[part] for part in body["records"][1:3]]
    assert all(json.loads(each.to_text())["travels"] == body["travels"] for each in others)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        _with(version=2, records=[5]),
        _with(version=3, records=[{"row": {"id": 7}}, 5]),
        _with(version=2, records=[{"row": {"id": 7}}, 5], travels=5),
        _with(version=1, row=5, records=[{"row": {"id": 7}}, 5]),
        pytest.param(_with(version=2, records=[{"row": {"id": 7}}] + [5] * 9_000), id="more-than-anybody-packs"),
    ],
)
def test_where_the_message_as_a_whole_is_at_fault_it_stays_one(text: str) -> None:
    assert letters_of(text) == [letter_of(text)]
    assert isinstance(letter_of(text), Unreadable)


@given(st.text() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
def test_any_text_is_one_letter_at_least_and_no_record_of_it_is_in_two(text: str) -> None:
    letters, alone = letters_of(text), letter_of(text)
    assert letters
    assert letters == [alone] or isinstance(alone, Unreadable)
    assert len([letter for letter in letters if isinstance(letter, Message)]) <= 1


# The body on the queue


@given(st.text(WELL_FORMED))
def test_a_body_in_base64_is_its_text(text: str) -> None:
    assert text_of_body(b64encode(text.encode())) == text


@pytest.mark.parametrize("body", [b"&%$ not base64 &%$", b'{"version": 1}', b"abc", b64encode(b"\xff\xfe")])
def test_a_body_that_is_no_text_in_base64_is_taken_as_it_is(body: bytes) -> None:
    assert text_of_body(body) == body.decode()
