"""A message that is none of ours is kept with its text, or comes again; nothing on a queue stops a worker."""

from __future__ import annotations

import json
import random
from base64 import b64encode

import pytest
from hypothesis import given

from cdr.calls.call import UNDATED, State
from cdr.calls.message import letter_of, text_of_body
from cdr.submission.submit import Outcome, submit
from shared.errors import StorageUnavailable
from tests.fakes.ledger import MAX_MESSAGE_IN_LEDGER
from tests.support.events import Events
from tests.support.factories import OUTSIDE
from tests.support.workshop import NOON, TIMES, Workshop
from tests.unit.submission.texts import TEXTS

pytestmark = pytest.mark.usefixtures("events")

LONG = text_of_body(b64encode(random.Random(7).randbytes(46 * 1024)))
"""More than the ledger has room for."""

GARBAGE = {
    "empty": "",
    "no JSON": "no JSON",
    "no object": "[]",
    "no row": '{"version": 1}',
    "another version": '{"version": 3, "row": {"id": 7}}',
    "no travels": '{"version": 1, "row": {"id": 7}, "travels": 3}',
    "nested": "[" * 40_000,
    "long": LONG,
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_recorded_with_its_text_as_far_as_it_fits(shop: Workshop, events: Events, text: str) -> None:
    assert shop.submit(letter_of(text)) is Outcome.REJECTED
    ((key, record),) = shop.ledger.records.items()
    assert (record.state, record.reason) == (State.REJECTED, "invalid_message")
    assert record.message == text[:MAX_MESSAGE_IN_LEDGER]
    assert (record.row_id, key.day) == (None, UNDATED)
    assert shop.queue.texts == []
    rejected = events.only("call.rejected")
    assert (rejected["call"], rejected["level"], rejected["reason"]) == (key.name, "WARNING", "invalid_message")


def test_the_same_garbage_has_one_record_however_often_it_comes(shop: Workshop) -> None:
    for text in ("no JSON", "no JSON", "other garbage", LONG, LONG + "!"):
        shop.submit(letter_of(text))
    assert len(shop.ledger.records) == 4


def test_a_number_in_garbage_is_masked_in_the_log(shop: Workshop, events: Events) -> None:
    shop.submit(letter_of(json.dumps({"version": OUTSIDE})))
    assert "***42" in events.only("call.rejected")["detail"]


@pytest.mark.parametrize("hindrance", ["too many rejections", "no ledger"])
def test_garbage_that_cannot_be_recorded_now_is_put_back(events: Events, hindrance: str) -> None:
    shop = Workshop(rejections=0 if hindrance == "too many rejections" else 60)
    shop.ledger.fail_at(1, StorageUnavailable("503"))
    assert shop.submit(letter_of("no JSON")) is Outcome.PUT_BACK
    (back,) = shop.queue.messages
    assert (back.text, back.visible_at) == ("no JSON", NOON + TIMES.longest_delay)
    assert events.only("call.put_back")["level"] == "ERROR"


def test_without_ledger_and_queue_it_raises_for_the_host_to_bring_it_again(shop: Workshop) -> None:
    shop.ledger.fail_at(1, StorageUnavailable("503"))
    shop.queue.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        shop.submit(letter_of("no JSON"))


@given(TEXTS)
def test_any_text_ends_in_the_ledger(text: str) -> None:
    shop = Workshop()
    submit(letter_of(text), shop.worker)
    while shop.queue.messages:  # twice the same record: the second waits for the first one's claim
        shop.clock.move(TIMES.redelivery)
        shop.deliver_visible()
    assert shop.ledger.records
    assert State.CLAIMED not in {record.state for record in shop.ledger.records.values()}
