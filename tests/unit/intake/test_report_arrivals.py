"""However rows appear in a report, and whatever is told of calls under way: each call gets in once, and whole."""

from __future__ import annotations

import pytest

from cdr.intake.folding.fold import OwnerPolicy
from tests.support.report_arrivals import WAYS, Way, judged


@pytest.mark.parametrize("owner", ["last_answered", "each"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_call_is_lost_or_wrong_or_there_twice(way: Way, owner: OwnerPolicy) -> None:
    count = judged(way, owner, 20, 1)
    assert count.entries >= 15
    assert count.mistakes == []
