"""The REST API of 3CX V20 (XAPI): credentials for a token, a token for data.

A client of the API has one valid token: when the phone system hands out another, the one before it ends. So whoever
uses the same credentials shares one XapiClient, which does one thing at a time. A token that another program has ended
is replaced once; if the new one is refused too, somebody else is at it all the time, and a person must know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import requests

from cdr.edges.http_client import MAX_ANSWER_BYTES, Answer, HttpClient, HttpFailure, NeverSent
from shared.clock import Clock
from shared.errors import PipelineError, SourceMisconfigured, SourceUnavailable

PAGE_SIZE = 100
MOST_BYTES = 4_000_000
"""Of an answer; a page is far below."""
EXCHANGE_TIMEOUT = timedelta(seconds=20)
RENEW_BEFORE = timedelta(seconds=10)
"""A token lives for about a minute, so most of its life must be left."""

LONGEST_LIFE_S = 86_400

Item = Mapping[str, Any]
"""An object of an answer. A key whose value is null is left out, so each one may be missing."""


class NotThere(SourceUnavailable):
    """404: not this phone system, not this version of it, or not this way of asking."""


class Forbidden(SourceMisconfigured):
    """402 or 403: the API client may not read this, or the phone system's licence does not have it."""


class TooMuchAtOnce(SourceUnavailable):
    """What was asked for is too much for one answer: it took too long, or is too long. Less of it may be had."""


