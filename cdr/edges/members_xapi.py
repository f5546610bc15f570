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

from cdr.groups import Member, Observation
from shared.clock import Clock
from shared.errors import SourceMisconfigured, SourceUnavailable

PAGE_SIZE = 100
MOST_PAGES = 500
TIMEOUTS_S = (5.0, 20.0)
RENEW_BEFORE = timedelta(seconds=10)
"""A token lives for about a minute, so most of its life must be left."""

MISSING = Observation(None, "the group does not exist in the phone system")


class XapiMemberSource:
    """A MemberSource. One token at a time: the phone system ends an older one when it hands out a new one."""

    def __init__(self, url: str, *, client_id: str, client_secret: str, clock: Clock, ca_file: str | None) -> None:
        self._url = url
        self._credentials = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
        self._clock = clock
        self._session = requests.Session()
        self._session.verify = ca_file or True
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
        """The Ids of the groups with these numbers; keys that are null are left out of an answer."""
        if not numbers:
            return {}
        found = {str(item.get("Number")): item.get("Id") for item in self._all(collection, "Id,Number")}
        return {number: found[number] for number in numbers if found.get(number) is not None}

    def _members(self, path: str, users: Mapping[str, Mapping[str, Any]], *, in_queue: bool) -> Observation:
        numbers = [str(item["Number"]) for item in self._all(path) if item.get("Number")]
        return Observation(tuple(Member(n, _availability(users.get(n), in_queue=in_queue)) for n in numbers))

    def _all(self, collection: str, fields: str | None = None) -> Iterator[Mapping[str, Any]]:
        if collection == "Users":
            fields = "Id,Number,Enabled,QueueStatus"
        for page in range(MOST_PAGES):
            parameters = {"$top": PAGE_SIZE, "$skip": page * PAGE_SIZE, **({"$select": fields} if fields else {})}
            items = self._get(collection, parameters)
            yield from items
            if len(items) < PAGE_SIZE:
                return
        raise SourceUnavailable(f"call_groups.members: {collection} of the phone system has no end")

    def _get(self, path: str, parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        answer = self._send("GET", f"/xapi/v1/{path}", params=parameters, headers=self._authorization())
        if answer.status_code == requests.codes.unauthorized:
            self._token_ends = None  # another tool may have asked for a token, which ended ours
            answer = self._send("GET", f"/xapi/v1/{path}", params=parameters, headers=self._authorization())
        items = _json(answer).get("value")
        if not isinstance(items, list):
            raise SourceUnavailable(f"call_groups.members: the phone system's answer for {path} holds no list")
        return [item for item in items if isinstance(item, dict)]

    def _authorization(self) -> Mapping[str, str]:
        now = self._clock.now()
        if self._token_ends is None or now >= self._token_ends:
            body = _json(self._send("POST", "/connect/token", data=self._credentials))
            self._token = str(body.get("access_token") or "")
            if not self._token:
                raise SourceUnavailable("call_groups.members: the phone system's answer holds no token")
            self._token_ends = now + max(timedelta(), _lifetime(body) - RENEW_BEFORE)
        return {"Authorization": f"Bearer {self._token}"}

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, timeout=TIMEOUTS_S, allow_redirects=False, **options)
        except requests.RequestException as exc:
            problem = f"the phone system was not reached ({type(exc).__name__})"
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


def _json(answer: requests.Response) -> Mapping[str, Any]:
    status = answer.status_code
    if status in (400, 401, 403):
        hint = "check call_groups.members.client_id and client_secret, and the role of the client"
        raise SourceMisconfigured(f"the phone system answered {status}: {hint}")
    if status != requests.codes.ok:
        raise SourceUnavailable(f"call_groups.members.url: the phone system answered {status}")
    try:
        body = answer.json()
    except requests.JSONDecodeError as exc:
        raise SourceUnavailable("call_groups.members.url: the phone system's answer is not JSON") from exc
    return body if isinstance(body, dict) else {}
