"""A folded call becomes the records of whoever it is, or one that says why there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import MAX_TEXT, CallRecord, Direction
from cdr.calls.message import bytes_of
from cdr.calls.packing import MOST_BYTES
from cdr.intake.folding.fold import MOST_PARTS, Entry, FoldedCall, FoldOptions, OwnerPolicy, in_place_of, records_of
from cdr.intake.folding.leg import leg_of
from cdr.intake.folding.v20_legs import calls_of
from tests.support.v20_cases import cases

CASES = {case.name: case for case in cases()}
END = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)


def _call(name: str) -> FoldedCall:
    return calls_of(map(leg_of, CASES[name].rows))[0]


def _only(name: str, options: FoldOptions | None = None, **how: bool) -> dict[str, Any]:
    (record,) = records_of(_call(name), options or FoldOptions(), **how)
    assert record.id == record.values["id"]
    return dict(record.values)


def test_a_record_has_all_that_is_known_of_its_owner() -> None:
    call = _call("blind-transfer")
    assert _only("blind-transfer", FoldOptions("first_answered")) == {
        "id": call.id,
        "call_id": call.id,
        "started_at": "2026-11-22T22:00:00+00:00",
        "ended_at": "2026-11-22T22:00:52.250000+00:00",
        "duration_s": 46,
        "caller_number": "+19075550143",
        "dest_number": "200",
        "extension": "200",
        "call_type": "0",
        "answered": True,
        "hangup_cause": "continued_in",
        "call_group_id": "700",
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param(
            "dialled-straight-to-a-phone", ("0", "+19075550141", "201", "dst_participant_terminated"), id="inbound"
        ),
        pytest.param("rings-in-vain", ("0", "+491709990142", "201", "src_participant_terminated"), id="missed"),
        pytest.param(
            "outbound-transferred", ("1", "201", "+491709990142", "src_participant_terminated"), id="outbound"
        ),
        pytest.param("outbound-in-vain", ("1", "203", "+19075550143", "cancelled"), id="not-reached"),
        pytest.param("colleagues", ("2", "201", "202", "src_participant_terminated"), id="internal"),
        pytest.param(
            "colleague-abandons-a-queue", ("2", "201", "700", "src_participant_terminated"), id="internal-missed"
        ),
    ],
)
def test_kind_and_sides_tell_the_direction(name: str, told: tuple[str, ...]) -> None:
    record = _only(name)
    assert tuple(record[column] for column in ("call_type", "caller_number", "dest_number", "hangup_cause")) == told


def test_a_call_of_which_something_cannot_be_read_tells_just_that_once_it_is_there() -> None:
    legs = [leg_of(row) for row in CASES["dialled-straight-to-a-phone"].rows]
    broken = calls_of([*legs[:-1], replace(legs[-1], problem="a column cannot be read")])[0]
    (record,) = records_of(broken, FoldOptions("each"))
    assert (record.id, record.values["problem"]) == (broken.id, "a column cannot be read")
    assert "extension" not in record.values
    unended = calls_of([*legs[:-1], replace(legs[-1], problem="no time", ended_at=None)])[0]
    assert records_of(unended, FoldOptions()) == []
    (record,) = records_of(unended, FoldOptions(), give_up=True)
    assert record.values["problem"].endswith(f"leg {legs[-1].id} has not ended; no time")


def test_everybody_who_talked_has_a_record_of_their_own() -> None:
    call = _call("colleagues-transfer")
    records = records_of(call, FoldOptions("each"))
    told = [(r.id, r.values["call_id"], r.values["caller_number"], r.values["dest_number"]) for r in records]
    assert told == [
        (f"{call.id}/202", call.id, "201", "202"),
        (f"{call.id}/203", call.id, "201", "203"),
        (f"{call.id}/201", call.id, "201", "203"),
    ]


@pytest.mark.parametrize("policy", ["last_answered", "first_answered", "longest", "each"])
def test_a_call_in_which_nobody_talked_has_one_record_by_any_policy(policy: OwnerPolicy) -> None:
    record = _only("queue-abandoned", FoldOptions(policy))
    told = (record["id"], record["answered"], record["duration_s"], record["extension"], record["call_group_id"])
    assert told == (_call("queue-abandoned").id, False, 0, "700", "700")


@pytest.mark.parametrize("policy", ["longest", "each"])
def test_a_call_of_nobody_has_a_record_that_says_so(policy: OwnerPolicy) -> None:
    record = _only("paged", FoldOptions(policy))
    assert (record["not_logged"], record["answered"], record.get("extension")) == ("no_party", False, None)
    assert record["ended_at"] == "2026-11-22T22:00:20+00:00"


@pytest.mark.parametrize(
    ("name", "seconds", "ended_at"),
    [
        pytest.param("transferred-to-a-mobile", 400, "22:06:40", id="longer-than-the-talk"),
        pytest.param("queue-abandoned", 62, "22:01:02.361000", id="nobody-talked"),
    ],
)
def test_duration_and_end_may_be_those_of_the_whole_call(name: str, seconds: int, ended_at: str) -> None:
    record = _only(name, FoldOptions(duration="call"))
    assert (record["duration_s"], record["ended_at"]) == (seconds, f"2026-11-22T{ended_at}+00:00")


@pytest.mark.parametrize(
    ("talk", "seconds"), [(0.5, 1), (1.499999, 1), (1.5, 2), (2.5, 3), (7800.0, 7800), (0.0, 0), (-3.0, 0)]
)
def test_seconds_are_rounded_half_up_and_never_negative(talk: float, seconds: int) -> None:
    began = END - timedelta(seconds=talk)
    call = FoldedCall("call", ("call",), (), (), began, END, {}, Entry("201", Direction.INBOUND, None, END))
    (record,) = records_of(call, FoldOptions(duration="call"))
    assert record.values["duration_s"] == seconds


@pytest.mark.parametrize("name", ["origin-deleted", "successor-not-named"])
def test_what_may_never_be_written_is_waited_for_and_then_done_without(name: str) -> None:
    assert not _call(name).is_complete
    assert records_of(_call(name), FoldOptions()) == []
    record = _only(name, after_wait=True)
    assert (record["extension"], record["duration_s"], record["answered"]) == ("201", 15, True)
    assert _only(name, give_up=True) == record


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        pytest.param("still-talking", "leg leg-{}-003 has not ended", id="no-end"),
        pytest.param("goes-on-elsewhere", "leg leg-{}-002 goes on in a leg that is not there", id="no-successor"),
    ],
)
def test_what_may_be_a_talk_that_goes_on_is_only_told_of_when_it_is_given_up(name: str, lacks: str) -> None:
    assert records_of(_call(name), FoldOptions(), after_wait=True) == []
    record = _only(name, give_up=True)
    number = record["id"].split("-")[1]
    assert record["problem"] == f"The call never became whole: {lacks.format(number)}"
    assert record["call_id"] == _call(name).id


def test_a_problem_names_one_leg_of_each_kind_that_the_call_cannot_do_without() -> None:
    gone = {"cdr_ended_at": None, "originating_cdr_id": "deleted"}
    (call,) = calls_of(leg_of(row | gone) for row in CASES["goes-on-elsewhere"].rows)
    (record,) = records_of(call, FoldOptions(), give_up=True)
    first, second, _ = call.legs
    assert record.values["problem"] == (
        f"The call never became whole: leg {first} has not ended (and 2 more),"
        f" leg {second} goes on in a leg that is not there"
    )


def _parts(number: int) -> list[CallRecord]:
    """With the longest names there are."""
    row = {"call_id": "c" * MAX_TEXT, "started_at": END, "ended_at": END, "caller_number": "n" * MAX_TEXT}
    return [CallRecord.from_row({"id": f"{n:0{MAX_TEXT}}", **row}) for n in range(number)]


def test_as_many_parts_as_a_record_is_in_place_of_fit_into_its_message() -> None:
    (record,) = in_place_of(_parts(MOST_PARTS), _parts(MOST_PARTS + 1)[-1:])
    assert [part.id for part in record.replaces] == [part.id for part in _parts(MOST_PARTS)]
    assert bytes_of(record) < MOST_BYTES


def test_a_call_that_would_be_in_place_of_more_says_so_instead_of_holding_up_the_queue() -> None:
    (record,) = in_place_of(_parts(MOST_PARTS + 1), _parts(MOST_PARTS + 2)[-1:])
    assert record.replaces == ()
    assert f"after {MOST_PARTS + 1} parts of it" in str(record.values["problem"])
