"""Which figures there are, by the names that --only takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from local import azurite
from tests.bench import arrivals, backlogs, counting, ledgers, memory, polls, processes, reconciling
from tests.bench.lab import Lab
from tests.bench.results import Result
from tests.systems import mariadb, postgresql

FIGURES: Mapping[str, Callable[[Lab], Iterable[Result]]] = {
    "catch-up": backlogs.catch_up,
    "submit": backlogs.submit,
    "requests": counting.requests_of_a_call,
    "ledger": ledgers.questions_to_a_ledger,
    "growth": polls.growth,
    "checkpoint": polls.worst_checkpoint,
    "reconcile": reconciling.reconciling,
    "start": processes.start,
    "latency": arrivals.commit_to_entry,
    "memory": memory.memory,
}


def missing() -> str | None:
    """What is needed and is not here."""
    return azurite.what_is_missing() or postgresql.is_installed() or mariadb.is_installed()
