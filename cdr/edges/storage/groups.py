"""The records of call groups in Table Storage: one entity for each group, and one for the lease on checking them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from cdr.calls.leases import is_beyond_belief
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.table import Table, escape_key, unescape_key, version_of
from cdr.groups.alerts import AlertType, GroupRecord, GroupState, OpenAlert
from shared.clock import moment_in
from shared.errors import LeaseHeld

GROUPS = "group"
LEASE = {"PartitionKey": "lease", "RowKey": "check"}
_NOBODY = datetime(2000, 1, 1, tzinfo=UTC)
_TIMES = ("since", "empty_since", "unknown_since", "told_at", "checked_at")

Word = TypeVar("Word", bound=StrEnum)


class TableGroupStore:
    """A GroupStore on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        mine = {**LEASE, "owner": owner, "leased_until": now + duration}
        held = self._table.read(*LEASE.values())
        until = held.get("leased_until") if held is not None and held.get("owner") != owner else None
        if isinstance(until, datetime) and until > now and not is_beyond_belief(until, now, duration):
            raise LeaseHeld(f"another check is at work until {until:%H:%M:%S} UTC")
        version = self._table.insert(mine) if held is None else self._table.merge(mine, version_of(held))
        if version is None and not self._is_held_by(owner):  # perhaps only the answer was lost
            raise LeaseHeld("another check began at the same moment")

    def _is_held_by(self, owner: str) -> bool:
        held = self._table.read(*LEASE.values())
        return held is not None and held.get("owner") == owner

    def release(self, owner: str) -> None:
        held = self._table.read(*LEASE.values())
        if held is not None and held.get("owner") == owner:
            self._table.merge({**LEASE, "owner": "", "leased_until": _NOBODY}, version_of(held))

    def load(self) -> Mapping[str, GroupRecord]:
        found = self._table.query(f"PartitionKey eq '{GROUPS}'")
        return {unescape_key(entity["RowKey"]): record_in(entity.get("record")) for entity in found}

    def save(self, group_id: str, record: GroupRecord) -> None:
        key = {"PartitionKey": GROUPS, "RowKey": escape_key(group_id)}
        self._table.put({**key, "state": record.state.value, "record": text_of(record)})

    def remove(self, group_id: str) -> None:
        self._table.remove(GROUPS, escape_key(group_id))


def text_of(record: GroupRecord) -> str:
    return json.dumps(asdict(record), default=datetime.isoformat)


def record_in(text: object) -> GroupRecord:
    """What is known of a record. Total: a newer version may have written fields and words that this one does not know,
    and what cannot be read is as if it had never been written; the next check sees for itself."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        found = {}
    kept: dict[str, Any] = found if isinstance(found, dict) else {}
    return GroupRecord(
        state=_word(GroupState, kept.get("state")) or GroupState.CLOSED,
        alert=_alert(kept.get("alert")),
        told=_word(AlertType, kept.get("told")),
        acknowledged=_word(AlertType, kept.get("acknowledged")),
        members=_count(kept.get("members")),
        available=_count(kept.get("available")),
        **{name: moment_in(kept.get(name)) for name in _TIMES},
    )


def _alert(kept: object) -> OpenAlert | None:
    if not isinstance(kept, dict) or not isinstance(kept.get("id"), str):
        return None
    kind, raised_at = _word(AlertType, kept.get("type")), moment_in(kept.get("raised_at"))
    return OpenAlert(kept["id"], kind, raised_at) if kind and raised_at else None


def _word(words: type[Word], kept: object) -> Word | None:
    return next((word for word in words if word.value == kept), None)


def _count(kept: object) -> int | None:
    return kept if type(kept) is int and kept >= 0 else None
