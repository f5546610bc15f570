"""A large ledger beside a small one: what looking at it asks of storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from cdr.wiring.ports import LEDGER_TABLE
from tests.bench.backlogs import deliver_all
from tests.bench.counting import counted
from tests.bench.free_storage import packed
from tests.bench.lab import Account, Lab
from tests.bench.old_days import add_days_before
from tests.bench.results import Goal, Result
from tests.faults.lab import account as account_name
from tests.faults.lab import own_azurite
from tests.functions.loaded_app import LoadedApp
from tests.support.factories import make_raw_row
from tests.systems.phone_systems import SqlitePhoneSystem

REJECTED_OF = 10
"""Every tenth call is of an extension without an address."""

QUESTIONS: Mapping[str, Callable[[date], Mapping[str, str]]] = {
    "status": lambda _: {},
    "rejected": lambda _: {},
    "reconcile": lambda day: {"from": str(day), "to": str(day)},
}
"""With their parameters, by the day of the calls that came first."""


def questions_to_a_ledger(lab: Lab) -> Iterator[Result]:
    """First a day's calls, which come to be there by submissions, then many days before like it."""
    few, days = lab.sizes.few_records, lab.sizes.many_records // lab.sizes.few_records
    many = few * days
    system = SqlitePhoneSystem(lab.folder / "records.db")
    system.insert(*_calls_of_yesterday(few))
    data = lab.folder / "records"
    with own_azurite(data) as storage:
        account = Account(account_name(1), storage.ports.queue, storage.ports.table)
        _submit_all(lab, account, system)
        small = _asked(lab, account, system, few)
        storage.stop()
        add_days_before(data, account.name, LEDGER_TABLE, days - 1)
        storage.start()
        large = _asked(lab, account, system, many)
    for question in QUESTIONS:
        behind = {f"requests at {few:,}": small[question], f"at {many:,}": large[question]}
        name = f"/{question}: storage requests at {many:,} records over {few:,}"
        yield Result(name, large[question] / small[question], "", Goal("most", 1.0), behind)


def _calls_of_yesterday(calls: int) -> Iterator[dict[str, object]]:
    """At noon: whatever time it is, that day is among those that /status looks at more closely."""
    noon = _noon_of_yesterday()
    times = {"started_at": noon, "ended_at": noon + timedelta(seconds=90)}
    for number in range(1, calls + 1):
        whose = {"extension": "199", "dest_number": "199"} if number % REJECTED_OF == 0 else {}
        yield make_raw_row(id=number, call_id=f"call-{number}", **times, **whose)


def _noon_of_yesterday() -> datetime:
    """In UTC, without an offset."""
    return (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)


def _submit_all(lab: Lab, account: Account, system: SqlitePhoneSystem) -> None:
    with lab.app(account, system.settings(), more="calls: {max_rejections_per_minute: 100000}\n") as app:
        deliver_all(app, packed(lab, system))


def _asked(lab: Lab, account: Account, system: SqlitePhoneSystem, records: int) -> dict[str, int]:
    """How many requests each question makes the second time, once the books are kept as every few minutes."""
    found: dict[str, int] = {}
    with counted(lab, account) as (through, counts), lab.app(through, system.settings()) as app:
        app.parts.records.sum_up(None, datetime.now(UTC), lambda: True)
        _check_size(app, records)
        for name, of_day in QUESTIONS.items():
            parameters = of_day(_noon_of_yesterday().date())
            _ask(app, name, parameters)
            before = counts.of.total()
            _ask(app, name, parameters)
            found[name] = counts.of.total() - before
    return found


def _check_size(app: LoadedApp, records: int) -> None:
    """The product itself knows the days that were added: its counters, and the last of its notes with their records."""
    ledger = app.parts.records
    told = ledger.counts(datetime.now(UTC))
    noted = list(ledger.rejected())
    if (sum(told.states.values()), len(noted), told.complete) != (records, records // REJECTED_OF, True):
        raise RuntimeError(f"there were to be {records} records: {told}, and {len(noted)} notes of rejected calls")
    if any(ledger.still_rejected(call) is None for call in noted[-REJECTED_OF:]):
        raise RuntimeError("the records of the oldest rejected calls are not what their notes say")


def _ask(app: LoadedApp, name: str, parameters: Mapping[str, str]) -> None:
    answer = app.ask(name, **parameters)
    if answer.status != 200 or answer.body.get("only_in_ledger"):
        raise RuntimeError(f"{name}: {answer.status} {answer.text[:300]}")
