"""Calls that were rejected for want of an address come back by themselves once there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cdr.calls.call import CallKey, Reason, Settlement, State
from cdr.operations.learn_addresses import Learner, learn
from cdr.operations.replay import Replayer, ReplayOutcome
from cdr.submission.email_addresses import Addresses
from cdr.submission.phone_book import PhoneBookReader
from cdr.submission.submit import Outcome
from shared.errors import SourceUnavailable, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.directory import InMemoryDirectory, InMemoryLookStore, InMemoryPhoneBookStore
from tests.support.events import Events
from tests.support.factories import ALICE, make_message
from tests.support.workshop import NOON, TIMES, Workshop

MINUTE = timedelta(minutes=1)

pytestmark = pytest.mark.usefixtures("events")


class Site:
    """A worker, and the phone system that he learns from; ``file`` is what the configuration maps."""

    def __init__(self, shop: Workshop | None = None, **file: str) -> None:
        self.shop = shop or Workshop()
        self.directory = InMemoryDirectory({"101": ALICE})
        self.store, self.looks = InMemoryPhoneBookStore(), InMemoryLookStore()
        self.start(**file)

    def start(self, *, asks: bool = True, **file: str) -> None:
        """A new process, perhaps with another file."""
        shop, mapping = self.shop, {name.removeprefix("e"): email for name, email in file.items()}
        origin = self.directory.name if asks else None
        addresses = Addresses(mapping, shop.clock, origin=origin, store=self.store if asks else None)
        reader = PhoneBookReader(self.directory, self.store, shop.clock, TIMES.phone_book_every)
        replayer = Replayer(shop.ledger, shop.queue, shop.clock, TIMES.learning_budget)
        self.learner = Learner(reader if asks else None, addresses, self.looks, replayer, TIMES.look_again_after)
        shop.go_by(emails={})
        shop.worker = replace(shop.worker, addresses=addresses)

    def learn(self) -> ReplayOutcome | None:
        return learn(self.learner)

    def minutes(self, count: int) -> int:
        """What the timer does all the while; how many calls were replayed."""
        queued = 0
        for _ in range(count):
            self.shop.clock.move(MINUTE)
            outcome = self.learn()
            queued += outcome.queued if outcome else 0
        return queued

    @property
    def looked(self) -> int:
        return self.shop.ledger.operations.count("rejected")

    def reject(self, *ids: int, extension: str = "102") -> None:
        for row_id in ids:
            assert self.shop.submit_row(id=row_id, call_id="call", extension=extension) is Outcome.REJECTED


def test_a_new_extension_in_the_phone_system_brings_its_calls_back_and_no_others(events: Events) -> None:
    site = Site()
    site.learn()
    site.reject(1, 2)
    site.reject(3, extension="199")
    assert site.shop.submit_row(id=4, duration_s=-1) is Outcome.REJECTED
    site.directory.listed["102"] = "bob@example.com"
    assert site.minutes(15) == 2
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED] * 2
    assert site.shop.api.submitted == ["call-1", "call-2"]
    learned = events.only("extensions.learned")
    assert (learned["level"], learned["queued"], learned["complete"]) == ("INFO", 2, True)
    assert site.minutes(60) == 0


def test_the_ledger_is_looked_through_twice_for_a_change_and_never_else() -> None:
    site = Site()
    assert site.learn() == ReplayOutcome(0, 0, complete=True), "at the very first start"
    assert site.minutes(120) == 0
    assert site.looked == 2
    site.directory.listed["102"] = "bob@example.com"
    site.minutes(120)
    assert site.looked == 4
    site.start()
    site.minutes(20)
    assert site.looked == 4, "a process that starts with the same addresses"


def test_a_look_counts_only_once_the_calls_that_an_earlier_version_rejected_are_known() -> None:
    site = Site()
    site.shop.ledger.old = True
    site.minutes(10)
    assert site.looked == 10
    site.shop.ledger.old = False
    site.minutes(10)
    assert site.looked == 12


def test_what_a_worker_rejects_who_does_not_know_yet_comes_back_with_the_second_look() -> None:
    site = Site()
    site.minutes(10)
    site.directory.listed["102"] = "bob@example.com"
    site.minutes(5)
    known = site.shop.worker.addresses
    site.shop.worker = replace(site.shop.worker, addresses=Addresses({}, site.shop.clock))
    site.reject(1)
    site.shop.worker = replace(site.shop.worker, addresses=known)
    assert site.minutes(6) == 1
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED]


@pytest.mark.parametrize("asks", [True, False], ids=["with a phone system to ask", "with the file alone"])
def test_a_deployment_whose_file_maps_an_extension_brings_its_calls_back(*, asks: bool) -> None:
    site = Site(e101=ALICE)
    site.minutes(10)
    site.reject(1)
    site.start(asks=asks, e101=ALICE, e102="bob@example.com")
    assert site.minutes(1) == 1
    assert site.shop.deliver_visible() == [Outcome.SUBMITTED]


def test_records_of_1_0_0_are_found_by_their_sentence() -> None:
    site = Site(e102="bob@example.com")
    old = Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, "extension 102 has no address in extension_mapping")
    site.shop.ledger.record(CallKey("2026-11-22", "call-1"), make_message(extension="102"), old, NOON)
    assert site.learn() == ReplayOutcome(1, 0, complete=True)


def test_hundreds_of_calls_trip_no_brake() -> None:
    site = Site(Workshop(rejections=3))
    site.learn()
    site.reject(*range(200))
    site.directory.listed["102"] = "bob@example.com"
    assert site.minutes(15) == 200
    site.shop.worker = replace(site.shop.worker, addresses=Addresses({}, site.shop.clock))
    assert set(site.shop.deliver_visible()) == {Outcome.REJECTED}, "also not where they are rejected once more"
    assert site.shop.submit_row(duration_s=-1) is Outcome.REJECTED


def test_what_does_not_fit_into_its_time_is_gone_on_with_a_minute_later() -> None:
    class SlowQueue(InMemoryCallQueue):
        def send_all(self, letters: Any) -> None:
            super().send_all(letters)
            shop.clock.move(TIMES.learning_budget / 2)

    shop = Workshop()
    shop.queue = queue = SlowQueue(shop.clock)
    site = Site(shop, e199="x@example.com")
    site.learn()
    site.reject(1, 2, 3, 4, 5)
    queue.messages.clear()
    site.start(e102="bob@example.com")
    outcomes = [site.learn() for _ in range(3)]
    assert [(outcome.queued, outcome.complete) for outcome in outcomes if outcome] == [
        (2, False),
        (2, False),
        (1, True),
    ]
    assert len(queue.texts) == 5


def test_a_phone_system_that_does_not_answer_keeps_no_call_of_the_files_from_coming_back() -> None:
    site = Site()
    site.directory.fail_at(1, SourceUnavailable("503"))
    site.learn()
    assert site.shop.submit_row(id=1, extension="102") is Outcome.PUT_BACK
    old = Settlement(State.REJECTED, Reason.UNMAPPED_EXTENSION, "", extension="103")
    site.shop.ledger.record(CallKey("2026-11-22", "call-3"), make_message(extension="103"), old, NOON)
    site.start(e103="carol@example.com")
    site.directory.fail_at(1, SourceUnavailable("503"))
    assert site.learn() == ReplayOutcome(1, 0, complete=True)


@pytest.mark.parametrize("part", ["store", "looks", "ledger"])
def test_storage_that_fails_is_a_line_in_the_log_and_the_next_one_goes_on(events: Events, part: str) -> None:
    site = Site()
    broken = site.shop.ledger if part == "ledger" else getattr(site, part)
    broken.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        site.learn()
    assert events.only("storage.failed")["reason"] == "503"
    assert site.learn() == ReplayOutcome(0, 0, complete=True)
