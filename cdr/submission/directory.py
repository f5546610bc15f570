"""Whose e-mail address belongs to an extension, as the phone system has it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.config.types import MAX_EMAIL, email_address
from shared.extensions import plain_extension

Listing = tuple[str, str | None]
"""An extension and its address."""

MOST_NAMED = 3
"""Of those who share an address."""


@dataclass(frozen=True, slots=True)
class PhoneBook:
    """``problems`` says what is wrong with an extension's address, for people.

    An address that several extensions have is a problem too, and yet the address of each of them: a person may have two
    telephones.
    """

    emails: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, listings: Iterable[Listing]) -> PhoneBook:
        """What a phone system lists. What has no extension is nobody's."""
        addresses: dict[str, set[str]] = {}
        for extension, address in listings:
            if plain := plain_extension(extension):
                addresses.setdefault(plain, set()).update({(address or "").strip()} - {""})
        problems = {extension: _problem(found) for extension, found in addresses.items()}
        emails = {extension: found.pop() for extension, found in addresses.items() if not problems[extension]}
        problems |= _shared(emails)
        return cls(emails, {extension: problem for extension, problem in sorted(problems.items()) if problem})

    def new_problems(self, known: Mapping[str, str]) -> Mapping[str, str]:
        """Those that were not known before, or are others now: each is to be told once, not with every reading."""
        return {extension: problem for extension, problem in self.problems.items() if known.get(extension) != problem}


def _problem(addresses: set[str]) -> str:
    if not addresses:
        return "has no e-mail address in the phone system"
    if len(addresses) > 1:
        return "has several e-mail addresses in the phone system"
    (address,) = addresses
    try:
        email_address(address)
    except ValueError:
        return "has an e-mail address in the phone system that is none"
    return "" if len(address) <= MAX_EMAIL else f"has an e-mail address of more than {MAX_EMAIL} characters"


def _shared(emails: Mapping[str, str]) -> Mapping[str, str]:
    """Capital letters make no other address, for the Call Logger as for mail servers."""
    extensions: dict[str, list[str]] = {}
    for extension, address in sorted(emails.items()):
        extensions.setdefault(address.lower(), []).append(extension)
    return {
        extension: f"has the same e-mail address as {_named([other for other in shared if other != extension])}"
        for shared in extensions.values()
        if len(shared) > 1
        for extension in shared
    }


def _named(extensions: Sequence[str]) -> str:
    more = len(extensions) - MOST_NAMED
    return ", ".join(extensions[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class KeptPhoneBook:
    """What is kept of a phone system's answers: its last good one, and why there has been none since.

    ``origin`` names the phone system, and how it is asked. ``read_at`` None: it never gave a good answer. Times are
    aware and in UTC.
    """

    origin: str
    read_at: datetime | None = None
    book: PhoneBook = field(default_factory=PhoneBook)
    failed_at: datetime | None = None
    failure: str | None = None
