"""What each person has of a call's talks: consultations are left out, and no second counts twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call import Direction
from cdr.intake.folding.talks import Talk, entries_of

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def talk(party: str, begins: int, ends: int) -> Talk:
    at = [START + timedelta(seconds=second) for second in (begins, ends)]
    return Talk(f"{party}-{begins}", "201", party, Direction.INBOUND, party, *at, None, False, None)


@pytest.mark.parametrize(
    ("talks", "seconds"),
    [
        ([talk("caller", 0, 100)], 100),
        ([talk("caller", 0, 100), talk("other", 40, 60)], 100),
        ([talk("caller", 0, 100), talk("other", 100, 160)], 160),
        ([talk("caller", 0, 100), talk("caller", 10, 20), talk("other", 50, 60)], 110),
        ([talk("caller", 0, 20), talk("caller", 10, 100), talk("other", 50, 60)], 110),
        ([talk("caller", 0, 100), talk("other", 40, 160), talk("third", 100, 110)], 110),
    ],
    ids=["one", "within", "afterwards", "after the shorter of two", "within the longer of two", "after what counts"],
)
def test_what_began_while_the_same_person_talked_to_another_party_is_a_consultation(
    talks: list[Talk], seconds: int
) -> None:
    (entry,) = entries_of(talks)["each"]
    assert entry.talk == timedelta(seconds=seconds)