@dataclass(frozen=True, slots=True)
class XapiLogin:
    """``setting`` is the section of the configuration that these stand in, for messages."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    setting: str
    ca_file: str | None = None


class XapiClient:
    """May be used by several threads. ``timeout`` is that of each whole exchange, from connecting to the last byte.

    Every method raises SourceUnavailable (try later) or SourceMisconfigured (a person must act).
    """

    def __init__(
        self, login: XapiLogin, clock: Clock, *, timeout: timedelta = EXCHANGE_TIMEOUT, most_pages: int = 500
    ) -> None:
        self._login = login
        self._clock = clock
        self._most_pages = most_pages
        self._http = HttpClient(login.url, timeout=timeout, ca_file=login.ca_file)
        self._one_at_a_time = Lock()
        self._longest_queue_s = 2 * timeout.total_seconds()
        self._token = ""
        self._token_ends: datetime | None = None

    @property
    def url_setting(self) -> str:
        return f"{self._login.setting}.url"

    def get(
        self,
        path: str,
        parameters: Mapping[str, str | int] | None = None,
        *,
        role: str = "one that may read this",
        most_bytes: int = MOST_BYTES,
    ) -> Item:
        """The JSON object that stands behind a path below ``/xapi/v1/``.

        :param role: which role of the API client it takes, for a person to whom it is refused
        :raises NotThere, TooMuchAtOnce: kinds of SourceUnavailable
        """
        with self._turn():
            answer = self._get_with_token(path, parameters, most_bytes)
            if answer.status == requests.codes.unauthorized:
                answer = self._get_with_token(path, parameters, most_bytes)
        if answer.status != requests.codes.ok:
            raise self._refusal(answer.status, role)
        return self._object_in(answer, most_bytes)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """While the phone system hangs, those who come meanwhile are not to wait for one after the other of them."""
        if not self._one_at_a_time.acquire(timeout=self._longest_queue_s):
            raise SourceUnavailable(f"{self.url_setting}: the phone system keeps those waiting that came before")
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def items(self, path: str, fields: str | None = None) -> Iterator[Item]:
        """Everything in a list, page by page."""
        count = 0
        for _ in range(self._most_pages):
            parameters: dict[str, str | int] = {"$top": PAGE_SIZE, "$skip": count}
            if fields:
                parameters["$select"] = fields
            answer = self.get(path, parameters)
            page = self.list_in(answer, path)
            yield from page
            count += len(page)
            # A page that is shorter than asked for is the last one, unless the phone system says that there are more.
            if not page or (len(page) < PAGE_SIZE and "@odata.nextLink" not in answer):
                return
        raise SourceUnavailable(f"{self.url_setting}: {path} of the phone system has no end")

    def list_in(self, answer: Item, what: str) -> list[Item]:
        """The objects of an answer; an answer that is no list is no empty list."""
        found = answer.get("value")
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise SourceUnavailable(f"{self.url_setting}: the phone system's answer for {what} holds no list")
        return found

    def _get_with_token(self, path: str, parameters: Mapping[str, str | int] | None, most_bytes: int) -> Answer:
        now = self._clock.now()
        if self._token_ends is None or now >= self._token_ends:
            try:
                self._token, lifetime = self._new_token()
            except (NotThere, TooMuchAtOnce) as exc:  # which would say something of the path
                raise SourceUnavailable(str(exc)) from exc
            self._token_ends = now + max(timedelta(), lifetime - RENEW_BEFORE)
        bearer = {"Authorization": f"Bearer {self._token}"}
        answer = self._exchange("GET", f"/xapi/v1/{path}", params=parameters, headers=bearer, most_bytes=most_bytes)
        if answer.status == requests.codes.unauthorized:
            self._token_ends = None
        return answer

    def _new_token(self) -> tuple[str, timedelta]:
        answer = self._exchange("POST", "/connect/token", form=self._credentials())
        if answer.status != requests.codes.ok:
            raise self._token_refusal(answer.status)
        found = self._object_in(answer, MAX_ANSWER_BYTES)
        token = str(found.get("access_token") or "")
        if not token:
            raise SourceUnavailable(f"{self.url_setting}: the phone system's answer holds no token")
        return token, _lifetime(found)

    def _credentials(self) -> Mapping[str, str]:
        login = self._login
        return {
            "client_id": login.client_id,
            "client_secret": login.client_secret,
            "grant_type": "client_credentials",
        }

    def _exchange(self, method: str, path: str, **options: Any) -> Answer:
        try:
            return self._http.exchange(method, path, **options)
        except HttpFailure as exc:
            if exc.timed_out and not isinstance(exc, NeverSent):
                raise TooMuchAtOnce(f"{self.url_setting}: the phone system did not answer in time ({exc})") from exc
            raise SourceUnavailable(f"{self.url_setting}: the phone system was not reached ({exc})") from exc

    def _object_in(self, answer: Answer, most_bytes: int) -> Item:
        if len(answer.body) >= most_bytes:
            raise TooMuchAtOnce(f"{self.url_setting}: the phone system's answer is longer than {most_bytes} bytes")
        try:
            found = answer.json()
        except ValueError as exc:
            raise SourceUnavailable(f"{self.url_setting}: the phone system's answer is not JSON") from exc
        return found if isinstance(found, dict) else {}

    def _token_refusal(self, status: int) -> PipelineError:
        if status in (400, 401, 402, 403):
            hint = f"check {self._login.setting}.client_id and client_secret, and that it has an Enterprise licence"
            return SourceMisconfigured(f"the phone system refuses the API client ({status}): {hint}")
        return self._failure(status)

    def _refusal(self, status: int, role: str) -> PipelineError:
        client = f"{self._login.setting}.client_id"
        match status:
            case 401:
                other = f"another program seems to use {client} too, which ends our token; give it a client of its own"
                return SourceMisconfigured(f"the phone system refuses the token that it has just given (401): {other}")
            case 402 | 403:
                needs = f"{client} needs another role, {role}, or the phone system another licence (Enterprise)"
                return Forbidden(f"the phone system answered {status}: {needs}; its console may limit addresses too")
            case 400:
                hint = "the REST API of 3CX V20 Update 6 or later is needed"
                return SourceMisconfigured(
                    f"{self.url_setting}: the phone system does not take the request (400); {hint}"
                )
        return self._failure(status)

    def _failure(self, status: int) -> SourceUnavailable:
        said = f"{self.url_setting}: the phone system answered {status}"
        if status == requests.codes.not_found:
            return NotThere(f"{said}; check the address and port, and that it is 3CX V20 Update 6 or later")
        if status == requests.codes.gateway_timeout:
            return TooMuchAtOnce(f"{said}: it took too long")
        if requests.codes.multiple_choices <= status < requests.codes.bad_request:
            return SourceUnavailable(f"{said}, a redirection; give the address that it leads to")
        return SourceUnavailable(said)


def _lifetime(answer: Item) -> timedelta:
    """``expires_in`` in seconds; without it a token serves once. Up to 20.0.8 it means minutes: then renewed early."""
    seconds = answer.get("expires_in")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        return timedelta(seconds=min(seconds, LONGEST_LIFE_S))
    return timedelta()
