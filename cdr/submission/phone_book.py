"""Use case: read the phone system's phone book, now and then, and keep its last good answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.ports import Directory, PhoneBookStore
from shared import log
from shared.clock import Clock
from shared.errors import SourceMisconfigured, SourceUnavailable, named


@dataclass(frozen=True, slots=True)
class PhoneBookReader:
    """What the phone book is read with, ``every`` so often; after a failure as often as it is tried."""

    directory: Directory
    store: PhoneBookStore
    clock: Clock
    every: timedelta


def read_phone_book(reader: PhoneBookReader) -> KeptPhoneBook:
    """The phone book, read again if it is time. A phone system that does not tell leaves what it told before.

    :raises StorageUnavailable: it cannot be kept
    """
    kept, now = _ours(reader), reader.clock.now()
    if kept.read_at is not None and timedelta() <= now - kept.read_at < reader.every:
        return kept
    told = ask(reader.directory, kept, now)
    if told.failed_at == now:
        _report_failure(told, now)
    else:
        _report(told, kept.book)
    reader.store.save(told)
    return told


def ask(directory: Directory, kept: KeptPhoneBook, now: datetime) -> KeptPhoneBook:
    """What is to be kept after asking the phone system now."""
    try:
        return replace(kept, read_at=now, book=_asked(directory), failed_at=None, failure=None)
    except (SourceUnavailable, SourceMisconfigured) as exc:
        return replace(kept, failed_at=now, failure=named(exc))


def _ours(reader: PhoneBookReader) -> KeptPhoneBook:
    """What another phone system told before the configuration named this one is forgotten."""
    kept = reader.store.read()
    return kept if kept is not None and kept.origin == reader.directory.name else KeptPhoneBook(reader.directory.name)


def _asked(directory: Directory) -> PhoneBook:
    """:raises SourceMisconfigured: also where it lists nobody at all, which is no good answer"""
    book = directory.phone_book()
    if not book.emails and not book.problems:
        raise SourceMisconfigured(
            "extension_mapping_from: the phone system lists no extensions; what may its login see?"
        )
    return book


def _report(told: KeptPhoneBook, before: PhoneBook) -> None:
    now, then = told.book.emails.keys(), before.emails.keys()
    log.event("directory.read", source=told.origin, extensions=len(now), added=len(now - then), gone=len(then - now))
    if new := told.book.new_problems(before.problems):
        sentences = [log.mask_numbers(f"extension {extension} {problem}") for extension, problem in new.items()]
        log.event("directory.problems", level=logging.WARNING, count=len(new), problems=sentences)


def _report_failure(told: KeptPhoneBook, now: datetime) -> None:
    age_s = round((now - told.read_at).total_seconds()) if told.read_at else None
    reason = log.mask_numbers(told.failure or "")
    log.event("directory.failed", level=logging.WARNING, source=told.origin, reason=reason, age_s=age_s)
