"""The records of call groups in Table Storage: one entity for each group, and one for the lease on checking them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from cdr.edges.storage.account import StorageAccount, translated
from cdr.edges.storage.table import escape_key, unescape_key
from cdr.groups.alerts import AlertType, GroupRecord, GroupState, OpenAlert
from shared.errors import LeaseHeld

if TYPE_CHECKING:
    from azure.data.tables import TableClient

GROUPS = "group"
LEASE = {"PartitionKey": "lease", "RowKey": "check"}
_NOBODY = datetime(2000, 1, 1, tzinfo=UTC)
_TIMES = ("since", "empty_since", "unknown_since", "told_at", "checked_at")

Word = TypeVar("Word", bound=StrEnum)


class TableGroupStore:
    """A GroupStore on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._account = account
        self._name = table

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        mine = {**LEASE, "owner": owner, "leased_until": now + duration}
        with translated(f"table {self._name}"):
            try:
                held: Any = self._table.get_entity(LEASE["PartitionKey"], LEASE["RowKey"])
            except ResourceNotFoundError:
                held = None
            until = held.get("leased_until") if held is not None and held.get("owner") != owner else None
            if isinstance(until, datetime) and until > now:
                raise LeaseHeld(f"another check is at work until {until:%H:%M:%S} UTC")
            try:
                if held is None:
                    self._table.create_entity(mine)
                else:
                    etag, unchanged = held.metadata["etag"], MatchConditions.IfNotModified
                    self._table.update_entity(mine, UpdateMode.REPLACE, etag=etag, match_condition=unchanged)
            except (ResourceExistsError, ResourceModifiedError):
                # A write whose answer was lost is refused when it is sent again, although it was the first.
                if self._table.get_entity(LEASE["PartitionKey"], LEASE["RowKey"]).get("owner") != owner:
                    raise LeaseHeld("another check began at the same moment") from None

    def release(self, owner: str) -> None:
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        with translated(f"table {self._name}"), suppress(ResourceNotFoundError, ResourceModifiedError):
            held: Any = self._table.get_entity(LEASE["PartitionKey"], LEASE["RowKey"])
            if held.get("owner") == owner:
                free = {**LEASE, "owner": "", "leased_until": _NOBODY}
                etag, unchanged = held.metadata["etag"], MatchConditions.IfNotModified
                self._table.update_entity(free, UpdateMode.REPLACE, etag=etag, match_condition=unchanged)

    def load(self) -> Mapping[str, GroupRecord]:
        with translated(f"table {self._name}"):
            found = list(self._table.query_entities(f"PartitionKey eq '{GROUPS}'"))
        return {unescape_key(entity["RowKey"]): record_in(entity.get("record")) for entity in found}

    def save(self, group_id: str, record: GroupRecord) -> None:
        key = {"PartitionKey": GROUPS, "RowKey": escape_key(group_id)}
        entity = {**key, "state": record.state.value, "record": text_of(record)}
        with translated(f"table {self._name}"):
            self._table.upsert_entity(entity)

    def remove(self, group_id: str) -> None:
        with translated(f"table {self._name}"):
            self._table.delete_entity(GROUPS, escape_key(group_id))

    @cached_property
    def _table(self) -> TableClient:
        from azure.core.exceptions import ResourceExistsError

        table = self._account.table_client(self._name)
        with suppress(ResourceExistsError):
            table.create_table()
        return table


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
        **{name: _moment(kept.get(name)) for name in _TIMES},
    )


def _alert(kept: object) -> OpenAlert | None:
    if not isinstance(kept, dict) or not isinstance(kept.get("id"), str):
        return None
    kind, raised_at = _word(AlertType, kept.get("type")), _moment(kept.get("raised_at"))
    return OpenAlert(kept["id"], kind, raised_at) if kind and raised_at else None


def _word(words: type[Word], kept: object) -> Word | None:
    return next((word for word in words if word.value == kept), None)


def _count(kept: object) -> int | None:
    return kept if type(kept) is int and kept >= 0 else None


def _moment(kept: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(kept))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
