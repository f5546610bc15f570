"""The last polls: how each went, and since when they go as they do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cdr.intake.poll_history import NO_POLLS, PollHistory, PollReport
from tests.support.workshop import NOON

MINUTE = timedelta(minutes=1)


def history(*errors: str | None) -> PollHistory:
    """One poll a minute."""
    found = NO_POLLS
    for n, error in enumerate(errors):
        found = found.after(PollReport(NOON + n * MINUTE, "failed" if error else "finished", n, 5, error))
    return found


@pytest.mark.parametrize(
    ("errors", "minute"),
    [
        ([None], 0),
        ([None, None, None], 0),
        (["down"], 0),
        ([None, "down", "refused"], 1),
        (["down", None, None], 1),
        ([None, "down", None, "down"], 3),
        ([None, *["down"] * 50], 1),
    ],
    ids=["the first", "all well", "the first failed", "failing in two ways", "well again", "now and then", "for long"],
)
def test_it_knows_since_when_polls_go_as_the_newest_one(errors: list[str | None], minute: int) -> None:
    assert history(*errors).since == NOON + minute * MINUTE


def test_the_newest_twenty_are_kept_with_the_begin_of_what_they_failed_with() -> None:
    polls = history(*["x" * 10_000] * 30).polls
    assert [poll.queued for poll in polls] == list(range(29, 9, -1))
    assert {len(poll.error or "") for poll in polls} == {200}


def test_what_is_written_down_is_read_again() -> None:
    for kept in (NO_POLLS, history(None, "\ud800 漢字 ☎", None)):
        assert PollHistory.from_text(kept.to_text()) == kept


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "{}", '{"polls": [{}]}', '{"polls": [{"at": 1}], "since": null}']
)
def test_what_is_damaged_is_no_history(text: str | None) -> None:
    assert PollHistory.from_text(text) == NO_POLLS
