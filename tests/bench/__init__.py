"""How fast it is, each figure beside the best that the same parts can do, in one run: ratios hold on any machine.

    python -m tests.bench                       all figures as a table, within ten minutes
    python -m tests.bench --only submit         those with this word in their name
    python -m tests.bench --markdown            the table as it stands in docs/performance.md
    python -m tests.bench --json bench.json     every number that was measured as well
    python -m tests.bench.month                 what a month costs, from counted operations

What is compared in time, CPU or memory takes turns with its ceiling, five times, and the medians count. Requests are
counted once; latency and the memory after a backlog are measured once, without a ceiling. Storage is Azurite, the Call
Logger a process that answers at once: both are others' work, so that they count on neither side.
"""
