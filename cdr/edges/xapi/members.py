"""Members of call groups from the REST API of 3CX V20 (XAPI), with client credentials.

What it cannot see: an agent who is logged out of one queue only. XAPI has the membership of each queue and one
``QueueStatus`` per user, for all queues; ``source: database`` sees both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import requests

from cdr.edges.http_client import Answer, HttpClient, HttpFailure
from cdr.groups.alerts import Member, Observation
from shared.clock import Clock
from shared.errors import SourceMisconfigured, SourceUnavailable

PAGE_SIZE = 100
MOST_PAGES = 500
MOST_BYTES = 4_000_000
"""Of an answer; a page is far below."""
TIMEOUT = timedelta(seconds=20)
RENEW_BEFORE = timedelta(seconds=10)
"""A token lives for about a minute, so most of its life must be left."""

MISSING = Observation(None, "the group does not exist in the phone system")


class XapiMemberSource:
    """A MemberSource. One token at a time: the phone system ends an older one when it hands out a new one."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        clock: Clock,
        ca_file: str | None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._credentials = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
        self._clock = clock
        self._http = HttpClient(url, timeout=timeout, ca_file=ca_file)
        self._one_at_a_time = Lock()
        self._token = ""
        self._token_ends: datetime | None = None

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        with self._one_at_a_time:
            queues = self._numbered("Queues", group_ids)
            ring_groups = self._numbered("RingGroups", set(group_ids) - queues.keys())
            users = {str(user.get("Number")): user for user in self._all("Users")}
            seen = {
                number: self._members(f"Queues({id_})/Agents", users, in_queue=True) for number, id_ in queues.items()
            }
            for number, id_ in ring_groups.items():
                seen[number] = self._members(f"RingGroups({id_})/Members", users, in_queue=False)
        return {number: seen.get(number, MISSING) for number in group_ids}

    def _numbered(self, collection: str, numbers: Collection[str]) -> dict[str, Any]:
        """The Ids of the groups with these numbers."""
        if not numbers:
            return {}
        found = {str(item.get("Number")): item.get("Id") for item in self._all(collection, "Id,Number")}
        return {number: found[number] for number in numbers if found.get(number) is not None}

    def _members(self, path: str, users: Mapping[str, Mapping[str, Any]], *, in_queue: bool) -> Observation:
        """A member without a number is nobody whom one could know; keys that are null are left out of an answer."""
        numbers = [str(item.get("Number") or "") for item in self._all(path)]
        return Observation(tuple(Member(n, _availability(users.get(n), in_queue=in_queue)) for n in numbers))

    def _all(self, collection: str, fields: str | None = None) -> Iterator[Mapping[str, Any]]:
        if collection == "Users":
            fields = "Id,Number,Enabled,QueueStatus"
        count = 0
        for _ in range(MOST_PAGES):
            parameters = {"$top": PAGE_SIZE, "$skip": count, **({"$select": fields} if fields else {})}
            items, has_more = self._get(collection, parameters)
            yield from items
            count += len(items)
            if not has_more:
                return
        raise SourceUnavailable(f"call_groups.members.url: {collection} of the phone system has no end")

    def _get(self, path: str, parameters: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], bool]:
        """A page, and whether there may be another: this one is full, or the phone system says so."""
        answer = self._send("GET", f"/xapi/v1/{path}", params=parameters, headers=self._authorization())
        if answer.status == requests.codes.unauthorized:
            self._token_ends = None  # another tool may have asked for a token, which ended ours
            answer = self._send("GET", f"/xapi/v1/{path}", params=parameters, headers=self._authorization())
        body = _json(answer)
        items = body.get("value")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise SourceUnavailable(f"call_groups.members.url: the phone system's answer for {path} holds no list")
        return items, bool(items) and (len(items) >= PAGE_SIZE or "@odata.nextLink" in body)

    def _authorization(self) -> Mapping[str, str]:
        now = self._clock.now()
        if self._token_ends is None or now >= self._token_ends:
            body = _json(self._send("POST", "/connect/token", form=self._credentials))
            self._token = str(body.get("access_token") or "")
            if not self._token:
                raise SourceUnavailable("call_groups.members.url: the phone system's answer holds no token")
            self._token_ends = now + max(timedelta(), _lifetime(body) - RENEW_BEFORE)
        return {"Authorization": f"Bearer {self._token}"}

    def _send(self, method: str, path: str, **options: Any) -> Answer:
        try:
            return self._http.exchange(method, path, most_bytes=MOST_BYTES, **options)
        except HttpFailure as exc:
            problem = f"the phone system was not reached, or did not answer ({exc})"
            raise SourceUnavailable(f"call_groups.members.url: {problem}") from exc


def _availability(user: Mapping[str, Any] | None, *, in_queue: bool) -> bool | None:
    """Enabled, and for a queue logged in to queues; None where the answer leaves open what decides."""
    if user is None or not isinstance(user.get("Enabled"), bool):
        return None
    if not user["Enabled"] or not in_queue:
        return bool(user["Enabled"])
    return {"LoggedIn": True, "LoggedOut": False}.get(str(user.get("QueueStatus")))


def _lifetime(body: Mapping[str, Any]) -> timedelta:
    """``expires_in`` in seconds; without it a token is used once."""
    seconds = body.get("expires_in")
    return timedelta(seconds=seconds) if isinstance(seconds, int | float) else timedelta()


def _json(answer: Answer) -> Mapping[str, Any]:
    if answer.status in (400, 401, 403):
        hint = "check call_groups.members.client_id and client_secret, and the role of the client"
        raise SourceMisconfigured(f"the phone system answered {answer.status}: {hint}")
    if answer.status != requests.codes.ok:
        raise SourceUnavailable(f"call_groups.members.url: the phone system answered {answer.status}")
    try:
        body = answer.json()
    except ValueError as exc:
        raise SourceUnavailable("call_groups.members.url: the phone system's answer is not JSON") from exc
    return body if isinstance(body, dict) else {}
