"""How calls share messages: few of them one each, many of them as many as fit and can be done in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import CallRecord
from cdr.calls.message import Message
from cdr.calls.packing import Packing
from tests.support.factories import make_record
from tests.support.raw_rows import MERGED, OTHER_COLUMNS, RECORDS

MOST_BYTES = 49_152
PACKING = Packing(side_by_side=16, most_calls=42)


def sizes(packing: Packing, records: Sequence[CallRecord]) -> list[int]:
    return [len(message.records) for message in packing.pack(records)]


@pytest.mark.parametrize(
    ("calls", "messages"),
    [
        (0, []),
        (1, [1]),
        (16, [1] * 16),
        (17, [2] * 8 + [1]),
        (500, [32] * 15 + [20]),
        (672, [42] * 16),
        (2_000, [42] * 47 + [26]),
    ],
)
def test_few_calls_travel_alone_and_many_share_as_many_messages_as_are_worked_on_at_once(
    calls: int, messages: list[int]
) -> None:
    records = [make_record(id=number) for number in range(calls)]
    assert sizes(PACKING, records) == messages
    assert [record for message in PACKING.pack(records) for record in message.records] == records
    assert sizes(Packing(side_by_side=1, most_calls=1), records) == [1] * calls


@given(st.lists(RECORDS | MERGED, max_size=30), st.integers(1, 20), st.integers(1, 50))
def test_every_record_travels_once_and_in_its_turn(records: list[CallRecord], side_by_side: int, most: int) -> None:
    messages = list(Packing(side_by_side, most).pack(records))
    assert [record for message in messages for record in message.records] == records
    assert all(len(message.records) <= most for message in messages)


@pytest.mark.parametrize("character", ["x", "\U0001f600"])
def test_a_message_takes_no_more_than_fit_also_once_it_was_put_back(character: str) -> None:
    """Also where each character of the longest text in every column is escaped as twelve."""
    long = [CallRecord.from_row({"id": n} | dict.fromkeys(OTHER_COLUMNS, character * 300)) for n in range(100)]
    messages = list(Packing(1, 42).pack(long))
    largest = max(messages, key=lambda message: len(message.records))
    assert (len(largest.records) > 1) == (character == "x")
    travelled = [
        replace(message, tries=10_000, first_tried_at=datetime.max.replace(tzinfo=UTC)) for message in messages
    ]
    assert all(len(message.to_text().encode()) <= MOST_BYTES for message in travelled)
    assert [Message.from_text(message.to_text()) for message in travelled] == travelled
