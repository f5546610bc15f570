"""What a damaged record of the ledger says: something, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.data.tables import EntityProperty
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import Job, State
from cdr.calls.leases import LONGEST_LEASE
from cdr.edges.storage.ledger_entities import (
    Wish,
    counted_as,
    final_answer,
    freeing,
    held_answer,
    is_held_by,
    is_set_aside,
    is_unanswered,
    rejected_call,
)
from cdr.edges.storage.ledger_reading import MOMENTS, TEXTS, sound
from cdr.submission.ports import AlreadySubmitted, Claim, Held
from tests.contract.ledgers import KEY, LEASE, NOW, make_job

WRITTEN = NOW - timedelta(minutes=1)
ADDRESS = {"PartitionKey": KEY.day, "RowKey": KEY.name}


class Entity(dict[str, Any]):
    """As the table yields it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(ADDRESS | fields)
        self.metadata = {"etag": 'W/"1"', "timestamp": WRITTEN}


def answer_of(entity: Any, job: Job | None = None) -> Any:
    """To a claim: what the record says, or the claim that is made over it."""
    wish = Wish(job or make_job(), NOW, NOW + LEASE)
    wish.over(entity)
    return wish.answer_to(entity) or wish.granted_over(entity, "2")


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.builds(EntityProperty, st.integers(), st.just("Edm.Int64")),
    st.sampled_from([*State, " Submitted", "parked", "merged"]),
)
damaged = st.dictionaries(st.sampled_from([*TEXTS, *MOMENTS, "attempts"]), anything).map(
    lambda fields: Entity(**fields)
)


@given(damaged, st.sampled_from([WRITTEN, None, "long ago"]))
def test_whatever_a_record_holds_every_question_has_an_answer(entity: Entity, written: Any) -> None:
    entity.metadata["timestamp"] = written
    found = sound(entity)
    answer = answer_of(found)
    assert isinstance(answer, AlreadySubmitted | Held | Claim)
    if isinstance(answer, Claim):
        freeing(answer, "why", NOW)
        is_held_by(answer, found)
    is_set_aside(found, "8"), is_unanswered(found), counted_as(found), final_answer(found), held_answer(found, NOW)
    if found["state"] != State.CLAIMED:
        rejected_call(found)
    assert sound(found) == found


@given(damaged, st.sampled_from([{"state": "submitted"}, {"state": None, "entry_id": "e"}, {"state": "SUBMITTED "}]))
def test_nothing_hides_that_the_api_has_a_call(entity: Entity, told: dict[str, Any]) -> None:
    entity.update(told)
    assert isinstance(answer_of(sound(entity)), AlreadySubmitted)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, ""),
        ({"state": None}, ""),
        ({"state": 5}, "5"),
        ({"state": "parked"}, "parked"),
        ({"state": None, "counted": "2026-11-22T10 submitted"}, "submitted"),
        ({"state": None, "owner": "somebody", "claimed_until": NOW + LEASE}, "claimed"),
    ],
    ids=["nothing", "none", "a number", "a newer word", "counted as submitted", "a claim in hand"],
)
def test_of_a_state_that_is_no_word_the_rest_tells(fields: dict[str, Any], state: str) -> None:
    assert sound(Entity(**fields))["state"] == state
    assert isinstance(
        answer_of(sound(Entity(**fields))), {"submitted": AlreadySubmitted, "claimed": Held}.get(state, Claim)
    )


@pytest.mark.parametrize("until", ["x", None, 7], ids=repr)
def test_a_claim_whose_end_cannot_be_read_ends_a_lease_after_it_was_written(until: Any) -> None:
    found = sound(Entity(state="claimed", claimed_until=until))
    assert held_answer(found, NOW) == Held("another worker has the call until 09:09:00 UTC", WRITTEN + LONGEST_LEASE)
    assert held_answer(found, WRITTEN + LONGEST_LEASE) is None


def test_a_moment_without_an_offset_is_one_in_utc() -> None:
    found = sound(Entity(state="claimed", claimed_until=datetime(2099, 1, 1)))  # noqa: DTZ001 - the case
    assert found["claimed_until"] == datetime(2099, 1, 1, tzinfo=UTC)


def test_a_rejected_call_without_reason_or_time_was_settled_when_it_was_written() -> None:
    call = rejected_call(sound(Entity(state="rejected")))
    assert (call.reason, call.detail, call.settled_at) == ("", "", WRITTEN)


@pytest.mark.parametrize(("attempts", "counted"), [("x", 0), (None, 0), (-1, 0), (2**40, 0), ("3", 3), (4, 4)])
def test_attempts_that_are_no_number_start_again(attempts: Any, counted: int) -> None:
    assert sound(Entity(attempts=attempts))["attempts"] == counted
