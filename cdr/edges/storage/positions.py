"""The checkpoint in Table Storage: one entity, moved only by who holds its lease and has its newest ETag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cdr.edges.storage.account import StorageAccount, translated
from cdr.edges.storage.table import PIECE, from_pieces, in_pieces
from cdr.intake.id_order import Checkpoint, Gap
from cdr.intake.ports import CheckpointLease, PollReport
from shared.errors import CheckpointFull, LeaseHeld, LeaseLost

if TYPE_CHECKING:
    from azure.data.tables import TableClient

KEY = {"PartitionKey": "checkpoint", "RowKey": "cdr"}
PIECES = 14
"""Of 30,000 characters, two bytes each: with the rest of the entity below its 1 MiB."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = datetime(2000, 1, 1, tzinfo=UTC)


class TableCheckpointStore:
    """A CheckpointStore on a table, which is created if it is missing."""

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._account = account
        self._name = table

    def lease(self, owner: str, now: datetime, duration: timedelta) -> CheckpointLease:
        from azure.core.exceptions import ResourceExistsError

        mine = {"owner": owner, "leased_until": now + duration}
        with translated(f"table {self._name}"):
            entity = self._read_entity()
            if entity is None:
                try:
                    made = self._table.create_entity({**KEY, **mine})
                    return CheckpointLease(owner, made["etag"], None)
                except ResourceExistsError:
                    entity = self._read_entity() or {}
            if entity.get("owner") != owner and entity.get("leased_until", _NOBODY) > now:
                raise LeaseHeld(f"another poll holds the lease until {entity['leased_until']:%H:%M:%S} UTC")
            version = self._write(mine, owner, entity.metadata["etag"])
        if version is None:
            raise LeaseHeld("another poll took the lease at the same moment")
        return CheckpointLease(owner, version, _checkpoint_of(entity))

    def check_size(self, checkpoint: Checkpoint) -> None:
        size = len(encode_checkpoint(checkpoint))
        if size > PIECES * PIECE:
            raise CheckpointFull(
                f"{len(checkpoint.open_rows)} rows without an end and {len(checkpoint.gaps)} gaps between ids make "
                f"{size} characters, at most {PIECES * PIECE} fit; no further rows are read until some have settled"
            )

    def save(
        self, lease: CheckpointLease, checkpoint: Checkpoint, now: datetime, duration: timedelta
    ) -> CheckpointLease:
        text = encode_checkpoint(checkpoint)
        fields = {"leased_until": now + duration, **in_pieces("state", text, PIECES)}
        with translated(f"table {self._name}"):
            version = self._write(fields, lease.owner, lease.version)
        if version is None:
            raise LeaseLost("another poll has taken the checkpoint over")
        return CheckpointLease(lease.owner, version, checkpoint)

    def release(self, lease: CheckpointLease, report: PollReport) -> None:
        fields = {"leased_until": _NOBODY, "report": json.dumps(asdict(report), default=datetime.isoformat)}
        with translated(f"table {self._name}"):
            self._write(fields, lease.owner, lease.version)

    def read(self) -> tuple[Checkpoint | None, PollReport | None]:
        with translated(f"table {self._name}"):
            entity = self._read_entity()
        if entity is None:
            return None, None
        report = json.loads(entity["report"]) if "report" in entity else None
        if report is not None:
            report = PollReport(**{**report, "at": datetime.fromisoformat(report["at"])})
        return _checkpoint_of(entity), report

    def _write(self, fields: Mapping[str, Any], owner: str, version: str) -> str | None:
        """The new version; None where somebody else has changed the entity since ours."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError
        from azure.data.tables import UpdateMode

        try:
            done = self._table.update_entity(
                {**KEY, **fields}, UpdateMode.MERGE, etag=version, match_condition=MatchConditions.IfNotModified
            )
            return str(done["etag"])
        except ResourceModifiedError:
            # Perhaps it was this very write, and its first answer was lost.
            entity = self._read_entity()
            same = (
                entity is not None
                and entity.get("owner") == owner
                and all(entity.get(k) == v for k, v in fields.items())
            )
            return str(entity.metadata["etag"]) if same and entity is not None else None

    def _read_entity(self) -> Any:
        from azure.core.exceptions import ResourceNotFoundError

        with suppress(ResourceNotFoundError):
            return self._table.get_entity(KEY["PartitionKey"], KEY["RowKey"])
        return None

    @cached_property
    def _table(self) -> TableClient:
        from azure.core.exceptions import ResourceExistsError

        table = self._account.table_client(self._name)
        with suppress(ResourceExistsError):
            table.create_table()
        return table


def _checkpoint_of(entity: Mapping[str, Any]) -> Checkpoint | None:
    text = from_pieces("state", entity, PIECES)
    return decode_checkpoint(text) if text else None


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """Compact JSON: ids as differences to the one before, times as milliseconds since 1970."""
    ids = sorted(checkpoint.open_rows)
    steps = [b - a for a, b in pairwise([0, *ids])]
    gaps: list[int] = []
    before = 0
    for gap in checkpoint.gaps:
        gaps += [gap.first - before, gap.last - gap.first, _milliseconds(gap.missed_at)]
        before = gap.last
    opened = [_milliseconds(checkpoint.open_rows[row_id]) for row_id in ids]
    state = {"position": checkpoint.position, "open": steps, "since": opened, "gaps": gaps}
    return json.dumps(state, separators=(",", ":"))


def decode_checkpoint(text: str) -> Checkpoint:
    state = json.loads(text)
    open_rows: dict[int, datetime] = {}
    row_id = 0
    for step, since in zip(state["open"], state["since"], strict=True):
        row_id += step
        open_rows[row_id] = _moment(since)
    gaps: list[Gap] = []
    before = 0
    for first, length, missed_at in zip(*[iter(state["gaps"])] * 3, strict=True):
        gaps.append(Gap(before + first, before + first + length, _moment(missed_at)))
        before = gaps[-1].last
    return Checkpoint(state["position"], open_rows, tuple(gaps))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
