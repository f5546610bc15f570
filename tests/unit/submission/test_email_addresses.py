"""Whose calls they are: what the file says, and beside it what the phone system told."""

from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread

import pytest

from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.email_addresses import Addresses, Known
from shared.errors import StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryPhoneBookStore
from tests.support.factories import ALICE, make_rules
from tests.support.workshop import NOON

FILE = {"101": ALICE, "800": "sales@example.com"}
LISTED = PhoneBook.of([("101", "other@example.com"), ("102", "bob@example.com"), ("103", None)])
KEPT = KeptPhoneBook("pbx", NOON, LISTED)
FRESH_FOR, SECOND = timedelta(seconds=30), timedelta(seconds=1)


@pytest.fixture
def store() -> InMemoryPhoneBookStore:
    return InMemoryPhoneBookStore()


@pytest.fixture
def addresses(store: InMemoryPhoneBookStore, clock: HandMovedClock) -> Addresses:
    return Addresses(FILE, clock, origin="pbx", store=store, fresh_for=FRESH_FOR)


def test_what_the_file_says_wins_and_what_it_leaves_open_the_phone_system_says() -> None:
    known = Known(FILE, KEPT)
    assert known.emails == {**FILE, "102": "bob@example.com"}
    assert [known.origin_of(extension) for extension in ("101", "102", "103")] == [
        "extension_mapping",
        "phone system",
        None,
    ]


def test_the_rules_get_the_addresses_and_what_else_is_known_of_them() -> None:
    plain = make_rules(emails={}, include_unanswered=True)
    rules = Known(FILE, KEPT).added_to(plain)
    assert (rules.emails["102"], rules.phone_book, rules.include_unanswered) == ("bob@example.com", "read", True)
    assert rules.email_problems == {"103": "has no e-mail address in the phone system"}
    assert Known(FILE, KeptPhoneBook("pbx")).added_to(plain).phone_book == "unread"
    assert Known(FILE).added_to(plain) == make_rules(emails=FILE, include_unanswered=True)


def test_without_a_phone_system_to_ask_the_file_is_all_and_nothing_is_looked_up(clock: HandMovedClock) -> None:
    addresses = Addresses(FILE, clock)
    assert addresses.known() == addresses.look() == addresses.with_book(KEPT) == Known(FILE)


def test_what_is_stored_is_looked_up_when_it_was_not_for_a_while(
    addresses: Addresses, store: InMemoryPhoneBookStore, clock: HandMovedClock
) -> None:
    assert addresses.known() == Known(FILE, KeptPhoneBook("pbx")), "nobody has read it yet"
    store.kept = KEPT
    clock.move(FRESH_FOR - SECOND)
    assert addresses.known().kept != KEPT
    clock.move(SECOND)
    assert addresses.known() == addresses.known() == Known(FILE, KEPT)
    assert store.operations == ["read", "read"]


@pytest.mark.parametrize("origin", ["a pbx", "the pbx before"])
def test_what_another_phone_system_told_counts_for_nothing(
    addresses: Addresses, store: InMemoryPhoneBookStore, origin: str
) -> None:
    store.kept = KeptPhoneBook(origin, NOON, LISTED)
    assert addresses.known() == addresses.look() == Known(FILE, KeptPhoneBook("pbx"))


def test_storage_that_does_not_tell_leaves_what_is_known_and_is_not_asked_by_every_call(
    addresses: Addresses, store: InMemoryPhoneBookStore, clock: HandMovedClock
) -> None:
    store.fail_at(1, StorageUnavailable("503"))
    assert [addresses.known().emails["101"] for _ in range(3)] == [ALICE] * 3
    store.kept = KEPT
    for _ in range(2):
        clock.move(FRESH_FOR)
        store.fail_at(2, StorageUnavailable("503"))
        assert addresses.known() == Known(FILE, KEPT)
    assert store.operations == ["read"] * 3
    store.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        addresses.look()


def test_who_comes_while_another_one_looks_goes_on_with_what_was_known(clock: HandMovedClock) -> None:
    looking, may_go_on = Event(), Event()

    class SlowStore(InMemoryPhoneBookStore):
        def read(self) -> KeptPhoneBook | None:
            if self.operations:
                looking.set()
                assert may_go_on.wait(10)
            return super().read()

    store = SlowStore()
    addresses = Addresses(FILE, clock, origin="pbx", store=store, fresh_for=FRESH_FOR)
    addresses.known()
    store.kept = KEPT
    clock.move(FRESH_FOR)
    slow = Thread(target=addresses.known)
    slow.start()
    assert looking.wait(10)
    assert addresses.known().kept == KeptPhoneBook("pbx")
    may_go_on.set()
    slow.join(10)
    assert addresses.known().kept == KEPT
