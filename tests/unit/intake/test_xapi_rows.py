"""Rows of the phone system's report become the calls that its table of legs would show, as far as they can tell."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.folding.fold import Entry, FoldedCall, FoldOptions, records_of
from cdr.intake.folding.xapi_rows import calls_of_report, duration_in, leg_of_report
from cdr.intake.queued_marks import mark_of
from tests.support.report_cases import START, Answer, Case, cases

CASES = {case.name: case for case in cases()}
PLAIN = CASES["dialled straight to a phone"].rows[0]


def fold(rows: list[Mapping[str, Any]]) -> list[FoldedCall]:
    return calls_of_report(map(leg_of_report, rows))


def told(entry: Entry | None) -> Answer | None:
    if entry is None:
        return None
    answered_at = None if entry.answered_at is None else (entry.answered_at - START).total_seconds()
    ended_at = (entry.ended_at - START).total_seconds()
    talk = entry.talk.total_seconds()
    return (str(entry.extension), entry.direction.value, entry.number, talk, answered_at, ended_at, entry.group)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_rows_become_the_right_calls_in_whatever_order_and_however_often(case: Case) -> None:
    shuffled = random.Random(case.name).sample(case.rows * 2, len(case.rows) * 2)
    for rows in (case.rows, shuffled):
        (call,) = fold(rows)
        assert {policy: [told(entry) for entry in found] for policy, found in call.owners.items()} == case.owners
        assert told(call.unanswered) == case.unanswered
        assert call.id == "flow-1"
        assert call.is_complete


ONLY_A_NUMBER_TELLS = "outbound, then passed on to another line: the talk ended there"


@pytest.mark.parametrize("name", sorted(CASES.keys() - {ONLY_A_NUMBER_TELLS}))
def test_another_numbering_of_what_the_sides_are_changes_no_answer(name: str) -> None:
    kinds = ("SourceType", "DestinationType")
    for rows in (
        [row | {kind: row[kind] + 20 for kind in kinds} for row in CASES[name].rows],
        [{key: value for key, value in row.items() if key not in kinds} for row in CASES[name].rows],
    ):
        assert fold(rows) == fold(CASES[name].rows)


def test_calls_are_told_apart_by_their_flows_which_may_be_joined_over_several_steps() -> None:
    flows = [("a", "a"), ("b", "b"), ("c", "b"), ("d", "c"), ("e", None)]
    rows = [PLAIN | {"CdrId": f"row-{flow}", "CallHistoryId": flow, "MainCallHistoryId": main} for flow, main in flows]
    assert [call.flows for call in fold(rows)] == [("a",), ("b", "c", "d"), ("e",)]


@pytest.mark.parametrize("shown", ["+19075550143", "00493052007001", "anonymous"])
def test_who_is_passed_on_to_a_mobile_came_in_and_goes_out_by_the_line(shown: str) -> None:
    row = CASES["passed on to a mobile by somebody who had answered"].rows[1]
    leg = leg_of_report(row | {"SourceCallerId": shown})
    assert (leg.source.is_outside, leg.source.is_incoming) == (True, True)
    assert (leg.destination.is_outside, leg.destination.is_incoming) == (True, False)


# What a row does not say


@pytest.mark.parametrize(
    ("changes", "flow", "leg"),
    [
        ({"CallHistoryId": None}, "flow-1", "row-1"),
        ({"CdrId": None}, "flow-1", "flow-1/1"),
        ({"CdrId": "00000000-0000-0000-0000-000000000000"}, "flow-1", "flow-1/1"),
        ({"CallHistoryId": None, "MainCallHistoryId": None}, "row-1", "row-1"),
    ],
    ids=str,
)
def test_a_row_without_one_of_its_ids_has_another(changes: dict[str, Any], flow: str, leg: str) -> None:
    found = leg_of_report({key: value for key, value in (PLAIN | changes).items() if value is not None})
    assert (found.flow, found.id) == (flow, leg)


def test_rows_without_any_id_are_calls_of_their_own_and_the_same_ones_each_time() -> None:
    ids = ("CdrId", "CallHistoryId", "MainCallHistoryId", "SegmentId")
    nameless = {key: value for key, value in PLAIN.items() if key not in ids}
    rows = [nameless, nameless | {"DestinationDn": "202"}]
    assert len({call.id for call in fold([*rows, *rows])}) == 2


@pytest.mark.parametrize(
    ("changes", "missing_keys"),
    [
        ({"StartTime": "yesterday"}, ()),
        ({}, ("StartTime",)),
        ({"TalkingDuration": "a while"}, ()),
        ({}, ("TalkingDuration",)),
        ({"RingingDuration": "-PT1S"}, ()),
    ],
    ids=str,
)
def test_a_talk_whose_times_cannot_be_read_becomes_a_record_that_says_so_and_no_guess(
    changes: dict[str, Any], missing_keys: tuple[str, ...]
) -> None:
    row = {key: value for key, value in (PLAIN | changes).items() if key not in missing_keys}
    (call,) = fold([row])
    assert records_of(call, FoldOptions(), after_wait=True) == []
    (record,) = records_of(call, FoldOptions(), give_up=True)
    assert "row-1 has not ended" in record.values["problem"]


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"RingingDuration": None}, 65),
        ({"Status": None}, 65),
        ({"Status": "Completed"}, 65),
        ({"Status": "Completed", "Answered": False}, None),
        ({"Status": "Unanswered", "Answered": True}, None),
        ({"Status": "Unanswered", "Answered": False, "TalkingDuration": None}, None),
        ({"CallType": None}, 65),
        ({"CallType": "System"}, 65),
        ({"DestinationType": 5}, None),
        ({"CallType": "Voicemail"}, None),
        ({"Direction": None}, 65),
        ({"Direction": "Sideways", "SourceType": None}, None),
    ],
    ids=str,
)
def test_what_is_missing_or_unknown_leads_to_the_nearest_right_answer(
    changes: dict[str, Any], seconds: float | None
) -> None:
    (call,) = fold([{key: value for key, value in (PLAIN | changes).items() if value is not None}])
    assert call.is_complete
    owners = call.owners.get("last_answered", ())
    assert [entry.talk.total_seconds() for entry in owners] == ([] if seconds is None else [seconds])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0),
        ("PT1M1.432135S", 61.432135),
        ("PT2H10M", 7800),
        ("P1DT2H3M4S", 93_784),
        ("P1D", 86_400),
        ("PT9.98600009S", 9.986),
        ("", None),
        ("-PT1S", None),
        ("P1M", None),
        ("00:01:05", None),
        (65, None),
    ],
)
def test_durations_are_iso_8601(text: Any, seconds: float | None) -> None:
    assert duration_in({"It": text}, "It") == (None if seconds is None else timedelta(seconds=seconds))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=12),
    st.sampled_from(["PT5S", "Inbound", "Answered", "half a \ud83d"]),
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(PLAIN)), VALUES), max_size=6))
def test_any_rows_become_calls_and_each_row_is_in_one_of_them(rows: list[dict[str, Any]]) -> None:
    legs = [leg_of_report(PLAIN | row) for row in rows] + [leg_of_report(row) for row in rows]
    calls = calls_of_report(legs)
    assert sorted(leg for call in calls for leg in call.legs) == sorted({leg.id for leg in legs})
    for call in calls:
        assert records_of(call, FoldOptions("each"), give_up=True)
        assert all(mark_of(flow, None) for flow in call.flows)


# What a row says of where the call went on

QUEUES_ROW, TALKS_ROW = CASES["a queue's row is answered and waiting, and no talk"].rows


@pytest.mark.parametrize(
    ("reason", "rows", "whole"),
    [
        ("Sales (700) was replaced by Jones, A. (B) (200)", [QUEUES_ROW, TALKS_ROW], (True, True)),
        ("Sales (700) was replaced by Jones (200)", [QUEUES_ROW], (False, False)),
        ("Sales (700) was replaced by Smith (201)", [QUEUES_ROW, TALKS_ROW], (False, False)),
        ("Sales (700) was replaced by Menu (QCB)", [QUEUES_ROW], (False, True)),
        ("Sales (700) was replaced by Menu (QCB)", [QUEUES_ROW, TALKS_ROW], (True, True)),
        ("Sales (700) was replaced by  ()", [QUEUES_ROW], (True, True)),
        ("Ended by Jones (200)", [QUEUES_ROW], (True, True)),
    ],
    ids=["it is there", "it is not", "only somebody else is", "of no number", "of any number", "nowhere", "it ended"],
)
def test_a_call_that_went_on_somewhere_is_whole_once_there_is_a_row_of_it(
    reason: str, rows: list[dict[str, Any]], whole: tuple[bool, bool]
) -> None:
    """Now, and after it was waited for."""
    (call,) = fold([row | {"Reason": reason} if row is QUEUES_ROW else row for row in rows])
    assert (call.is_complete, call.may_be_logged) == whole
