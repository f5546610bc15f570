"""Messages of several records take the same path, and each record goes its own way on it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.calls.message import Message, Unreadable
from cdr.submission.submit import DELIVERIES_TOGETHER, TRIES_APART, Outcome, submit
from shared.errors import ApiDenied, ApiFailed, ApiRejected, ApiUnavailable, StorageUnavailable, SubmissionUnknown
from tests.fakes.call_api import InMemoryCallApi
from tests.support.factories import make_job, make_record
from tests.support.workshop import NOON, TIMES, Workshop

SECOND = timedelta(seconds=1)
OLD = CallKey(UNDATED, "row-1")


def several(*rows: dict[str, Any]) -> Message:
    """A message with a record for each, numbered from 1, that was tried once before."""
    records = [make_record(**{"id": n, "call_id": f"call-{n}"} | row) for n, row in enumerate(rows, start=1)]
    return Message(tuple(records), tries=1, first_tried_at=NOON - 30 * SECOND)


def waiting(shop: Workshop) -> dict[str, float]:
    """The records of each message that comes again, and the seconds until then; each is one try further."""
    found = {}
    for back in shop.queue.messages:
        letter = Message.from_text(back.text)
        assert (letter.tries, letter.first_tried_at) == (2, NOON - 30 * SECOND)
        found[" ".join(record.id for record in letter.records)] = (back.visible_at - shop.clock.now()).total_seconds()
    return found


def test_each_call_has_its_own_end_and_those_that_wait_equally_long_travel_together_again(shop: Workshop) -> None:
    message = several({}, {"answered": False}, {"extension": "999"}, {}, {}, {}, {}, {}, {"answered": False}, {})
    shop.ledger.claim([make_job(id=4, call_id="call-4")], NOON, timedelta(seconds=100))
    known, _ = shop.ledger.claim([make_job(id=5, call_id="call-5"), make_job(id=9)], NOON, TIMES.claim_lease)
    shop.ledger.settle([(known, Settlement(State.SUBMITTED, Reason.CREATED))], NOON)
    shop.api.fail_at(2, SubmissionUnknown("no answer"))  # of 6
    shop.api.fail_at(3, ApiUnavailable("429", 70 * SECOND))  # of 7, and from then on the API is down
    assert submit(message, shop.worker) == [
        Outcome.SUBMITTED,
        Outcome.SKIPPED,
        Outcome.REJECTED,
        Outcome.PUT_BACK,
        Outcome.REPEATED,
        Outcome.PUT_BACK,
        Outcome.PUT_BACK,
        Outcome.PUT_BACK,
        Outcome.SKIPPED,
        Outcome.PUT_BACK,
    ]
    assert waiting(shop) == {"4": 105, "6": 185, "7": 70, "8 10": 60}
    assert len(shop.api.asked) == 3
    claims = {r.row_id: r.claimed_until for r in shop.ledger.records.values() if r.state is State.CLAIMED}
    assert claims.pop("6") == NOON + TIMES.claim_lease, "it may be on its way"
    assert [claims[row_id] for row_id in ("7", "8", "10")] == [NOON] * 3, "free for whoever gets them next"


def test_rows_of_one_call_in_one_message_are_submitted_once(shop: Workshop) -> None:
    shop.go_by(pbx_call_id="{call_id}")
    assert submit(several({"call_id": "same"}, {"call_id": "same"}), shop.worker) == [
        Outcome.SUBMITTED,
        Outcome.PUT_BACK,
    ]
    shop.clock.move(TIMES.claim_lease + 5 * SECOND)
    assert shop.deliver_visible() == [Outcome.SKIPPED]
    assert shop.states == {"1": "submitted", "2": "skipped"}


def test_without_the_ledger_all_of_them_are_put_back(shop: Workshop) -> None:
    shop.ledger.fail_at(2, StorageUnavailable("503"))
    assert submit(several({}, {}, {}), shop.worker) == [Outcome.PUT_BACK] * 3
    assert waiting(shop) == {"1 2 3": 60}


def test_what_cannot_be_settled_is_put_back_and_its_claims_go_on(shop: Workshop) -> None:
    shop.ledger.fail_at(4, StorageUnavailable("503"))
    assert submit(several({}, {}, {}), shop.worker) == [Outcome.PUT_BACK] * 3
    assert waiting(shop) == {"1 2 3": 60}
    while shop.queue.messages:
        shop.clock.sleep(30)
        shop.deliver_visible()
    assert shop.api.submitted == ["call-1-1", "call-2-2", "call-3-3"]
    assert set(shop.states.values()) == {"submitted"}


def test_what_is_not_begun_when_the_budget_ends_is_given_back_and_comes_again_at_once() -> None:
    class SlowApi(InMemoryCallApi):
        def submit(self, *call: Any, **how: Any) -> Any:
            shop.clock.sleep(40)
            return super().submit(*call, **how)

    shop = Workshop(api=SlowApi())
    outcomes = submit(several({}, {}, {}, {}, {"answered": False}, {}), shop.worker)
    assert outcomes == [Outcome.SUBMITTED] * 3 + [Outcome.PUT_BACK, Outcome.SKIPPED, Outcome.PUT_BACK]
    assert [asked.give_up_at for asked in shop.api.asked] == [NOON + TIMES.submit_budget] * 3
    assert waiting(shop) == {"4 6": 0}
    left = [record.claimed_until for record in shop.ledger.records.values() if record.state is State.CLAIMED]
    assert left == [shop.clock.now()] * 2
    assert shop.deliver_visible() == [Outcome.SUBMITTED] * 2


def test_a_message_that_comes_again_and_again_is_taken_apart(shop: Workshop) -> None:
    draws = iter((0.25, 0.5, 0.75))
    shop.worker = replace(shop.worker, random=lambda: next(draws))
    assert submit(several({}, {}, {}), shop.worker, deliveries=3) == [Outcome.PUT_BACK] * 3
    assert waiting(shop) == {"1": 75, "2": 150, "3": 225}
    assert shop.ledger.operations == []


def test_a_message_that_was_put_back_often_is_taken_apart_all_the_same(shop: Workshop) -> None:
    tried_often = replace(several({}, {}), tries=TRIES_APART)
    assert submit(tried_often, shop.worker, deliveries=DELIVERIES_TOGETHER + 1) == [Outcome.PUT_BACK] * 2
    assert [len(letter.records) for letter in shop.queue.letters if isinstance(letter, Message)] == [1, 1]


def test_several_calls_of_a_message_are_under_way_at_once_but_no_more_than_there_are_hands() -> None:
    under_way, most, enough = 0, 0, threading.Event()
    lock = threading.Lock()

    class SlowApi(InMemoryCallApi):
        """Nobody gets an answer before three have asked."""

        def submit(self, *call: Any, **how: Any) -> Any:
            nonlocal under_way, most
            with lock:
                under_way, most = under_way + 1, max(most, under_way + 1)
                if under_way == 3:
                    enough.set()
            assert enough.wait(10)
            with lock:
                under_way -= 1
            return super().submit(*call, **how)

    shop = Workshop(api=SlowApi(), hands=3)
    assert submit(several(*[{}] * 8), shop.worker) == [Outcome.SUBMITTED] * 8
    assert most == 3


def test_what_an_older_version_rejected_as_a_whole_is_replayed_and_leaves_one_closed_record(shop: Workshop) -> None:
    packed = several({}, {}, {})
    old = Unreadable(packed.to_text(), "the message has version '2', this worker knows 1").key
    shop.ledger.record(old, packed, Settlement(State.REJECTED, Reason.INVALID_MESSAGE), NOON)
    assert submit(replace(packed, replay_of=old), shop.worker) == [Outcome.SUBMITTED] * 3
    assert len(shop.ledger.records) == 4
    assert (shop.record(old).state, shop.record(old).reason) == (State.SKIPPED, "replayed")


FAILURES = st.sampled_from(
    [None, ApiUnavailable("503"), ApiFailed("500"), ApiDenied("401"), SubmissionUnknown("?"), ApiRejected("400")]
)


@given(st.lists(FAILURES, max_size=12), st.lists(st.booleans(), max_size=12), st.lists(st.booleans(), max_size=4))
def test_whatever_fails_on_the_way_each_call_has_one_record_in_the_end(
    api: list[Exception | None], ledger: list[bool], answers_lost: list[bool]
) -> None:
    shop = Workshop()
    for n, failure in enumerate(api, start=1):
        if failure:
            shop.api.fail_at(n, failure, answer_lost=isinstance(failure, SubmissionUnknown) and n % 2 == 0)
    for n, fails in enumerate(ledger, start=1):
        if fails:
            shop.ledger.fail_at(
                n, StorageUnavailable("503"), answer_lost=n in [i for i, lost in enumerate(answers_lost) if lost]
            )
    shop.queue.send_all([several({}, {}, {"answered": False}, {})])
    while shop.queue.messages:
        shop.deliver_visible()
        shop.clock.sleep(30)
    assert len(shop.api.submitted) == len(set(shop.api.submitted))
    ends = {row_id: state for row_id, state in shop.states.items() if state != "rejected"}
    assert ends == {row_id: "skipped" if row_id == "3" else "submitted" for row_id in ends}
    assert shop.states.keys() == {"1", "2", "3", "4"}
