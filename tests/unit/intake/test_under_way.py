"""What is under way is held against the calls of the records: only what nothing there can be counts as over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cdr.intake.window_order.under_way import Looks, UnderWay, look

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEEP = 6 * MINUTE


def at(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def looks_at(*found: tuple[float, Sequence[UnderWay]]) -> Looks:
    looks = Looks()
    for minutes, calls in found:
        looks, _ = look(looks, calls, at(minutes), KEEP)
    return looks


TALK = UnderWay("7", at(2.5), at(2.5))
RINGS = UnderWay("7", None, at(2))


@pytest.mark.parametrize(
    ("found", "over"),
    [
        ([], None),
        ([(5, [])], 5),
        ([(3, [])], None),
        ([(2, []), (5, [TALK])], None),
        ([(2, []), (5, [TALK]), (6, [])], 6),
        ([(2, []), (3, [RINGS]), (5, [TALK])], None),
        ([(5, [UnderWay("7", at(-30))])], 5),
        ([(3, []), (3.5, []), (6.5, []), (7, [UnderWay("7", at(6.8))])], 6.5),
        ([(5, [UnderWay("7")])], None),
        ([(-20, [UnderWay("7", None, at(-20))]), (5, [UnderWay("7", at(2), at(2))])], 5),
        ([(2, []), (5, [UnderWay("7", at(30), at(30))])], None),
    ],
    ids=[
        "nobody has looked",
        "nothing is there",
        "it had not ended yet",
        "one that began meanwhile is there",
        "it is gone",
        "it has been established meanwhile",
        "one was there before it began",
        "one began later",
        "nothing is known of when one began",
        "one that has changed was there before it began",
        "one began meanwhile, by whatever clock it was established",
    ],
)
def test_a_call_is_over_from_the_first_look_on_at_which_there_was_nothing_that_it_may_be(
    found: list[tuple[float, list[UnderWay]]], over: float | None
) -> None:
    """Its rows started at noon and ended at four minutes past."""
    assert looks_at(*found).over_since(NOON, at(4)) == (None if over is None else at(over))


def test_looks_are_forgotten_but_for_the_newest_before() -> None:
    looks = looks_at((0, [TALK]), (1, [TALK]), (2, []), (9, []), (10, []))
    assert looks.times == (at(2), at(9), at(10))
    assert looks.seen == ()


def test_rows_are_expected_around_the_moment_of_what_has_ended_or_changed() -> None:
    looks = looks_at((5, [TALK, UnderWay("8", at(1)), UnderWay("9")]))
    _, moments = look(looks, [UnderWay("8", at(1))], at(6), KEEP)
    assert moments == [at(2.5)]
    _, moments = look(looks, [TALK, UnderWay("8", at(5.5))], at(6), KEEP)
    assert moments == [at(1)]


def test_a_change_is_known_to_the_millisecond_which_is_how_it_is_kept() -> None:
    (seen,) = looks_at((3, [UnderWay("7", at(2) + timedelta(microseconds=123_456))])).seen
    assert seen.moment == at(2) + timedelta(milliseconds=123)
