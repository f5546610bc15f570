"""Fakes of what tells whose extension is whose, and of where that is kept."""

from __future__ import annotations

from collections.abc import Mapping

from cdr.operations.ports import LedgerLook
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from tests.fakes.fake import Fake


class InMemoryDirectory(Fake):
    """A Directory that lists what a test last put into ``listed``."""

    def __init__(self, listed: Mapping[str, str | None] | None = None, name: str = "REST API of pbx") -> None:
        super().__init__()
        self.listed = dict(listed or {})
        self.name = name

    def phone_book(self) -> PhoneBook:
        with self.operation("phone_book"):
            return PhoneBook.of(self.listed.items())


class InMemoryPhoneBookStore(Fake):
    """A PhoneBookStore."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: KeptPhoneBook | None = None

    def read(self) -> KeptPhoneBook | None:
        with self.operation("read"):
            return self.kept

    def save(self, kept: KeptPhoneBook) -> None:
        with self.operation("save"):
            self.kept = kept


class InMemoryLookStore(Fake):
    """A LookStore."""

    def __init__(self) -> None:
        super().__init__()
        self.look: LedgerLook | None = None

    def read(self) -> LedgerLook | None:
        with self.operation("read"):
            return self.look

    def save(self, look: LedgerLook) -> None:
        with self.operation("save"):
            self.look = look
