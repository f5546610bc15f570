"""Looks at several things at once: each with its answer, or with why there is none."""

from __future__ import annotations

from threading import Barrier, Event

import pytest

from cdr.operations.side_by_side import Problem, SideBySide
from shared.errors import StorageUnavailable


def test_all_look_at_the_same_time() -> None:
    meet, looks = Barrier(3), SideBySide(10)
    begun = [looks.begin(lambda: meet.wait(10) >= 0) for _ in range(3)]
    assert [later.result() for later in begun] == [True] * 3


def test_who_does_not_answer_in_time_is_waited_for_once_and_whatever_he_finds_later_is_nothing() -> None:
    over, looks = Event(), SideBySide(0.2)
    slow, quick = (looks.begin(look) for look in (lambda: over.wait(10), lambda: None))
    assert (quick.result(), slow.result()) == (None, Problem("no answer within 0.2 s"))
    over.set()


def test_a_failure_is_told_and_a_defect_is_raised() -> None:
    def fails(error: Exception) -> None:
        raise error

    looks = SideBySide(10)
    failed, broken = (
        looks.begin(lambda error=error: fails(error)) for error in (StorageUnavailable("503"), KeyError())
    )
    assert failed.result() == Problem("StorageUnavailable: 503")
    with pytest.raises(KeyError):
        broken.result()
