"""Messages of several records take the same path, and each record goes its own way on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import UNDATED, CallKey, Reason, Settlement, State
from cdr.calls.message import Message
from cdr.submission.submit import Outcome, submit
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
    """The seconds until each record's message comes again; each is one try further."""
    found = {}
    for back in shop.queue.messages:
        letter = Message.from_text(back.text)
        (record,) = letter.records
        assert (letter.tries, letter.first_tried_at) == (2, NOON - 30 * SECOND)
        found[record.id] = (back.visible_at - shop.clock.now()).total_seconds()
    return found


def test_each_call_has_its_own_end_and_what_is_put_back_its_own_delay(shop: Workshop) -> None:
    message = several({}, {"answered": False}, {"extension": "999"}, {}, {}, {}, {}, {})
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
    ]
    assert waiting(shop) == {"4": 105, "6": 185, "7": 70, "8": 60}
    assert len(shop.api.asked) == 3


def test_rows_of_one_call_in_one_message_are_submitted_once(shop: Workshop) -> None:
    shop.go_by(pbx_call_id="{call_id}")
    assert submit(several({"call_id": "same"}, {"call_id": "same"}), shop.worker) == [
        Outcome.SUBMITTED,
        Outcome.PUT_BACK,
    ]
    shop.clock.move(TIMES.claim_lease + 5 * SECOND)
    assert shop.deliver_visible() == [Outcome.SKIPPED]
    assert shop.states == {"1": "submitted", "2": "skipped"}


def test_without_the_ledger_all_of_them_are_put_back_apart(shop: Workshop) -> None:
    shop.ledger.fail_at(2, StorageUnavailable("503"))
    assert submit(several({}, {}, {}), shop.worker) == [Outcome.PUT_BACK] * 3
    assert waiting(shop) == {"1": 60, "2": 60, "3": 60}


def test_what_is_not_begun_when_the_budget_ends_is_given_back_and_put_back() -> None:
    class SlowApi(InMemoryCallApi):
        def submit(self, *call: Any, **how: Any) -> Any:
            shop.clock.sleep(40)
            return super().submit(*call, **how)

    shop = Workshop(api=SlowApi())
    outcomes = submit(several({}, {}, {}, {}), shop.worker)
    assert outcomes == [Outcome.SUBMITTED] * 3 + [Outcome.PUT_BACK]
    assert [asked.give_up_at for asked in shop.api.asked] == [NOON + TIMES.submit_budget] * 3
    assert waiting(shop) == {"4": 60}
    (left,) = (record for record in shop.ledger.records.values() if record.state is State.CLAIMED)
    assert left.claimed_until == shop.clock.now()


def test_a_message_that_comes_again_and_again_is_taken_apart(shop: Workshop) -> None:
    draws = iter((0.25, 0.5, 0.75))
    shop.worker = replace(shop.worker, random=lambda: next(draws))
    assert submit(several({}, {}, {}), shop.worker, deliveries=3) == [Outcome.PUT_BACK] * 3
    assert waiting(shop) == {"1": 75, "2": 150, "3": 225}
    assert shop.ledger.operations == []


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
