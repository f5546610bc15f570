"""How much memory it takes, and that it takes no more of it where there is more to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench.lab import Lab
from tests.bench.processes import NOBODY_S, child
from tests.bench.results import Goal, Result

READING = ("-m", "tests.bench.reading_worker")

FILL = """
INSERT INTO CallLog (Id, CallId, StartTime, EndTime, Duration, CallerNumber, DestNumber, Extension, CallType, Answered)
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows}),
     ended AS (SELECT n, julianday('now', 'start of day', '-1 second') - ({rows} - n) * 1.0 / {rows_of_a_day} AS at
               FROM numbers)
SELECT n, 'call-' || n, datetime(at, '-90 seconds'), datetime(at), 90, '+19075550142', '101', '101', 0, 1 FROM ended
"""
"""As many calls a day, until yesterday."""


def memory(lab: Lab) -> Iterator[Result]:
    rows = lab.sizes.remembered
    account, system = lab.new_account(), lab.backlog(rows)
    before, after = child(["-m", "tests.bench.backlog_worker"], lab.variables(account, system.settings())).split()
    storage = account.storage
    submitted = storage.states().count("submitted")
    storage.close()
    if submitted != rows:
        raise RuntimeError(f"{rows} calls were to be submitted: {submitted}")
    yield Result(
        f"memory after a backlog of {rows:,} calls",
        float(after),
        "MiB",
        Goal("most", 110),
        {"MiB before the first poll": float(before)},
    )
    first, imported = lab.sizes.imported
    yield _of_more(lab, f"a first import of {imported:,} rows over its first {first:,}", imported, ["poll", str(first)])
    of_a_day, (some, days) = lab.sizes.calls_of_a_day, lab.sizes.reconciled
    name = f"reconciling {days:,} days of {of_a_day:,} calls over the first {some:,}"
    yield _of_more(lab, name, days * of_a_day, ["reconcile", str(some * of_a_day), str(days)])


def _of_more(lab: Lab, name: str, rows: int, use_case: Sequence[str]) -> Result:
    """Of a process that has all of these rows to read."""
    system = lab.backlog(0)
    system.sql(FILL.format(rows=rows, rows_of_a_day=lab.sizes.calls_of_a_day))
    calls, early, peak = map(float, child((*READING, *use_case), lab.variables(NOBODY_S, system.settings())).split())
    if calls != rows:
        raise RuntimeError(f"{rows} calls were to be read: {calls}")
    return Result(
        f"peak memory of {name}", peak / early, "", Goal("most", 1.1), {"MiB": peak, "MiB of the first": early}
    )
