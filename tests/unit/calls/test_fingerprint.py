"""Which call it is, where its number may have been given twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from cdr.calls.fingerprint import fingerprint, may_be_same
from tests.support.factories import make_record

PLAIN = make_record()


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param({"ended_at": None, "duration_s": None, "answered": None}, True, id="before-it-was-over"),
        pytest.param({"extension": "102", "dest_number": "102"}, True, id="corrected"),
        pytest.param({"started_at": "2026-11-22T11:00:00+01:00"}, True, id="its-start-written-in-another-way"),
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
    one, other = fingerprint(PLAIN, "UTC"), fingerprint(make_record(**changed), "UTC")
    assert may_be_same(one, other) is may_be_same(other, one) is same
    assert len(other) <= 25


def test_times_without_an_offset_are_in_the_zone_that_is_given_and_parts_of_a_row_are_its_own() -> None:
    in_berlin = make_record(call_id=None, started_at=datetime.fromisoformat("2026-11-22 11:00"))
    assert fingerprint(in_berlin, "Europe/Berlin") == fingerprint(make_record(call_id=None), "UTC")
    part = replace(make_record(call_id="7"), id="7/101")
    assert fingerprint(part, "UTC") == fingerprint(make_record(call_id="7"), "UTC")
