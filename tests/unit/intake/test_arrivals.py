"""Whenever, in whatever order and however often the legs of a call get into the table: no entry is lost, wrong or there
twice. The table is printed at the end of a run."""

from __future__ import annotations

import pytest

from cdr.intake.folding.fold import OwnerPolicy
from tests.support.arrivals import WAYS, Count, Way, judged, table
from tests.support.sections import SECTIONS

CALLS, SEED = 45, 22
"""``python -m tests.support.arrivals`` tries as many more as it is told to."""


@pytest.mark.timeout(300)
def test_each_entry_is_there_once_and_right_in_whatever_way_its_legs_arrive() -> None:
    counts: list[Count] = []

    def count(way: Way, owner: OwnerPolicy) -> Count:
        counts.append(judged(way, owner, CALLS, SEED))
        return counts[-1]

    SECTIONS["entries, by how legs arrive"] = table(WAYS, count)
    assert [mistake for count in counts for mistake in count.mistakes] == []
    assert all(count.entries > CALLS / 2 for count in counts)
