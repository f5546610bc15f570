"""A fake of a phone system's table, in which each row is a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from heapq import merge
from itertools import groupby, islice
from typing import Any
from zoneinfo import ZoneInfo

from sortedcontainers import SortedDict

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS, CallRecord
from cdr.calls.times import stands_for_no_time
from cdr.intake.id_order.position import Range
from cdr.intake.id_order.reader import IdOrderReader, Row, RowPatience, progress
from cdr.intake.id_order.span import IdSpan
from cdr.intake.ports import Position, Progress, SourceFacts
from shared.clock import Clock
from shared.errors import SourceUnavailable
from tests.fakes.fake import Fake

RawRow = Mapping[str, Any]


class InMemoryRowTable(Fake):
    """Rows as a schema's SELECT would yield them; naive times are in ``timezone``. It is connected to through
    ``connect``, which yields a RowTable."""

    def __init__(self, rows: Iterable[RawRow] = (), *, timezone: str = "UTC") -> None:
        super().__init__()
        self.rows: SortedDict = SortedDict()
        self.zone = ZoneInfo(timezone)
        self.connections: list[InMemoryRows] = []
        self.nameless = 0
        self.put(*rows)

    def put(self, *rows: RawRow) -> None:
        """Insert rows, or replace those with the same id. Columns that a row does not name are NULL."""
        for row in rows:
            self.rows[row["id"]] = {column: None for column in COLUMNS if column not in OPTIONAL_COLUMNS} | row

    def remove(self, row_id: int) -> None:
        del self.rows[row_id]

    def drop_connections(self) -> None:
        """Every open connection is dead from now on; new ones are welcome."""
        self.connections.clear()

    @contextmanager
    def connect(self) -> Iterator[InMemoryRows]:
        reader = InMemoryRows(self)
        with self.operation("connect"):
            self.connections.append(reader)
        try:
            yield reader
        finally:
            if reader in self.connections:
                self.connections.remove(reader)


class InMemoryCallLog:
    """A CallSource on such a table; ``page_size`` is small where a test wants many pages of few rows."""

    name = "calllog"

    def __init__(
        self, table: InMemoryRowTable, clock: Clock, patience: RowPatience | None = None, page_size: int = 500
    ) -> None:
        self.table = table
        self.patience = patience or RowPatience()
        self.page_size = page_size
        self.facts: SourceFacts | None = None
        self._clock = clock

    @contextmanager
    def connect(self) -> Iterator[IdOrderReader]:
        with self.table.connect() as rows:
            yield IdOrderReader(rows, self._clock, self.patience, str(self.table.zone), self.page_size)

    def progress(self, position: Position) -> Progress:
        return progress(position)

    def about(self) -> SourceFacts:
        """What a test has put into ``facts``, if anything."""
        return self.facts or SourceFacts("a table in memory", {"calllog": "CallLog"}, self._clock.now())


class InMemoryRows:
    """A RowTable; its operations count as the table's."""

    def __init__(self, source: InMemoryRowTable) -> None:
        self._source = source

    def rows_after(self, position: int | None, limit: int) -> list[Row]:
        with self._look("rows_after") as rows:
            return _page(rows, _ids_after(rows, position), limit)

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[Row]:
        with self._look("rows_in") as rows:
            ids = merge(*(rows.irange(*wanted) for wanted in ranges))
            each_once = (row_id for row_id, _ in groupby(ids))
            return _page(rows, (row_id for row_id in each_once if after is None or row_id > after), limit)

    def ended_among(self, ids: Sequence[int], after: int | None, limit: int) -> list[Row]:
        with self._look("ended_among") as rows:
            there = [_row(rows[row_id]) for row_id in ids if row_id in rows and (after is None or row_id > after)]
            return [row for row in there if row.ended][:limit]

    def newest_id(self) -> int | None:
        with self._look("newest_id") as rows:
            return rows.peekitem()[0] if rows else None

    def first_id_since(self, moment: datetime) -> int | None:
        with self._look("first_id_since") as rows:
            began = ((row_id, self._moment(row["started_at"])) for row_id, row in rows.items())
            return min((row_id for row_id, at in began if at is not None and at >= moment), default=None)

    def rows_ended_between(self, start: datetime, end: datetime, within: IdSpan, limit: int) -> list[Row]:
        with self._look("rows_ended_between") as rows:
            inside = rows.irange(within.after, within.last, inclusive=(False, True))
            ended = ((row_id, self._moment(rows[row_id]["ended_at"])) for row_id in inside)
            return _page(rows, (row_id for row_id, at in ended if at is not None and start <= at < end), limit)

    def count_among(self, first: int, last: int) -> int:
        with self._look("count_among") as rows:
            return sum(1 for _ in rows.irange(first, last))

    def nameless(self, most: int) -> int:
        with self._look("nameless"):
            return min(self._source.nameless, most)

    def _moment(self, value: Any) -> datetime | None:
        """A raw value that is a time, or text that stands for one, as an aware moment."""
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            return None
        return moment.replace(tzinfo=self._source.zone) if isinstance(moment, datetime) else None

    @contextmanager
    def _look(self, operation: str) -> Iterator[SortedDict]:
        with self._source.operation(operation):
            if self not in self._source.connections:
                raise SourceUnavailable("the connection is closed")
            yield self._source.rows


def _ids_after(rows: SortedDict, position: int | None) -> Iterator[int]:
    return rows.irange(position, inclusive=(False, False))


def _page(rows: SortedDict, ids: Iterable[int], limit: int) -> list[Row]:
    return [_row(rows[row_id]) for row_id in islice(ids, limit)]


def _row(raw: RawRow) -> Row:
    record = CallRecord.from_row(raw)
    return Row(raw["id"], not stands_for_no_time(record.values["ended_at"]), (record,))
