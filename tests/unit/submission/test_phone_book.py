"""The phone system's phone book is read now and then, and its last good answer kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.phone_book import PhoneBookReader, read_phone_book
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable, StorageUnavailable
from tests.fakes.clock import HandMovedClock
from tests.fakes.directory import InMemoryDirectory, InMemoryPhoneBookStore
from tests.support.events import Events
from tests.support.factories import OUTSIDE
from tests.support.workshop import NOON

EVERY, SECOND = timedelta(minutes=15), timedelta(seconds=1)
LISTED = {"101": "alice@example.com", "102": "bob@example.com"}
BOOK = PhoneBook.of(LISTED.items())
DOWN = SourceUnavailable(f"3cx.xapi.url: the phone system at {OUTSIDE} answered 503")

pytestmark = pytest.mark.usefixtures("events")


@pytest.fixture
def reader(clock: HandMovedClock) -> PhoneBookReader:
    return PhoneBookReader(InMemoryDirectory(LISTED), InMemoryPhoneBookStore(), clock, EVERY)


def test_it_is_read_at_once_and_then_every_quarter_of_an_hour(reader: PhoneBookReader, clock: HandMovedClock) -> None:
    kept = KeptPhoneBook("REST API of pbx", NOON, BOOK)
    assert read_phone_book(reader) == reader.store.kept == kept
    reader.directory.listed["103"] = "carol@example.com"
    clock.move(EVERY - SECOND)
    assert read_phone_book(reader) == kept
    clock.move(SECOND)
    assert read_phone_book(reader).book.emails.keys() == {"101", "102", "103"}
    assert reader.store.kept.read_at == NOON + EVERY
    clock.move(-2 * EVERY)
    assert read_phone_book(reader).read_at == clock.now(), "the clock was set back"


def test_a_new_process_goes_on_from_what_the_one_before_kept(reader: PhoneBookReader, clock: HandMovedClock) -> None:
    read_phone_book(reader)
    clock.move(SECOND)
    other = PhoneBookReader(InMemoryDirectory(), reader.store, clock, EVERY)
    assert read_phone_book(other).book == BOOK
    assert other.directory.operations == []


def test_what_another_phone_system_told_is_forgotten(reader: PhoneBookReader) -> None:
    reader.store.kept = KeptPhoneBook("database old", NOON, PhoneBook({"199": "old@example.com"}))
    assert read_phone_book(reader).book == BOOK


@pytest.mark.parametrize(
    "error",
    [DOWN, SourceMisconfigured("3cx.xapi.client_id needs another role")],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_leaves_the_last_good_answer_and_is_tried_again_each_time(
    reader: PhoneBookReader, clock: HandMovedClock, events: Events, error: PipelineError
) -> None:
    read_phone_book(reader)
    for _ in range(2):
        clock.move(EVERY)
        reader.directory.fail_at(1, error)
        kept = read_phone_book(reader)
        assert (kept.book, kept.read_at, kept.failed_at) == (BOOK, NOON, clock.now())
        assert kept.failure == f"{type(error).__name__}: {error}"
    failed = events.named("directory.failed")
    assert [(line["level"], line["age_s"]) for line in failed] == [("WARNING", 900), ("WARNING", 1800)]
    assert failed[0]["source"] == "REST API of pbx"
    clock.move(SECOND)
    assert read_phone_book(reader) == KeptPhoneBook("REST API of pbx", clock.now(), BOOK)


def test_an_answer_without_any_extension_is_no_good_one(reader: PhoneBookReader, clock: HandMovedClock) -> None:
    reader.directory.listed = {}
    kept = read_phone_book(reader)
    assert (kept.read_at, "lists no extensions" in kept.failure) == (None, True)
    reader.directory.listed = LISTED
    read_phone_book(reader)
    clock.move(EVERY)
    reader.directory.listed = {}
    assert read_phone_book(reader).book == BOOK


def test_what_is_wrong_with_an_extension_is_told_once_also_after_a_restart(
    reader: PhoneBookReader, clock: HandMovedClock, events: Events
) -> None:
    reader.directory.listed |= {"103": None, "104": "no address", "105": "Bob@example.com"}
    for _ in range(3):
        read_phone_book(reader)
        clock.move(EVERY)
    told = events.only("directory.problems")
    assert (told["level"], told["count"]) == ("WARNING", 4)
    assert told["problems"] == [
        "extension 102 has the same e-mail address as 105",
        "extension 103 has no e-mail address in the phone system",
        "extension 104 has an e-mail address in the phone system that is none",
        "extension 105 has the same e-mail address as 102",
    ]
    reader.directory.listed["103"] = "bad"
    read_phone_book(reader)
    assert events.named("directory.problems")[1]["count"] == 1


def test_a_reading_says_what_has_changed(reader: PhoneBookReader, clock: HandMovedClock, events: Events) -> None:
    read_phone_book(reader)
    clock.move(EVERY)
    reader.directory.listed = {"102": "bob@example.com", "103": "carol@example.com", "104": "dave@example.com"}
    read_phone_book(reader)
    counts = [(line["extensions"], line["added"], line["gone"]) for line in events.named("directory.read")]
    assert counts == [(2, 2, 0), (3, 2, 1)]


def test_storage_that_fails_is_an_error_and_the_next_one_reads_again(reader: PhoneBookReader) -> None:
    for n in (1, 2):
        reader.store.fail_at(n, StorageUnavailable("503"))
        with pytest.raises(StorageUnavailable):
            read_phone_book(reader)
    assert read_phone_book(reader).book == BOOK
