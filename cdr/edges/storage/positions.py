"""How far the phone system was read, in Table Storage: one entity, moved only by who holds its lease and has its newest
ETag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cdr import __version__
from cdr.calls.leases import is_beyond_belief
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.table import PIECE, Table, from_pieces, in_pieces, version_of
from cdr.intake.poll_history import PollHistory, PollReport, poll_report_of
from cdr.intake.ports import KeptPosition, Memory, Position, PositionLease, StoredPosition
from shared.errors import LeaseHeld, LeaseLost, PositionFull

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

KEY = {"PartitionKey": "checkpoint", "RowKey": "cdr"}
PIECES = 14
"""Of 30,000 characters, two bytes each: with the rest of the entity below its 1 MiB."""

SOURCE_OF_OLD = "calllog"
"""1.0.0 knew no other source, and wrote down none."""

_NOBODY = datetime(2000, 1, 1, tzinfo=UTC)


class TablePositionStore:
    """A PositionStore on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table = Table(account, table)

    def lease(self, owner: str, now: datetime, duration: timedelta) -> PositionLease:
        entity = self._read()
        mine = {**KEY, "owner": owner, "leased_until": now + duration, **_seen(entity or {}, now)}
        if entity is None:
            version = self._table.insert(mine)
            if version is not None:
                return PositionLease(owner, version, None)
            entity = self._read()
            if entity is None:
                raise LeaseHeld("the record of the position vanished between two looks at it")
        until = _leased_until(entity, duration)
        if entity.get("owner") != owner and until > now and not is_beyond_belief(until, now, duration):
            raise LeaseHeld(f"another poll holds the lease until {until:%H:%M:%S} UTC", until)
        version = self._table.merge(mine, version_of(entity))
        if version is None:
            raise LeaseHeld("another poll took the lease at the same moment")
        return PositionLease(owner, version, _stored(entity), _memory(entity), _history(entity))

    def check_size(self, position: Position) -> None:
        if len(position) > PIECES * PIECE:
            raise PositionFull(
                f"what has to be remembered of calls that are not over, and of missing ids, makes {len(position)} "
                f"characters, at most {PIECES * PIECE} fit; nothing further is read until some have settled"
            )

    def save(self, lease: PositionLease, stored: StoredPosition, now: datetime, duration: timedelta) -> PositionLease:
        pieces = in_pieces("state", stored.text, PIECES)
        origin = {"source": stored.source, "began": stored.began or ""}
        fields = {**KEY, "owner": lease.owner, "leased_until": now + duration, **origin, **pieces}
        version = self._table.merge(fields, lease.version)
        if version is None:
            raise LeaseLost("another poll has taken over")
        return replace(lease, version=version, stored=stored)

    def release(self, lease: PositionLease, report: PollReport, memory: Memory | None = None) -> None:
        told = {
            "report": json.dumps({**asdict(report), "by": __version__}, default=datetime.isoformat),
            "history": lease.history.after(report).to_text(),
        }
        if memory is not None:
            told["memory"] = memory[:PIECE]
        self._table.merge({**KEY, "owner": lease.owner, "leased_until": _NOBODY, **told}, lease.version)

    def read(self) -> KeptPosition:
        entity: Mapping[str, Any] = self._read() or {}
        older_at = entity.get("older_at")
        seen = older_at if isinstance(older_at, datetime) else None
        return KeptPosition(_stored(entity), _report_in(entity.get("report")), _memory(entity), seen, _history(entity))

    def _read(self) -> TableEntity | None:
        return self._table.read(KEY["PartitionKey"], KEY["RowKey"])


def _leased_until(entity: TableEntity, duration: timedelta) -> datetime:
    """Where that cannot be read, whoever wrote it may be at work for as long as we would be."""
    until, written = entity.get("leased_until", _NOBODY), entity.metadata.get("timestamp")
    if isinstance(until, datetime):
        return until
    return written + duration if isinstance(written, datetime) else _NOBODY


def _stored(entity: Mapping[str, Any]) -> StoredPosition | None:
    text = from_pieces("state", entity, PIECES)
    return StoredPosition(entity.get("source") or SOURCE_OF_OLD, text, entity.get("began") or None) if text else None


def _seen(entity: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """That an earlier version has polled last: those do not say in their reports who they are."""
    report = str(entity.get("report") or "")
    return {"older_at": now} if report and '"by": ' not in report else {}


def _memory(entity: Mapping[str, Any]) -> Memory:
    return str(entity.get("memory") or "")


def _history(entity: Mapping[str, Any]) -> PollHistory:
    return PollHistory.from_text(entity.get("history"))


def _report_in(text: Any) -> PollReport | None:
    """What this version knows of it; one that is damaged says no more than one that is not there."""
    try:
        return poll_report_of(json.loads(text))
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
