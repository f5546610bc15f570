"""A fake of a V20 phone system's table, in which each row is a leg of a call."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from typing import Any

from cdr.intake.folding.fold import FoldOptions
from cdr.intake.folding.leg import Leg, leg_of
from cdr.intake.ports import Position, Progress
from cdr.intake.time_order.reader import LegPatience, TimeOrderReader, progress
from cdr.intake.time_order.table import Touched
from shared.clock import Clock
from shared.errors import SourceUnavailable
from tests.fakes.fake import Fake


class InMemoryLegTable(Fake):
    """Rows as ``cdroutput`` has them. It is connected to through ``connect``, which yields a LegTable.

    A phone system changes its row (``put``); what a replica gets is another copy of it (``add``).
    """

    def __init__(self, clock: Clock, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__()
        self.clock = clock
        self.legs: list[Leg] = []
        self.connections: list[InMemoryLegs] = []
        self.nameless = 0
        self._at: dict[str, int] = {}
        self.put(*rows)

    def put(self, *rows: Mapping[str, Any]) -> None:
        for leg in map(leg_of, rows):
            if leg.id in self._at:
                self.legs[self._at[leg.id]] = leg
            else:
                self._at[leg.id] = len(self.legs)
                self.legs.append(leg)

    def add(self, *rows: Mapping[str, Any]) -> None:
        self.legs += map(leg_of, rows)

    def purge(self, *ids: str) -> None:
        self.legs = [leg for leg in self.legs if leg.id not in ids]
        self._at = {leg.id: at for at, leg in enumerate(self.legs)}

    def drop_connections(self) -> None:
        """Every open connection is dead from now on; new ones are welcome."""
        self.connections.clear()

    @contextmanager
    def connect(self) -> Iterator[InMemoryLegs]:
        legs = InMemoryLegs(self)
        with self.operation("connect"):
            self.connections.append(legs)
        try:
            yield legs
        finally:
            if legs in self.connections:
                self.connections.remove(legs)


class InMemoryV20:
    """A CallSource on such a table; ``clock`` is the app's own, the server's is the table's."""

    name = "v20"

    def __init__(
        self,
        table: InMemoryLegTable,
        clock: Clock,
        patience: LegPatience | None = None,
        *,
        options: FoldOptions | None = None,
        page_size: int = 2_000,
    ) -> None:
        self.table = table
        self._reading = (clock, patience or LegPatience(), options or FoldOptions(), page_size)

    @contextmanager
    def connect(self) -> Iterator[TimeOrderReader]:
        with self.table.connect() as legs:
            yield TimeOrderReader(legs, *self._reading)

    def progress(self, position: Position) -> Progress:
        return progress(position)


class InMemoryLegs:
    """A LegTable; its operations count as the table's."""

    def __init__(self, source: InMemoryLegTable) -> None:
        self._source = source

    def now(self) -> datetime:
        with self._look("now"):
            return self._source.clock.now()

    def newest_end(self) -> datetime | None:
        with self._look("newest_end") as legs:
            return max((leg.ended_at for leg in legs if leg.ended_at), default=None)

    def ended_from(self, since: datetime | None, limit: int) -> Sequence[Touched]:
        with self._look("ended_from") as legs:
            ended = [(leg.ended_at, leg) for leg in legs if leg.ended_at and (since is None or leg.ended_at >= since)]
            ended.sort(key=itemgetter(0))
            return [Touched(leg.flow, leg.main_flow, at) for at, leg in ended[:limit]]

    def endless_from(self, since: datetime | None, before: datetime, limit: int) -> Sequence[Touched]:
        with self._look("endless_from") as legs:
            begun = ((leg, leg.started_at) for leg in legs if leg.started_at and not leg.ended_at)
            touched = [Touched(leg.flow, leg.main_flow, at) for leg, at in begun if (not since or at >= since)]
            return sorted((leg for leg in touched if leg.ended_at < before), key=lambda leg: leg.ended_at)[:limit]

    def legs_of(self, flows: Collection[str], limit: int) -> Sequence[Leg]:
        with self._look("legs_of") as legs:
            return [leg for leg in legs if leg.flow in flows or leg.main_flow in flows][: limit + 1]

    def count_ended(self, start: datetime, end: datetime) -> int:
        with self._look("count_ended") as legs:
            return len({leg.id for leg in legs if leg.ended_at and start <= leg.ended_at < end})

    def nameless(self, most: int) -> int:
        with self._look("nameless"):
            return min(self._source.nameless, most)

    @contextmanager
    def _look(self, operation: str) -> Iterator[Sequence[Leg]]:
        with self._source.operation(operation):
            if self not in self._source.connections:
                raise SourceUnavailable("the connection is closed")
            yield self._source.legs
