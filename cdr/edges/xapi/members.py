"""Members of call groups from the REST API of 3CX V20 (XAPI), with client credentials.

What it cannot see: an agent who is logged out of one queue only. XAPI has the membership of each queue and one
``QueueStatus`` per user, for all queues; ``source: database`` sees both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cdr.edges.xapi.client import Item, XapiClient
from cdr.groups.alerts import Member, Observation

MISSING = Observation(None, "the group does not exist in the phone system")


class XapiMemberSource:
    """A MemberSource."""

    def __init__(self, client: XapiClient) -> None:
        self._client = client

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        queues = self._numbered("Queues", group_ids)
        ring_groups = self._numbered("RingGroups", set(group_ids) - queues.keys())
        users = {str(user.get("Number")): user for user in self._client.items("Users", "Id,Number,Enabled,QueueStatus")}
        seen = {number: self._members(f"Queues({id_})/Agents", users, in_queue=True) for number, id_ in queues.items()}
        for number, id_ in ring_groups.items():
            seen[number] = self._members(f"RingGroups({id_})/Members", users, in_queue=False)
        return {number: seen.get(number, MISSING) for number in group_ids}

    def _numbered(self, collection: str, numbers: Collection[str]) -> dict[str, Any]:
        """The Ids of the groups with these numbers."""
        if not numbers:
            return {}
        found = {str(item.get("Number")): item.get("Id") for item in self._client.items(collection, "Id,Number")}
        return {number: found[number] for number in numbers if found.get(number) is not None}

    def _members(self, path: str, users: Mapping[str, Item], *, in_queue: bool) -> Observation:
        """A member without a number is nobody whom one could know; keys that are null are left out of an answer."""
        numbers = [str(item.get("Number") or "") for item in self._client.items(path)]
        return Observation(tuple(Member(n, _availability(users.get(n), in_queue=in_queue)) for n in numbers))


def _availability(user: Item | None, *, in_queue: bool) -> bool | None:
    """Enabled, and for a queue logged in to queues; None where the answer leaves open what decides."""
    if user is None or not isinstance(user.get("Enabled"), bool):
        return None
    if not user["Enabled"] or not in_queue:
        return bool(user["Enabled"])
    return {"LoggedIn": True, "LoggedOut": False}.get(str(user.get("QueueStatus")))
