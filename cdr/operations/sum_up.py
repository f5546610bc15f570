"""Use case: see to it that what is counted and noted of the ledger has all of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from cdr.intake.ports import PositionStore
from cdr.operations.ports import LedgerRecords
from shared.clock import Clock
from shared.telling import telling_of_storage


@dataclass(frozen=True, slots=True)
class Bookkeeper:
    """What that is seen to with, and how long it may take at a time. ``positions`` tell when an earlier version, which
    neither counts nor notes, was last at work."""

    records: LedgerRecords
    positions: PositionStore
    clock: Clock
    time_budget: timedelta


@telling_of_storage()
def sum_up(keeper: Bookkeeper) -> bool:
    """To be done every few minutes: there is little to do where nothing has changed.

    :returns: whether all is taken in; if not, the next one goes on
    :raises StorageUnavailable: the next one goes on from there
    """
    now = keeper.clock.now()
    older_at = keeper.positions.read().older_at
    return keeper.records.sum_up(older_at, now, lambda: keeper.clock.now() - now < keeper.time_budget)
