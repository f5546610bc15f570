"""Calls of one message side by side, and what a defect that one of them meets does to the others."""

from __future__ import annotations

import threading

import pytest

from cdr.submission.concurrency import Hands


def test_what_one_raises_is_raised_once_the_others_are_done() -> None:
    other_works, done = threading.Event(), []

    def work(item: str) -> None:
        if item == "defect":
            other_works.set()
            raise LookupError(item)
        assert other_works.wait(10)
        done.append(item)

    with pytest.raises(LookupError):
        Hands(2).each(work, ["other", "defect"])
    assert done == ["other"]


def test_after_a_defect_all_hands_are_free_again() -> None:
    hands = Hands(1)
    with pytest.raises(LookupError):
        hands.each({}.__getitem__, ["nobody"])
    assert hands.each(str.upper, ["a", "b"]) == ["A", "B"]
