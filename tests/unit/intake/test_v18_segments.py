"""From the segments of 3CX V16 to V20 U5 to calls: whose each is, when it is complete, and what it is read from."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.sql.selects import read_select
from cdr.intake.folding.fold import FoldedCall, FoldOptions, records_of
from cdr.intake.folding.v18_segments import calls_of
from tests.support.v18_cases import CASES, POLICIES, PROJECT, START, Row, expected, rows_of, written

BY_NAME = {case["case"]: case["segments"] for case in CASES}


def _call(rows: Sequence[Row]) -> FoldedCall:
    (call,) = calls_of(rows)
    return call


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_call_has_the_entries_that_each_policy_makes_of_its_talks(case: dict[str, Any]) -> None:
    call = _call(rows_of(case["segments"]))
    found = {policy: [written(entry) for entry in call.owners.get(policy, ())] for policy in POLICIES}
    assert call.is_complete
    assert found == expected(case)
    assert written(call.unanswered) == case.get("unanswered")


def test_an_entry_without_a_talk_ends_with_the_call() -> None:
    entry = _call(rows_of(["A ~ 101 0-18 3"])).unanswered
    assert entry is not None
    assert entry.ended_at == START + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("segment", "cause"),
    [
        ("A ~ 101 0-9 3", "cancelled"),
        ("A = 101 0-9 5", "ended_by_source"),
        ("A = 101 0-9 6", "ended_by_destination"),
        ("A = 101 0-9 9", "source_replaced"),
        ("A = 101 0-9 10", "destination_replaced"),
        ("A = 101 0-9 101", "forwarded_no_answer"),
        ("A = 101 0-9 102", "forwarded_busy"),
        ("A = 101 0-9 15", "action_15"),
    ],
)
def test_a_record_tells_what_ended_it(segment: str, cause: str) -> None:
    (record,) = records_of(_call(rows_of([segment])), FoldOptions())
    assert record.values["hangup_cause"] == cause


def test_which_of_its_sides_are_ours_decides_on_the_type_of_a_call() -> None:
    def call_type(segment: str) -> str:
        (record,) = records_of(_call(rows_of([segment])), FoldOptions())
        return str(record.values["call_type"])

    assert [call_type(each) for each in ("A = 101 0-9 5", "101 = A 0-9 5", "101 = 102 0-9 5", "101 ~ 102 0-9 3")] == [
        "0",
        "1",
        "2",
        "2",
    ]


@given(st.sampled_from(CASES), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_copies_of_them_matter(case: dict[str, Any], chance: random.Random) -> None:
    rows = rows_of(case["segments"])
    shuffled = [*rows, *chance.choices(rows, k=2)]
    chance.shuffle(shuffled)
    assert _call(shuffled) == _call(rows)


def test_the_calls_of_many_rows_are_kept_apart() -> None:
    rows = rows_of(["A = 101 0-9 5"], call_id=1) + rows_of(["B ~ 102 0-9 3"], call_id=2)
    assert [(call.id, bool(call.owners)) for call in calls_of([rows[1], rows[0]])] == [("2", False), ("1", True)]


NO_SEGMENT = {column: None for column in rows_of(["A = 101 0-9 5"])[0] if not column.startswith("call_")}


@pytest.mark.parametrize(
    ("changed", "lack"),
    [
        (NO_SEGMENT, "call 17 has no segments"),
        ({"dst_info_id": None, "dst_dn_type": None, "dst_dn": None}, "leg 1699 has a party that is not there"),
        ({"seg_ended_at": None}, "leg 1699 has not ended"),
        ({"seg_ended_at": "soon"}, "leg 1699 has not ended"),
        ({"call_ended_at": None}, "leg 17 has not ended"),
    ],
    ids=["no segments", "no party", "no end of a segment", "an end that is no time", "no end of the call"],
)
def test_a_call_that_is_not_all_there_has_no_entry_but_is_seen(changed: Row, lack: str) -> None:
    call = _call([rows_of(["A = 101 0-9 5"])[0] | changed])
    assert not call.is_complete
    assert records_of(call, FoldOptions(), after_wait=True) == []
    (record,) = records_of(call, FoldOptions(), give_up=True)
    assert (record.id, record.values["problem"]) == ("17", f"The call never became whole: {lack}")


def test_a_party_of_an_unknown_kind_is_there_all_the_same() -> None:
    row = rows_of(["A = 101 0-9 5"])[0] | {"dst_dn_type": None}
    assert _call([row]).is_complete


def _as_text(value: object) -> object:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f0 +00:00") if isinstance(value, datetime) else str(value)


AS_DRIVERS_GIVE_THEM = {
    "naive times are UTC": lambda value: value.replace(tzinfo=None) if isinstance(value, datetime) else value,
    "all as text": _as_text,
    "numbers as decimals": lambda value: Decimal(value) if isinstance(value, int) else value,
    "text as bytes": lambda value: value.encode() if isinstance(value, str) else value,
    "text padded with blanks": lambda value: f"{value}  " if isinstance(value, str) else value,
    "another zone": lambda value: (
        value.astimezone(datetime.strptime("+05:30", "%z").tzinfo) if isinstance(value, datetime) else value
    ),
}


@pytest.mark.parametrize("given_as", AS_DRIVERS_GIVE_THEM.values(), ids=AS_DRIVERS_GIVE_THEM)
def test_a_call_is_the_same_whatever_types_a_driver_gives(given_as: Any) -> None:
    rows = rows_of(BY_NAME["the agent transfers to a colleague"])
    assert _call([{column: given_as(value) for column, value in row.items()} for row in rows]) == _call(rows)


COLUMNS = tuple(rows_of(["A = 101 0-9 5"])[0])
GARBAGE = (
    st.none()
    | st.integers(-3, 20)
    | st.sampled_from([START, START + timedelta(hours=1)])
    | st.booleans()
    | st.floats()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.text(max_size=8)
    | st.binary(max_size=8)
)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, GARBAGE)), max_size=8))
def test_whatever_the_rows_hold_each_call_has_a_record_in_the_end(rows: list[Row]) -> None:
    for call in calls_of(rows):
        for policy in POLICIES:
            records = records_of(call, FoldOptions(policy), give_up=True)
            assert len({record.id for record in records}) == len(records) >= 1
            assert all(json.dumps(record.values) for record in records)


CREATE_AND_FILL = """
CREATE TABLE cl_calls (id integer PRIMARY KEY, start_time text, end_time text);
CREATE TABLE cl_party_info (id integer PRIMARY KEY, dn_type integer, dn text, caller_number text);
CREATE TABLE cl_participants (id integer PRIMARY KEY, call_id integer, info_id integer);
CREATE TABLE cl_segments (id integer PRIMARY KEY, call_id integer, seq_order integer, src_part_id integer,
    dst_part_id integer, start_time text, end_time text, type integer, action_id integer);
