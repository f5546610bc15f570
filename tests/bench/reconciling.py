"""Reconciling a day: beside the bare reads of what it compares, and in a table of years beside one of that day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from functools import partial

from azure.data.tables import TableClient

from cdr.calls.message import letter_of
from cdr.operations.reconcile import reconcile
from cdr.submission.submit import submit
from cdr.wiring.parts import Parts
from cdr.wiring.ports import LEDGER_TABLE
from tests.bench.counting import counted
from tests.bench.free_storage import packed, parts_with_free_storage, parts_with_storage
from tests.bench.lab import Account, Lab
from tests.bench.results import Goal, Result, in_turns, median_of
from tests.bench.tables import Table
from tests.support.statements import statements
from tests.systems.phone_systems import PostgreSqlPhoneSystem

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
DAYS_SINCE = 30
"""Calls of later days are in the table of years too: both ends of the day have to be looked for."""


def reconciling(lab: Lab) -> Iterator[Result]:
    """A day whose calls are all of the small table, and amid those of the large one."""
    few, many = lab.sizes.few_rows, lab.sizes.many_rows
    since = min(DAYS_SINCE, many // few // 2)
    end = datetime.combine(datetime.now(UTC), time_of_day()) - since * DAY
    system, day, last = PostgreSqlPhoneSystem(lab.postgresql), (end - DAY).date(), many - since * few
    small, large = Table(system, "calls_of_a_day"), Table(system, "calls_of_years")
    small.fill(last - few + 1, last, newest=end - SECOND, apart=DAY / few)
    large.fill(1, many, newest=end - SECOND + since * DAY, apart=DAY / few)
    for table in (small, large):
        table.analyze()
    letters = [letter_of(text) for text in packed(lab, system, small.schema())]

    def compare(parts: Parts) -> Callable[[], None]:
        """Once its calls are in."""
        for letter in letters:
            submit(letter, parts.worker)
        return partial(_compare, parts, day, few)

    account = lab.new_account()
    with counted(lab, account) as (through, counts):
        ours = compare(parts_with_storage(lab, through, small.schema(), system))
        ours()  # connected, as one before it left it
        before = counts.of.total()
        ours()
        behind = {"calls": few, "storage requests": counts.of.total() - before}
    ours = compare(parts_with_storage(lab, account, small.schema(), system))
    yield _over_bare_reads(lab, ours, partial(_read, small, account, day, few), behind)
    made = [compare(parts_with_free_storage(lab, table.schema(), system)) for table in (small, large)]
    yield from _growth(lab, *made)


def _over_bare_reads(lab: Lab, ours: Callable[[], None], bare: Callable[[], None], behind: dict[str, float]) -> Result:
    medians = in_turns(
        lab.sizes.rounds,
        ours=lambda: median_of(lab.sizes.polls, ours, time.process_time),
        bare=lambda: median_of(lab.sizes.polls, bare, time.process_time),
    )
    behind |= {"ms": medians["ours"] * 1e3, "bare, ms": medians["bare"] * 1e3}
    name = "reconciling a day over the bare reads of table and ledger, CPU"
    return Result(name, medians["ours"] / medians["bare"], "", Goal("most", 2.0), behind)


def _growth(lab: Lab, small: Callable[[], None], large: Callable[[], None]) -> Iterator[Result]:
    few, many = f"{lab.sizes.few_rows:,}", f"{lab.sizes.many_rows:,}"
    asked = [_statements(one) for one in (small, large)]
    medians = in_turns(
        lab.sizes.rounds,
        few=lambda: median_of(lab.sizes.polls, small),
        many=lambda: median_of(lab.sizes.polls, large),
    )
    yield Result(
        f"reconciling a day, on {many} rows over {few}",
        medians["many"] / medians["few"],
        "",
        Goal("most", 1.5),
        {f"ms at {few}": medians["few"] * 1e3, f"ms at {many}": medians["many"] * 1e3},
    )
    name = f"statements of reconciling a day, on {many} rows"
    yield Result(name, asked[1], "", Goal("most", 30), {f"at {few}": asked[0]})


def _compare(parts: Parts, day: date, calls: int) -> None:
    found = reconcile(parts.reconciler, day, day)
    if (found.rows, found.recorded, found.complete) != (calls, calls, True):
        raise RuntimeError(f"{calls} calls were to be in: {found}")


def _read(table: Table, account: Account, day: date, calls: int) -> None:
    """What is compared, and nothing else: the rows, and the day's part of the ledger."""
    with table.system.server.connect() as connection:
        rows = connection.execute(f"SELECT * FROM {table.name}").fetchall()
    with TableClient.from_connection_string(account.connection_string, LEDGER_TABLE) as client:
        records = list(client.query_entities(f"PartitionKey eq '{day}'"))
    if len(rows) != calls or len(records) < calls:
        raise RuntimeError(f"{calls} calls were to be read: {len(rows)} rows, {len(records)} records")


def _statements(run: Callable[[], None]) -> int:
    with statements() as sent:
        run()
    return len(sent)
