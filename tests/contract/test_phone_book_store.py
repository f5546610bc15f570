"""What every PhoneBookStore and LookStore does: the fakes, and a table in Azurite."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cdr.edges.storage.phone_book import PIECES, TableLookStore, TablePhoneBookStore
from cdr.edges.storage.table import PIECE
from cdr.operations.ports import LedgerLook, LookStore
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.ports import PhoneBookStore
from shared.errors import StorageUnavailable
from tests.fakes.directory import InMemoryLookStore, InMemoryPhoneBookStore
from tests.systems.storage import Line, Storage

NOW = datetime(2026, 11, 23, 8, 5, 3, 250_001, tzinfo=UTC)
BOOK = PhoneBook({"0101": "zoé@example.com", "102": "b@example.com"}, {"103": "has no e-mail address"})
KEPT = KeptPhoneBook("REST API of pbx", NOW, BOOK)

Stores = tuple[PhoneBookStore, LookStore]


@pytest.fixture(params=["fake", "azurite"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "fake":
        return InMemoryPhoneBookStore(), InMemoryLookStore()
    storage: Storage = request.getfixturevalue("storage")
    name = storage.new_name()
    return TablePhoneBookStore(storage.account, name), TableLookStore(storage.account, name)


def test_a_phone_book_comes_back_as_it_was_kept_and_replaces_the_one_before(stores: Stores) -> None:
    store, _ = stores
    assert store.read() is None
    for kept in (
        KeptPhoneBook("REST API of pbx", failed_at=NOW, failure="SourceUnavailable: 503"),
        replace(KEPT, failed_at=NOW + timedelta(hours=1), failure="x"),
        KEPT,
        KeptPhoneBook("database pbx", NOW),
    ):
        store.save(kept)
        assert store.read() == kept


def test_thousands_of_extensions_come_back(stores: Stores) -> None:
    store, _ = stores
    book = PhoneBook({f"{n:05}": f"somebody-with-a-name.{n:05}@example.com" for n in range(6_000)})
    store.save(replace(KEPT, book=book))
    assert store.read().book == book
    store.save(KEPT)
    assert store.read() == KEPT


def test_a_look_comes_back_as_it_was_noted_and_is_no_phone_book(stores: Stores) -> None:
    store, looks = stores
    assert looks.read() is None
    for look in (LedgerLook("a1b2", NOW, is_last=False), LedgerLook("c3", NOW, is_last=True)):
        looks.save(look)
        assert looks.read() == look
    assert store.read() is None


# The table alone


@pytest.mark.parametrize("text", ["", "{", "[]", '{"emails": []}', '{"emails": {}, "problems": 1}'])
def test_a_damaged_phone_book_counts_as_never_read(storage: Storage, text: str) -> None:
    name = storage.new_name()
    store = TablePhoneBookStore(storage.account, name)
    store.save(KEPT)
    storage.plain_table(name).upsert_entity({"PartitionKey": "phone book", "RowKey": "kept", "book_0": text})
    assert store.read() == KeptPhoneBook("REST API of pbx")


def test_what_is_wrong_with_extensions_is_left_out_where_there_is_no_room_and_an_endless_book_refused(
    storage: Storage,
) -> None:
    store = TablePhoneBookStore(storage.account, storage.new_name())
    long = PhoneBook(BOOK.emails, {str(n): "has no e-mail address in the phone system" for n in range(9_000)})
    store.save(replace(KEPT, book=long))
    assert store.read().book == PhoneBook(BOOK.emails)
    with pytest.raises(StorageUnavailable, match=f"at most {PIECES * PIECE} fit"):
        store.save(replace(KEPT, book=PhoneBook({str(n): "a" * 50 for n in range(9_000)})))


def test_an_account_that_does_not_do_its_work_is_unavailable(storage: Storage, line: Line, no_second_try: None) -> None:
    name = storage.new_name()
    for store, value in (
        (TablePhoneBookStore(storage.account, name), KEPT),
        (TableLookStore(storage.account, name), LedgerLook("", NOW, is_last=True)),
    ):
        store.read()
        line.fail_next("GET", "answered 503")
        with pytest.raises(StorageUnavailable):
            store.read()
        line.fail_next("PATCH", "not sent")
        with pytest.raises(StorageUnavailable):
            store.save(value)
