"""Whose calls they are: the file's word first, then the phone system's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import Literal

from cdr.calls.rules import CallRules
from cdr.submission.directory import KeptPhoneBook
from cdr.submission.ports import PhoneBookStore
from shared.clock import Clock
from shared.errors import StorageUnavailable

Origin = Literal["extension_mapping", "phone system"]


@dataclass(frozen=True)
class Known:
    """What is known of whose extension is whose. ``kept`` None: no phone system is asked."""

    file: Mapping[str, str]
    kept: KeptPhoneBook | None = None

    @cached_property
    def emails(self) -> Mapping[str, str]:
        """By extension, wherever they come from."""
        listed = self.kept.book.emails if self.kept else {}
        return {**listed, **self.file}

    def origin_of(self, extension: str) -> Origin | None:
        """Where its address comes from; None: it has none."""
        if extension in self.file:
            return "extension_mapping"
        return "phone system" if extension in self.emails else None

    def added_to(self, rules: CallRules) -> CallRules:
        """The rules with these addresses."""
        if self.kept is None:
            return replace(rules, emails=self.emails)
        phone_book: Literal["read", "unread"] = "read" if self.kept.read_at else "unread"
        return replace(rules, emails=self.emails, phone_book=phone_book, email_problems=self.kept.book.problems)


class Addresses:
    """What a process knows of whose extension is whose. It may be a little behind what is stored.

    ``origin`` names the phone system that is asked, if any; what another one has told counts for nothing. Storage that
    cannot be read holds up nobody whose address is known.
    """

    def __init__(
        self,
        file: Mapping[str, str],
        clock: Clock,
        *,
        origin: str | None = None,
        store: PhoneBookStore | None = None,
        fresh_for: timedelta = timedelta(seconds=30),
    ) -> None:
        self._file = file
        self._clock = clock
        self._origin = origin
        self._store = store
        self._fresh_for = fresh_for
        self._one_at_a_time = Lock()
        self._looked_at: datetime | None = None
        self._known = self.with_book(None)

    def known(self) -> Known:
        """Who comes while another one looks gets what was known before, unless nothing was."""
        if self._store is None or self._is_fresh():
            return self._known
        if self._one_at_a_time.acquire(blocking=self._looked_at is None):
            try:
                if not self._is_fresh():
                    self._look_again()
            finally:
                self._one_at_a_time.release()
        return self._known

    def look(self) -> Known:
        """What is stored at this moment.

        :raises StorageUnavailable: nobody knows
        """
        return self.with_book(self._store.read() if self._store else None)

    def with_book(self, kept: KeptPhoneBook | None) -> Known:
        """What would be known with this phone book."""
        if self._origin is None:
            return Known(self._file)
        is_ours = kept is not None and kept.origin == self._origin
        return Known(self._file, kept if is_ours else KeptPhoneBook(self._origin))

    def _is_fresh(self) -> bool:
        looked_at = self._looked_at
        return looked_at is not None and timedelta() <= self._clock.now() - looked_at < self._fresh_for

    def _look_again(self) -> None:
        """In vain if storage does not tell: then whoever needs more than what is known waits."""
        with suppress(StorageUnavailable):
            self._known = self.look()
        self._looked_at = self._clock.now()
