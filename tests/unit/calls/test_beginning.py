"""When a call of 3CX V20 began stands in its id, to the microsecond; no other id is taken for such a one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdr.calls.beginning import beginning_in
from tests.support.report_writings import time_id

NOON = datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC)
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize("moment", [NOON, FIRST, LAST], ids=str)
def test_the_time_in_an_id_is_when_the_flow_began(moment: datetime) -> None:
    written = time_id(moment, 7)
    assert [beginning_in(flow) for flow in (written, written.replace("-", ""))] == [moment] * 2


@pytest.mark.parametrize(
    "flow",
    [
        "",
        "17",
        "0000017F-7",
        "6f2d3c52-8a5f-4b8e-9d9a-2f1b6f0e7c11",
        "00000000-ffff-ffff-ffff-ffffffffffff",
        time_id(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), 7),
        time_id(datetime(2200, 1, 1, tzinfo=UTC), 7),
        f"{time_id(NOON, 7)}0",
    ],
)
def test_any_other_id_tells_no_time(flow: str) -> None:
    assert beginning_in(flow) is None
