"""The phone system's phone book in Table Storage, and when the ledger was last looked through by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.table import PIECE, Table, from_pieces, in_pieces
from cdr.operations.ports import LedgerLook
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from shared.errors import StorageUnavailable

BOOK = {"PartitionKey": "phone book", "RowKey": "kept"}
LOOK = {"PartitionKey": "phone book", "RowKey": "look"}
PIECES = 14
"""Of 30,000 characters, two bytes each: with the rest of the entity below its 1 MiB. Enough for 10,000 extensions."""
MAX_FAILURE = 2_000


class TablePhoneBookStore:
    """A PhoneBookStore on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def read(self) -> KeptPhoneBook | None:
        found = self._table.read(*BOOK.values())
        return _kept(found) if found is not None else None

    def save(self, kept: KeptPhoneBook) -> None:
        self._table.put(
            {
                **BOOK,
                "origin": kept.origin,
                "read_at": _text(kept.read_at),
                "failed_at": _text(kept.failed_at),
                "failure": (kept.failure or "")[:MAX_FAILURE],
                **in_pieces("book", self._book_text(kept.book), PIECES),
            }
        )

    def _book_text(self, book: PhoneBook) -> str:
        """Rather without what is wrong with some extensions, which is then told once more, than not at all."""
        for problems in (book.problems, {}):
            text = json.dumps({"emails": dict(book.emails), "problems": dict(problems)}, separators=(",", ":"))
            if len(text) <= PIECES * PIECE:
                return text
        raise StorageUnavailable(
            f"table {self._table.name}: the phone book makes {len(text)} characters, at most {PIECES * PIECE} fit"
        )


class TableLookStore:
    """A LookStore on the same table."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def read(self) -> LedgerLook | None:
        found: Any = self._table.read(*LOOK.values()) or {}
        at = _moment(found.get("looked_at"))
        return LedgerLook(str(found.get("extensions")), at, bool(found.get("is_last"))) if at else None

    def save(self, look: LedgerLook) -> None:
        fields = {"extensions": look.extensions, "looked_at": _text(look.at), "is_last": look.is_last}
        self._table.put({**LOOK, **fields})


def _kept(found: Mapping[str, Any]) -> KeptPhoneBook:
    """What can be read of it. Without a book it counts as never read."""
    book = _book(from_pieces("book", found, PIECES))
    return KeptPhoneBook(
        origin=str(found.get("origin") or ""),
        read_at=_moment(found.get("read_at")) if book else None,
        book=book or PhoneBook(),
        failed_at=_moment(found.get("failed_at")),
        failure=found.get("failure") or None,
    )


def _book(text: str) -> PhoneBook | None:
    try:
        told = json.loads(text)
        emails, problems = (
            {str(key): str(value) for key, value in told[name].items()} for name in ("emails", "problems")
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return PhoneBook(emails, problems)


def _text(moment: datetime | None) -> str:
    """In the microsecond, which the table service would round."""
    return moment.isoformat() if moment else ""


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