INSERT INTO cl_calls VALUES (1, '2026-11-22 10:00:00', '2026-11-22 10:01:00');
INSERT INTO cl_calls VALUES (2, '2026-11-22 10:05:00', '2026-11-22 10:06:00');
INSERT INTO cl_party_info VALUES (1, 0, '101', 'Ext.101'), (2, 1, '10000', '+19075550141');
INSERT INTO cl_participants VALUES (1, 1, 2), (2, 1, 1);
INSERT INTO cl_segments VALUES (9, 1, 1, 1, 2, '2026-11-22 10:00:05', '2026-11-22 10:01:00', 2, 6);
"""


@pytest.mark.parametrize("name", ["v18-postgresql", "v18-mysql", "v18-sqlserver"])
def test_the_select_yields_the_columns_of_segments_and_calls_without_any(name: str) -> None:
    """Who took part is found by the participants: by the ids of their own rows, the two parties would be swapped."""
    with sqlite3.connect(":memory:") as database:
        database.executescript(CREATE_AND_FILL)
        select = read_select(name, PROJECT, "config/legs", "3cx.schema")
        found = database.execute(f"SELECT cdr.* FROM ({select}) AS cdr WHERE call_id > 0 ORDER BY call_id")
        rows = [dict(zip([column[0] for column in found.description], row, strict=True)) for row in found]
    database.close()
    assert set(rows[0]) == set(COLUMNS)
    answered, without_segments = calls_of(rows)
    assert [written(entry) for entry in answered.owners["each"]] == ["101 in A 55s 5-60"]
    assert not without_segments.is_complete
