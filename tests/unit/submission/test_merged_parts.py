"""Calls that went out one by one and turned out to be one call: the Call Logger gets one entry of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cdr.calls.message import Message
from cdr.submission.ports import Claim
from cdr.submission.submit import Outcome
from shared.errors import ApiUnavailable, StorageUnavailable
from tests.support.events import Events
from tests.support.factories import make_job, make_record
from tests.support.workshop import NOON, TIMES, Workshop

PARTS = tuple(make_record(id=n, call_id="part") for n in (1, 2))
WHOLE = Message((replace(make_record(id=3, call_id="whole"), replaces=PARTS),))
STATES = {"part-1": "skipped", "part-2": "skipped", "whole-3": "submitted"}

pytestmark = pytest.mark.usefixtures("events")


def by_name(shop: Workshop) -> dict[str, str]:
    return {key.name: record.state.value for key, record in shop.ledger.records.items()}


def test_what_is_a_part_of_a_call_is_not_submitted_any_more(shop: Workshop) -> None:
    assert shop.submit(WHOLE) is Outcome.SUBMITTED
    assert [shop.submit(Message((part,))) for part in PARTS] == [Outcome.REPEATED] * 2
    assert shop.api.submitted == ["whole-3"]
    assert by_name(shop) == STATES


def test_a_part_that_waited_or_was_rejected_is_closed(shop: Workshop) -> None:
    shop.api.fail_at(1, ApiUnavailable("503"))
    shop.submit(Message(PARTS[:1]))
    shop.go_by(emails={})
    shop.submit(Message(PARTS[1:]))
    shop = Workshop(shop.clock, api=shop.api, ledger=shop.ledger)
    assert shop.submit(WHOLE) is Outcome.SUBMITTED
    assert by_name(shop) == STATES


def test_while_a_worker_has_a_part_the_call_waits_and_its_claim_is_free(shop: Workshop, events: Events) -> None:
    (claim,) = shop.ledger.claim([make_job(id=2, call_id="part")], NOON, TIMES.claim_lease)
    assert isinstance(claim, Claim)
    assert shop.submit(WHOLE) is Outcome.PUT_BACK
    assert shop.api.asked == []
    assert shop.record(make_job(id=3, call_id="whole").key).claimed_until == NOON
    assert "as part-2, which is a part of it" in events.only("call.put_back")["reason"]
    shop.ledger.give_back([(claim, "not sent")], shop.clock.now())
    shop.clock.move(TIMES.claim_lease)
    assert shop.deliver_visible() == [Outcome.SUBMITTED]


def test_a_part_that_may_have_been_sent_holds_the_call_back_until_its_own_message_finds_out(shop: Workshop) -> None:
    shop.ledger.claim([make_job(id=2, call_id="part")], NOON, TIMES.claim_lease)
    shop.clock.move(2 * TIMES.claim_lease)
    assert shop.submit(WHOLE) is Outcome.PUT_BACK
    assert shop.submit(Message(PARTS[1:])) is Outcome.SUBMITTED
    shop.clock.move(TIMES.claim_lease)
    assert shop.deliver_visible() == [Outcome.SKIPPED]
    assert by_name(shop) == {"part-1": "skipped", "part-2": "submitted", "whole-3": "skipped"}


def test_all_parts_are_closed_though_one_of_them_is_in(shop: Workshop) -> None:
    shop.submit(Message(PARTS[:1]))
    assert shop.submit(WHOLE) is Outcome.SKIPPED
    assert shop.submit(Message(PARTS[1:])) is Outcome.REPEATED
    assert shop.api.submitted == ["part-1"]


def test_what_turns_out_to_be_a_part_of_a_call_that_is_in_is_closed(shop: Workshop) -> None:
    shop.submit(Message((replace(WHOLE.records[0], replaces=()),)))
    assert shop.submit(WHOLE) is Outcome.REPEATED
    assert by_name(shop) == STATES


def test_a_call_of_which_a_part_is_in_already_gets_no_entry_and_says_so(shop: Workshop, events: Events) -> None:
    shop.submit(Message(PARTS[1:]))
    for expected in (Outcome.SKIPPED, Outcome.REPEATED):
        assert shop.submit(WHOLE) is expected
    assert shop.api.submitted == ["part-2"]
    assert by_name(shop) == {"part-1": "skipped", "part-2": "submitted", "whole-3": "skipped"}
    assert shop.record(make_job(id=3, call_id="whole").key).detail == "submitted before as part-2"
    late = events.only("call.merged_late")
    assert (late["level"], late["call"], late["part"]) == ("WARNING", "whole-3", "part-2")


def test_a_part_that_cannot_be_closed_holds_the_call_back(shop: Workshop) -> None:
    shop.ledger.fail_at(2, StorageUnavailable("503"))
    assert shop.submit(WHOLE) is Outcome.PUT_BACK
    assert shop.api.asked == []
    shop.clock.move(timedelta(seconds=30))
    assert shop.deliver_visible() == [Outcome.SUBMITTED]


def test_a_part_that_stands_where_the_call_itself_does_is_not_waited_for(shop: Workshop) -> None:
    """By today's rules they are one; the claim that would be waited for is the call's own."""
    record = make_record(id=3, call_id="whole")
    assert shop.submit(Message((replace(record, replaces=(record,)),))) is Outcome.SUBMITTED
    assert by_name(shop) == {"whole-3": "submitted"}
