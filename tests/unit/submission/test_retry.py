"""Whether and when a message is tried again: what hindered it, how old it is, how often it was tried."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.message import Message
from cdr.submission.ports import Held
from cdr.submission.retry import Hindrance, delay_after, is_given_up, is_over
from cdr.wiring.times import Times
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiUnavailable,
    NoTimeLeft,
    PartHeld,
    StorageUnavailable,
    SubmissionUnknown,
    TooManyRejections,
)
from tests.support.factories import make_record
from tests.support.workshop import NOON

WEEK, LEASE, SECOND = timedelta(days=7), timedelta(minutes=3), timedelta(seconds=1)
PATIENCE = Times().patience(WEEK)
UNAVAILABLE, FAILED, UNKNOWN = ApiUnavailable("not reached"), ApiFailed("500"), SubmissionUnknown("no answer")
HELD, STORAGE = Held("another worker has it", NOON + 2 * SECOND), StorageUnavailable("503")
HINDRANCES: dict[str, Hindrance] = {
    "unavailable": UNAVAILABLE,
    "failed": FAILED,
    "unknown": UNKNOWN,
    "denied": ApiDenied("401"),
    "too many": TooManyRejections("60 a minute"),
    "a part is held": PartHeld("another worker has it"),
    "storage": STORAGE,
    "no time left": NoTimeLeft("not sent"),
    "held": HELD,
    "held, nobody knows until when": Held("claimed at the same moment"),
    "held for years": Held("another worker has it", NOON + 500 * WEEK),
    "unknown, and asked to wait": SubmissionUnknown("503", timedelta(days=3)),
}
GIVEN_UP = {"unavailable", "failed", "denied", "too many", "a part is held"}
"""Not what is no fault of the call's, and not what may be on its way in."""


def message(age: timedelta | None = None, tries: int = 0) -> Message:
    return Message((make_record(),), tries, None if age is None else NOON - age)


def delay_s(hindrance: Hindrance, tries: int = 0, *, alone: bool = False) -> float:
    return delay_after(hindrance, message(tries=tries), NOON, 0.0, PATIENCE, alone=alone).total_seconds()


@pytest.mark.parametrize(
    ("age", "is_old"),
    [(None, False), (timedelta(), False), (WEEK - SECOND, False), (WEEK, True), (10 * WEEK, True)],
    ids=["first try", "just tried", "a second before", "its time is over", "long ago"],
)
@pytest.mark.parametrize("name", HINDRANCES)
def test_a_call_is_given_up_after_its_time_unless_it_is_no_fault_of_its_own_or_may_be_on_its_way_in(
    name: str, age: timedelta | None, *, is_old: bool
) -> None:
    given_up = is_given_up(HINDRANCES[name], message(age, tries=40), NOON, PATIENCE)
    assert given_up == (is_old and name in GIVEN_UP)


@pytest.mark.parametrize(
    ("hindrance", "alone", "delays_s"),
    [
        (NoTimeLeft("not sent"), True, [30, 60, 120, 240, 300, 300, 300]),
        (UNAVAILABLE, True, [30, 60, 120, 240, 300, 300, 300]),
        (FAILED, False, [30, 60, 120, 240, 300, 300, 300]),
        (FAILED, True, [30, 60, 120, 240, 480, 960, 1800]),
        (ApiDenied("403"), True, [30, 60, 120, 240, 480, 960, 1800]),
        (ApiDenied("401", of_all=True), True, [30, 60, 120, 240, 300, 300, 300]),
        (UNKNOWN, True, [185, 185, 185, 240, 480, 960, 1800]),
        (UNKNOWN, False, [185, 185, 185, 240, 300, 300, 300]),
        (HELD, True, [30, 60, 120, 240, 300, 300, 300]),
        (Held("in hand", NOON + LEASE), True, [185, 185, 185, 240, 300, 300, 300]),
        (ApiUnavailable("429", timedelta(seconds=100)), True, [100, 100, 120, 240, 300, 300, 300]),
        (ApiUnavailable("429", timedelta(hours=1)), False, [1800] * 7),
        (ApiUnavailable("429", timedelta(days=-1)), False, [30, 60, 120, 240, 300, 300, 300]),
        (SubmissionUnknown("503", timedelta(hours=1)), True, [1800] * 7),
        (SubmissionUnknown("503", timedelta(seconds=5)), True, [185, 185, 185, 240, 480, 960, 1800]),
    ],
    ids=[
        "nobody had a turn",
        "not reached",
        "failed as others do",
        "failed alone",
        "refused alone",
        "refused for what is the same with every call",
        "no answer",
        "no answer for others either",
        "held for a moment",
        "held for a lease",
        "asked to wait",
        "asked to wait for too long",
        "asked to wait until yesterday",
        "no answer, and asked to wait",
        "no answer, and asked to wait for less than the lease",
    ],
)
def test_the_delay_doubles_to_its_longest_and_is_not_shorter_than_what_would_be_in_vain(
    hindrance: Hindrance, delays_s: list[int], *, alone: bool
) -> None:
    assert [delay_s(hindrance, tries, alone=alone) for tries in (0, 1, 2, 3, 4, 5, 10_000)] == delays_s


def test_whose_turn_did_not_come_while_others_had_theirs_is_next() -> None:
    delays = [
        delay_after(why, message(tries=9), NOON, 0.0, PATIENCE, is_rest=True) for why in (NoTimeLeft("?"), UNAVAILABLE)
    ]
    assert delays == [timedelta(), timedelta(minutes=5)]


@given(
    hindrance=st.sampled_from(list(HINDRANCES.values())),
    tries=st.integers(0, 10**9),
    age=st.timedeltas(timedelta(), 10 * WEEK),
    drawn=st.floats(0, 1, exclude_max=True),
    alone=st.booleans(),
)
def test_whatever_hinders_a_call_it_waits_at_most_half_an_hour_and_jitter_takes_up_to_a_fifth(
    hindrance: Hindrance, tries: int, age: timedelta, drawn: float, *, alone: bool
) -> None:
    of_all = {"now": NOON, "patience": PATIENCE, "alone": alone}
    longest, delay = (delay_after(hindrance, message(age, tries), drawn=draw, **of_all) for draw in (0.0, drawn))
    assert longest * 0.8 - SECOND / 1000 <= delay <= longest <= timedelta(minutes=30)
    if isinstance(hindrance, SubmissionUnknown):
        assert delay > LEASE, "not before its lease has ended"


def test_a_call_without_an_answer_is_over_once_it_was_tried_in_vain_past_its_time() -> None:
    ages_when_sent = [None, WEEK - SECOND, WEEK]
    assert [is_over(message(age), NOON, PATIENCE) for age in ages_when_sent] == [False, False, True]
