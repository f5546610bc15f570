"""The simulated V20 phone system: which calls it has, what is told of them, and which legs it writes when."""

import random
import re
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.folding.leg import leg_of
from cdr.intake.folding.v20_legs import calls_of
from local.phone_system.cut import cut_off
from local.phone_system.programme import KINDS, LONGEST, MOST_LEGS, Programme, shortened
from local.phone_system.story import story
from local.phone_system.v20_pbx import V20Pbx
from tests.support.waiting import wait_until

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
A_KIND, A_SEED = st.sampled_from(sorted(KINDS)), st.integers(0, 10**6)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "calls.sqlite"


def a_call(kind, seed=7, begin=BEGIN):
    return Programme(random.Random(seed)).call_of(kind, begin)


def written(file):
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM cdroutput")]


def folded(rows):
    return calls_of(map(leg_of, rows))


# Its calls


def test_calls_of_every_kind_take_turns_and_the_same_seed_plays_the_same_ones():
    def some(seed):
        programme = Programme(random.Random(seed))
        return [programme.next_call(BEGIN) for _ in range(len(KINDS))]

    first = some(5)
    assert first == some(5) != some(6)
    assert len({call.id for call in first}) == len(KINDS)


@given(A_KIND, A_SEED)
def test_a_call_of_any_kind_is_short_and_only_one_of_a_kind_is_of_the_extension_without_an_address(kind, seed):
    call = a_call(kind, seed)
    assert len(call.rows) <= MOST_LEGS
    assert call.ended_at - call.started_at <= LONGEST
    assert [each.extension == "106" for each in call.owners["last_answered"]] in ([kind == "unmapped"], [])


@given(wait=st.integers(1, 400_000), more=st.integers(1, 400_000))
def test_waits_are_shortened_to_seconds_and_what_nobody_could_see_is_left_as_it_is(wait, more):
    assert 1 <= shortened(wait) <= 6_000
    assert shortened(wait) == wait or wait > 100
    assert shortened(wait, 0.25) <= shortened(wait)
    assert shortened(100 + wait) <= shortened(100 + wait + more)


# What is told


WORDS = {
    "queue, second round": "begins rings rings answers ends",
    "mailbox": "begins goes_on ends",
    "unmapped": "begins answers ends",
    "attended transfer": "begins answers asks answers joins ends",
    "outbound": "begins answers ends",
    "blind transfer": "begins answers transfer answers ends",
    "unanswered": "begins ends",
    "menu": "begins answers ends",
    "forwarded": "begins goes_on answers ends",
    "internal": "begins answers ends",
    "abandoned queue": "begins rings ends",
    "ring group": "begins rings answers ends",
}


@given(A_KIND, A_SEED)
def test_a_calls_story_has_what_its_kind_is_about_in_order(kind, seed):
    moments = story(a_call(kind, seed).rows)
    assert moments == sorted(moments, key=lambda moment: moment.at)
    words = iter([moment.what.replace(" ", "_") for moment in moments])
    assert all(word in words for word in WORDS[kind].split()), moments
    assert len(moments) <= MOST_LEGS + 2


def test_a_story_names_who_calls_whom_and_who_is_rung_together():
    told = [(moment.what, moment.detail) for moment in story(a_call("queue, second round", 1).rows)]
    assert re.fullmatch(r"(\+\d+|anonymous|no number) → 80[01] (Sales|Support)", told[0][1])
    assert re.fullmatch(r"10\d [A-Z][a-z]+, 10\d [A-Z][a-z]+", next(detail for what, detail in told if what == "rings"))
    assert re.fullmatch(r"\d legs in cdroutput", told[-1][1])
    assert story(a_call("unanswered").rows)[-1].detail == "nobody talked, 2 legs in cdroutput"


# What is written


@pytest.mark.parametrize("kind", KINDS)
def test_a_leg_is_written_when_it_has_ended_and_the_call_is_told_as_it_was_played(file, clock, kind):
    told = []
    played = a_call(kind, begin=clock.now())
    with V20Pbx(file, rng=random.Random(1), now=clock.now, on_event=told.append) as pbx:
        pbx.begin(played)
        for _ in range(33):
            clock.move(timedelta(milliseconds=500))
            pbx.catch_up()
            there = {row["cdr_id"] for row in written(file)}
            assert {leg["cdr_id"] for leg in played.rows if leg["cdr_ended_at"] <= clock.now()} <= there
            assert len(there) == len(played.rows) or told[-1].what != "ends"
    (call,) = folded(written(file))
    assert (call.id, call.is_complete, len(written(file))) == (played.id, True, len(played.rows))
    owner, answers = call.owners.get("last_answered", ()), played.owners["last_answered"]
    assert [(entry.extension, entry.talk) for entry in owner] == [(answer.extension, answer.talk) for answer in answers]
    assert [event.what for event in told] == [moment.what for moment in story(played.rows)]
    assert {(event.call, event.number) for event in told} == {(played.id, 1)}


def test_of_each_fourth_call_a_leg_that_others_go_on_in_comes_late(file, clock):
    told = []
    with V20Pbx(file, rng=random.Random(1), now=clock.now, on_event=told.append) as pbx:
        for _ in range(4):
            pbx.begin(a_call("unmapped", begin=clock.now()))
        clock.move(LONGEST)
        pbx.catch_up()
        pbx.catch_up()
        while told[-1].what != "late row":
            assert [call.is_complete for call in folded(written(file))] == [True]
            clock.move(timedelta(seconds=1))
            pbx.catch_up()
    assert told[-1].number == 4


@given(A_KIND, A_SEED, st.floats(0, 1))
def test_a_call_that_is_cut_off_at_any_moment_is_whole(kind, seed, part):
    """And what had ended by then is as it was."""
    played = a_call(kind, seed)
    at = played.started_at + part * (played.ended_at - played.started_at)
    legs = cut_off(played.rows, at)
    (call,) = folded(legs)
    assert call.is_complete
    assert (call.id, call.started_at) == (played.id, played.started_at)
    assert call.ended_at <= at + timedelta(milliseconds=50)
    ended = [leg for leg in played.rows if leg["cdr_ended_at"] <= at]
    assert [leg for leg in legs if leg["cdr_ended_at"] <= at and leg in ended] == ended


# What runs by itself


def test_stopped_it_hangs_up_and_every_call_that_began_is_whole_and_told_to_its_end(file):
    told = []
    pbx = V20Pbx(file, rng=random.Random(1), pace=0.1, on_event=told.append)
    stop = threading.Event()
    with pbx:
        thread = threading.Thread(target=pbx.run, args=(stop,), kwargs={"calls_per_minute": 1200})
        thread.start()
        wait_until(lambda: len([event for event in told if event.what == "ends"]) > 3)
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    calls = folded(written(file))
    assert all(call.is_complete for call in calls)
    for what in ("begins", "ends"):
        assert sorted(event.call for event in told if event.what == what) == sorted(call.id for call in calls)
    assert len(calls) >= 4


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        V20Pbx(tmp_path / "missing" / "calls.sqlite", rng=random.Random(1), on_event=print)
