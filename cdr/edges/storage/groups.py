"""The records of call groups in Table Storage: one entity for each group, and one for the lease on checking them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

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
            if held is not None and held["owner"] != owner and held["leased_until"] > now:
                raise LeaseHeld(f"another check is at work until {held['leased_until']:%H:%M:%S} UTC")
            try:
                if held is None:
                    self._table.create_entity(mine)
                else:
                    etag, unchanged = held.metadata["etag"], MatchConditions.IfNotModified
                    self._table.update_entity(mine, UpdateMode.REPLACE, etag=etag, match_condition=unchanged)
            except (ResourceExistsError, ResourceModifiedError):
                # A write whose answer was lost is refused when it is sent again, although it was the first.
                if self._table.get_entity(LEASE["PartitionKey"], LEASE["RowKey"])["owner"] != owner:
                    raise LeaseHeld("another check began at the same moment") from None

    def release(self, owner: str) -> None:
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        with translated(f"table {self._name}"), suppress(ResourceNotFoundError, ResourceModifiedError):
            held: Any = self._table.get_entity(LEASE["PartitionKey"], LEASE["RowKey"])
            if held["owner"] == owner:
                free = {**LEASE, "owner": "", "leased_until": _NOBODY}
                etag, unchanged = held.metadata["etag"], MatchConditions.IfNotModified
                self._table.update_entity(free, UpdateMode.REPLACE, etag=etag, match_condition=unchanged)

    def load(self) -> Mapping[str, GroupRecord]:
        with translated(f"table {self._name}"):
            found = list(self._table.query_entities(f"PartitionKey eq '{GROUPS}'"))
        return {unescape_key(entity["RowKey"]): _record_of(entity["record"]) for entity in found}

    def save(self, group_id: str, record: GroupRecord) -> None:
        text = json.dumps(asdict(record), default=datetime.isoformat)
        entity = {"PartitionKey": GROUPS, "RowKey": escape_key(group_id), "state": record.state.value, "record": text}
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


def _record_of(text: str) -> GroupRecord:
    fields = json.loads(text)
    alert = fields["alert"]
    return replace(
        GroupRecord(),
        **{
            **fields,
            **{name: _moment(fields[name]) for name in _TIMES},
            "state": GroupState(fields["state"]),
            "told": AlertType(fields["told"]) if fields["told"] else None,
            "acknowledged": AlertType(fields["acknowledged"]) if fields["acknowledged"] else None,
            "alert": OpenAlert(alert["id"], AlertType(alert["type"]), _moment(alert["raised_at"])) if alert else None,
        },
    )


def _moment(text: str | None) -> Any:
    return datetime.fromisoformat(text) if text else None
