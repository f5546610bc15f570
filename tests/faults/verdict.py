"""The books of a site: what became of every row, and whether that is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.ledger_tally import counts_in, counts_of, is_counter, total
from cdr.edges.storage.positions import TablePositionStore
from cdr.intake.id_order import position as id_position
from cdr.intake.id_order.position import IdPosition
from cdr.wiring.ports import CALL_QUEUE, LEDGER_TABLE, POISON_QUEUE, STATE_TABLE
from local.call_logger import CallLogger
from shared.errors import StorageUnavailable

MOVED = "replayed"
"""The reason of a record that says where the call stands now."""


@dataclass
class Verdict:
    """What an experiment came to. ``calls`` are the rows that ended; ``delays_s`` are those of good calls, from being
    read to being entered; ``report`` is for people, where it went wrong."""

    calls: int = 0
    lost: int = 0
    duplicated: int = 0
    delays_s: Sequence[float] = ()
    problems: list[str] = field(default_factory=list)
    report: str = ""


class Books:
    """``expected`` has how each row's call must end: submitted, skipped or rejected, or several joined with ``|``.

    ``given_up`` are rows that never end and yet count as ended; ``garbage`` is how many records are to be in the ledger
    that belong to no row.
    """

    def __init__(self, connection: str, phone_system: Any, call_logger: CallLogger, overlapping: list[str]) -> None:
        self.expected: dict[int, str] = {}
        self.given_up: set[int] = set()
        self.missing_ids_are_kept = True
        self.garbage = 0
        self._phone_system = phone_system
        self._call_logger = call_logger
        self._overlapping = overlapping
        self._stack = ExitStack()
        options = {"retry_total": 0, "connection_timeout": 2, "read_timeout": 5}
        self.queue, self.poison_queue = (
            self._stack.enter_context(QueueClient.from_connection_string(connection, name, **options))
            for name in (CALL_QUEUE, POISON_QUEUE)
        )
        self._tables = self._stack.enter_context(TableServiceClient.from_connection_string(connection, **options))
        self.ledger = self._tables.get_table_client(LEDGER_TABLE)
        self._positions = TablePositionStore(StorageAccount({"AzureWebJobsStorage": connection}), STATE_TABLE)

    def remove(self, what: str) -> None:
        """A table or a queue, if it is there."""
        try:
            if what in (CALL_QUEUE, POISON_QUEUE):
                {CALL_QUEUE: self.queue, POISON_QUEUE: self.poison_queue}[what].delete_queue()
            else:
                self._tables.delete_table(what)
        except ResourceNotFoundError:
            return

    def close_if_quiet(self) -> Verdict | None:
        """None while something is under way, or the storage is out of reach."""
        try:
            return self.close() if self.is_quiet() else None
        except (AzureError, StorageUnavailable):
            return None

    def is_quiet(self) -> bool:
        """Whether both queues are empty, invisible messages included."""
        return _depth(self.queue) == 0 and _depth(self.poison_queue) == 0

    def has_queue(self) -> bool:
        try:
            self.queue.get_queue_properties()
        except AzureError:
            return False
        return True

    def entries(self) -> Counter[str]:
        return Counter(entry["pbxCallId"] for entry in self._call_logger.entries)

    def position(self) -> IdPosition:
        """Of a table of calls."""
        stored = self._stored()
        return id_position.from_text(stored) if stored else IdPosition()

    def waits_for(self, row_id: int) -> bool:
        """Whether the position remembers that this call is not over; also while there is none."""
        try:
            stored = self._stored()
        except (AzureError, StorageUnavailable):
            return False
        return stored is not None and self._phone_system.waits_for(stored, row_id)

    def _stored(self) -> str | None:
        stored = self._positions.read().stored
        return stored.text if stored else None

    def _number_of(self, record: dict[str, Any]) -> int:
        number: int = self._phone_system.number_of(record)
        return number

    def position_or_empty(self) -> IdPosition:
        """Also while there is none, or the storage is out of reach."""
        try:
            return self.position()
        except (AzureError, StorageUnavailable):
            return IdPosition()

    def records(self) -> list[dict[str, Any]]:
        return [entity for entity in self._entities() if not is_counter(entity)]

    def _entities(self) -> list[dict[str, Any]]:
        try:
            return [dict(entity) for entity in self.ledger.list_entities()]
        except ResourceNotFoundError:
            return []

    def close(self) -> Verdict:
        """Compare the database's rows with what stands at the API and in the ledger."""
        rows = {row_id: has_ended or row_id in self.given_up for row_id, has_ended in self._phone_system.rows().items()}
        entries, entities = self.entries(), self._entities()
        records = [entity for entity in entities if not is_counter(entity)]
        ended = sorted(row_id for row_id, has_ended in rows.items() if has_ended)
        verdict = Verdict(calls=len(ended))
        places = {row_id: entries[self._phone_system.pbx_call_id(row_id)] * ["submitted"] for row_id in ended}
        for record in records:
            row_id = self._number_of(record) if record.get("row_id") else None
            if record["state"] == "claimed":
                verdict.problems.append(f"row {row_id}: its claim was never settled")
            elif record["state"] != "submitted" and record.get("reason") != MOVED and row_id in places:
                places[row_id].append(record["state"])
        for row_id, found in places.items():
            self._judge(row_id, found, verdict)
        self._judge_the_rest(rows, entries, records, verdict)
        self._judge_position(rows, verdict)
        _judge_counters(entities, verdict)
        return verdict

    def _judge(self, row_id: int, found: list[str], verdict: Verdict) -> None:
        wanted = self.expected[row_id]
        if not found:
            verdict.lost += 1
            verdict.problems.append(f"row {row_id}: lost, should be {wanted}")
        elif len(found) > 1:
            verdict.duplicated += 1
            verdict.problems.append(f"row {row_id}: more than once: {', '.join(found)}")
        elif found[0] not in wanted.split("|"):
            verdict.problems.append(f"row {row_id}: {found[0]}, should be {wanted}")

    def _judge_the_rest(
        self, rows: dict[int, bool], entries: Counter[str], records: list[dict[str, Any]], verdict: Verdict
    ) -> None:
        known = {self._phone_system.pbx_call_id(row_id) for row_id, has_ended in rows.items() if has_ended}
        if strangers := sorted(entries.keys() - known):
            verdict.problems.append(f"entries of no ended row: {strangers}")
        if twice := sorted({*self._call_logger.double_submissions, *self._overlapping}):
            verdict.duplicated += len(twice)
            verdict.problems.append(f"submitted twice at once: {twice}")
        garbage = sum(1 for record in records if not record.get("row_id"))
        if garbage != self.garbage:
            verdict.problems.append(f"{garbage} records of no row, should be {self.garbage}")
        without_record = {self._phone_system.pbx_call_id(self._number_of(r)) for r in records if r.get("row_id")}
        if absent := sorted(entries.keys() - without_record):
            verdict.problems.append(f"entries without a record in the ledger: {absent}")

    def _judge_position(self, rows: dict[int, bool], verdict: Verdict) -> None:
        stored, kept = self._stored(), self.missing_ids_are_kept
        if stored is None:
            verdict.problems.append("nothing was polled yet")
        else:
            verdict.problems += self._phone_system.misplaced(stored, rows, missing_ids_are_kept=kept)

    def describe(self) -> str:
        """Where everything is."""
        try:
            lines = [f"queue {_depth(self.queue)}, poison {_depth(self.poison_queue)}, {self._stored()}"]
            shown = ("row_id", "state", "reason", "detail", "attempts", "claimed_until", "last_error")
            lines += [str({name: record.get(name) for name in shown}) for record in self.records()]
        except (AzureError, StorageUnavailable) as exc:
            lines = [f"storage: {exc}"]
        return "\n".join([*lines, f"rows: {self._phone_system.rows()}", f"entries: {dict(self.entries())}"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()


def _judge_counters(entities: Sequence[dict[str, Any]], verdict: Verdict) -> None:
    """Each record is counted as what it is, and the counters know of no more and no less."""
    told = total(counts_in(entity.get("counts")) for entity in entities if is_counter(entity))
    labelled = [(entity, str(entity.get("counted"))) for entity in entities if not is_counter(entity)]
    there = total(counts_of(label) for _, label in labelled)
    if told != there:
        verdict.problems.append(f"counted {dict(told)}, should be {dict(there)}")
    for entity, label in labelled:
        if entity["state"] != "claimed" and entity["state"] not in label.split(" "):
            verdict.problems.append(f"{entity['RowKey']} is {entity['state']}, counted as {label!r}")


def _depth(queue: QueueClient) -> int:
    try:
        return queue.get_queue_properties().approximate_message_count or 0
    except ResourceNotFoundError:
        return 0
