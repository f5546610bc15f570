"""Extension to e-mail address from the REST API of 3CX V20.

Disabled users are listed too: what they talked while they were enabled is still theirs.
"""

from __future__ import annotations

from cdr.edges.xapi.client import XapiClient
from cdr.submission.directory import PhoneBook


class XapiDirectory:
    """A Directory."""

    def __init__(self, client: XapiClient, url: str = "") -> None:
        self._client = client
        self.name = f"REST API of {url}"

    def phone_book(self) -> PhoneBook:
        """:raises SourceUnavailable, SourceMisconfigured: the phone system does not tell"""
        users = self._client.items("Users", "Id,Number,EmailAddress")
        return PhoneBook.of((str(user.get("Number") or ""), _text(user.get("EmailAddress"))) for user in users)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
