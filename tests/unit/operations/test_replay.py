"""What was rejected comes back once its cause is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cdr.calls.call import Reason, Settlement, State
from cdr.calls.message import letter_of
from cdr.operations.replay import UNDER_WAY_FOR, Replayer, ReplayOutcome, replay
from cdr.submission.submit import Outcome
from shared.errors import NoSuchCalls, SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.row_table import InMemoryCallLog, InMemoryRowTable
from tests.support.events import Events
from tests.support.factories import ALICE, make_job, make_message, make_raw_row
from tests.support.workshop import KEY, NOON, TIMES, Workshop

BUDGET, SECOND = TIMES.http_budget, timedelta(seconds=1)
NOBODYS = {"extension": "999"}

pytestmark = pytest.mark.usefixtures("events")


def replay_now(shop: Workshop, **chosen: str) -> ReplayOutcome:
    return replay(Replayer(shop.ledger, shop.queue, shop.clock, BUDGET), **chosen)


def reject(shop: Workshop, *ids: int, **columns: Any) -> None:
    for row_id in ids:
        assert shop.submit_row(id=row_id, call_id="call", **columns or NOBODYS) is Outcome.REJECTED


def queued_ids(shop: Workshop) -> list[str]:
    return sorted(letter.records[0].id for letter in shop.queue.letters)


def test_rejected_calls_are_logged_once_the_configuration_is_mended_and_no_others(
    shop: Workshop, events: Events
) -> None:
    reject(shop, 1, 2, 3)
    shop.submit_row(id=4)
    shop.submit_row(id=5, answered=False)
    shop.ledger.claim([make_job(id=6)], NOON, BUDGET)
    assert replay_now(shop) == ReplayOutcome(queued=3, under_way=0, complete=True)
    shop.go_by(emails={"999": ALICE})
    assert shop.deliver_visible() == [Outcome.SUBMITTED] * 3
    assert shop.api.submitted[1:] == ["call-1", "call-2", "call-3"]
    finished = {"event": "replay.finished", "level": "INFO", "queued": 3, "under_way": 0, "complete": True}
    assert events.only("replay.finished") == finished


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ({}, ["1", "2", "3"]),
        ({"reason": "unmapped_extension"}, ["1", "2"]),
        ({"reason": "gave_up"}, []),
        ({"call": "call-2"}, ["2"]),
    ],
    ids=["all", "by reason", "by a reason without calls", "by name"],
)
def test_calls_can_be_chosen(shop: Workshop, events: Events, chosen: dict[str, str], ids: list[str]) -> None:
    reject(shop, 1, 2)
    reject(shop, 3, duration_s=-1)
    assert replay_now(shop, **chosen) == ReplayOutcome(queued=len(ids), under_way=0, complete=True)
    assert queued_ids(shop) == ids
    assert events.only("replay.finished").items() >= chosen.items()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"call": "call-9"}, "no call 'call-9' was rejected"),
        ({"reason": "unmaped"}, "no call was rejected with the reason 'unmaped'"),
    ],
    ids=["a name", "a reason"],
)
def test_what_nobody_knows_is_told_with_what_there_is(
    shop: Workshop, events: Events, chosen: dict[str, str], words: str
) -> None:
    reject(shop, 1, 2)
    reject(shop, 3, duration_s=-1)
    with pytest.raises(NoSuchCalls, match=words) as found:
        replay_now(shop, **chosen)
    assert found.value.there == {"unmapped_extension": 2, "invalid_row": 1}
    assert "replay.finished" not in events.names


def test_a_replayed_call_begins_anew_and_remembers_where_it_stood(shop: Workshop) -> None:
    old = replace(make_message(), tries=40, first_tried_at=NOON - timedelta(days=7))
    shop.ledger.record(KEY, old, Settlement(State.REJECTED, Reason.GAVE_UP), NOON)
    replay_now(shop)
    assert shop.queue.letters == [replace(make_message(), replay_of=KEY)]
    assert shop.deliver_visible() == [Outcome.SUBMITTED]


@pytest.mark.parametrize(
    ("there", "outcome"),
    [([1, 2], Outcome.SUBMITTED), ([], Outcome.REJECTED), (None, Outcome.REJECTED)],
    ids=["completed", "gone", "the phone system does not answer"],
)
def test_what_its_row_made_impossible_is_read_once_more(
    shop: Workshop, there: list[int] | None, outcome: Outcome
) -> None:
    reject(shop, 1, 2, duration_s=None)
    table = InMemoryRowTable(make_raw_row(id=n, call_id="call") for n in there or ())
    if there is None:
        table.fail_at(1, SourceUnavailable("down"))
    replay(Replayer(shop.ledger, shop.queue, shop.clock, BUDGET, InMemoryCallLog(table, shop.clock)))
    assert table.operations.count("connect") <= 2
    assert shop.deliver_visible() == [outcome] * 2
    assert len(shop.ledger.records) == 2


def test_garbage_is_replayed_as_it_is_and_stays_one_record(shop: Workshop) -> None:
    shop.submit(letter_of("no JSON"))
    assert replay_now(shop).queued == 1
    assert shop.queue.texts == ["no JSON"]
    shop.deliver_visible()
    assert len(shop.ledger.records) == 1


def test_repeating_a_replay_queues_nothing_twice_until_the_message_must_have_got_lost(shop: Workshop) -> None:
    reject(shop, 1, 2)
    replay_now(shop)
    shop.clock.move(UNDER_WAY_FOR - SECOND)
    assert replay_now(shop) == ReplayOutcome(queued=0, under_way=2, complete=True)
    assert len(shop.queue.texts) == 2
    shop.clock.move(SECOND)
    assert replay_now(shop).queued == 2


def test_a_call_that_was_rejected_again_may_be_replayed_again_at_once(shop: Workshop) -> None:
    reject(shop, 1)
    shop.clock.move(SECOND)
    replay_now(shop)
    shop.clock.move(SECOND)
    assert shop.deliver_visible() == [Outcome.REJECTED]
    assert replay_now(shop).queued == 1


def test_a_call_that_is_settled_while_the_replay_runs_is_left_out() -> None:
    class BusyLedger(InMemoryLedger):
        def still_rejected(self, call: Any) -> Any:
            self.record(call.key, None, Settlement(State.SKIPPED, Reason.REPLAYED), NOON)
            return super().still_rejected(call)

    shop = Workshop(ledger=BusyLedger())
    reject(shop, 1)
    assert replay_now(shop).queued == 0
    assert shop.queue.texts == []


def test_a_replay_whose_time_is_over_says_so_and_the_next_one_goes_on(clock: HandMovedClock, events: Events) -> None:
    class SlowQueue(InMemoryCallQueue):
        def send_all(self, letters: Any) -> None:
            super().send_all(letters)
            clock.move(BUDGET / 2)

    shop = Workshop(clock, queue=SlowQueue(clock))
    reject(shop, 1, 2, 3, 4, 5)
    assert replay_now(shop) == ReplayOutcome(queued=2, under_way=0, complete=False)
    assert replay_now(shop) == ReplayOutcome(queued=2, under_way=2, complete=False)
    assert replay_now(shop) == ReplayOutcome(queued=1, under_way=4, complete=True)
    assert queued_ids(shop) == ["1", "2", "3", "4", "5"]
    assert [event["complete"] for event in events.named("replay.finished")] == [False, False, True]


def test_a_replay_that_fails_halfway_can_be_repeated_and_a_duplicate_does_no_harm(shop: Workshop) -> None:
    reject(shop, 1, 2, 3)
    shop.queue.fail_at(3, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        replay_now(shop)
    shop.ledger.fail_at(5, StorageUnavailable("503"))  # the third is on the queue, and nobody noted it
    with pytest.raises(StorageUnavailable):
        replay_now(shop)
    assert replay_now(shop) == ReplayOutcome(queued=1, under_way=2, complete=True)
    assert queued_ids(shop) == ["1", "2", "3", "3"]
    shop.go_by(emails={"999": ALICE})
    assert sorted(shop.deliver_visible()) == [Outcome.REPEATED] + [Outcome.SUBMITTED] * 3
