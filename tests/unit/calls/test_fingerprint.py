"""Which call it is, where its number may have been given twice; and whether its record is what it was."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cdr.calls.fingerprint import facts, fingerprint, may_be_same
from tests.support.factories import make_record

PLAIN = make_record()
BEFORE_IT_WAS_OVER = {"ended_at": None, "duration_s": None, "answered": None}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param(BEFORE_IT_WAS_OVER, True, id="before-it-was-over"),
        pytest.param({"extension": "102", "dest_number": "102"}, True, id="corrected"),
        pytest.param({"started_at": None}, True, id="without-a-start"),
        pytest.param({"call_id": None}, True, id="without-a-name"),
        pytest.param({"call_id": "0000017F-8"}, True, id="another-name-at-the-same-start"),
        pytest.param({"started_at": "2026-11-23 10:00"}, True, id="another-start-under-the-same-name"),
        pytest.param({"call_id": "0000017F-8", "started_at": "2026-11-23 10:00"}, False, id="another-name-and-start"),
        pytest.param({"call_id": None, "started_at": "2026-11-23 10:00"}, False, id="another-start-without-a-name"),
        pytest.param({"call_id": "0000017F-8", "started_at": None}, False, id="another-name-without-a-start"),
        pytest.param({"call_id": None, "started_at": None}, True, id="nothing-known"),
        pytest.param({"call_id": "7", "started_at": "\ud800"}, False, id="its-number-as-its-name-and-no-time"),
    ],
)
def test_a_call_is_known_by_its_name_and_by_its_start(changed: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    one, other = fingerprint(PLAIN), fingerprint(make_record(**changed))
    assert may_be_same(one, other) is may_be_same(other, one) is same
    assert len(other) <= 25


def test_a_name_that_is_the_number_itself_tells_nothing() -> None:
    part = replace(make_record(call_id="7"), id="7/101")
    assert fingerprint(part) == fingerprint(make_record(call_id="7")) == fingerprint(make_record(call_id=None))


@pytest.mark.parametrize(
    "same",
    [
        {"duration_s": Decimal("90.0")},
        {"duration_s": "90"},
        {"answered": 1},
        {"started_at": None, "hangup_cause": None, "call_id": "other"},
        {"ended_at": " 2026-11-22 10:01:30"},
    ],
    ids=str,
)
def test_the_facts_are_the_same_however_they_are_written(same: dict[str, Any]) -> None:
    assert facts(make_record(**same)) == facts(PLAIN)
    in_berlin, in_utc = (make_record(ended_at=f"2026-11-22T{end}") for end in ("11:01:30+01:00", "10:01:30Z"))
    assert facts(in_berlin) == facts(in_utc)


@pytest.mark.parametrize(
    "changed", [BEFORE_IT_WAS_OVER, {"answered": False}, {"duration_s": 91}, {"extension": "0101"}], ids=str
)
def test_what_was_written_later_makes_other_facts(changed: dict[str, Any]) -> None:
    assert facts(make_record(**changed)) != facts(PLAIN)
