"""A large ledger beside a small one: what looking at it asks of storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.backlogs import deliver_all
from tests.bench.counting import counted
from tests.bench.free_storage import packed
from tests.bench.lab import Account, Lab
from tests.bench.results import Goal, Result
from tests.functions.loaded_app import LoadedApp
from tests.support.factories import make_raw_row
from tests.systems.phone_systems import SqlitePhoneSystem

REJECTED_OF = 10
"""Every tenth call is of an extension without an address."""

QUESTIONS = ("status", "rejected")


def questions_to_a_ledger(lab: Lab) -> Iterator[Result]:
    few, many = lab.sizes.few_records, lab.sizes.many_records
    system = SqlitePhoneSystem(lab.folder / "records.db")
    account = lab.new_account()
    _fill(lab, account, system, range(1, few + 1))
    small = _asked(lab, account, system)
    _fill(lab, account, system, range(few + 1, many + 1))
    large = _asked(lab, account, system)
    for question in QUESTIONS:
        behind = {f"requests at {few:,}": small[question], f"at {many:,}": large[question]}
        name = f"/{question}: storage requests at {many:,} records over {few:,}"
        yield Result(name, large[question] / small[question], "", Goal("most", 1.0), behind)


def _fill(lab: Lab, account: Account, system: SqlitePhoneSystem, ids: Sequence[int]) -> None:
    """As they come to be there: by submissions."""
    new = SqlitePhoneSystem(lab.folder / f"records-{ids[0]}.db")
    rows = [make_raw_row(id=n, call_id=f"call-{n}", **_extension(n)) for n in ids]
    for each in (system, new):
        each.insert(*rows)
    with lab.app(account, system.settings(), more="calls: {max_rejections_per_minute: 100000}\n") as app:
        deliver_all(app, packed(lab, new))


def _extension(number: int) -> dict[str, str]:
    return {"extension": "199", "dest_number": "199"} if number % REJECTED_OF == 0 else {}


@dataclass(frozen=True, slots=True)
class _Question:
    app: LoadedApp
    name: str

    def ask(self) -> None:
        answer = self.app.ask(self.name)
        if answer.status != 200:
            raise RuntimeError(f"{self.name}: {answer.status} {answer.text[:300]}")


def _asked(lab: Lab, account: Account, system: SqlitePhoneSystem) -> dict[str, int]:
    """How many requests each question makes, the second time."""
    found: dict[str, int] = {}
    with counted(lab, account) as (through, counts), lab.app(through, system.settings()) as app:
        for name in QUESTIONS:
            question = _Question(app, name)
            question.ask()
            before = counts.of.total()
            question.ask()
            found[name] = counts.of.total() - before
    return found
