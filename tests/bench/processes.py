"""What a process costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from tests.bench.lab import Account, Lab
from tests.bench.results import Goal, Result, in_turns
from tests.functions.loaded_app import ROOT

WORKERS_OWN = "azure.functions"
"""Imported by the worker itself before it looks for functions."""

NOBODY_S = Account("nobody", queue_port=1, table_port=1)
"""Who only starts asks nothing of storage."""

PROBE = """
import {module}, time
cpu = time.process_time()
from tests.bench.backlog_worker import resident_mib
print(cpu * 1e3, resident_mib())
"""


def start(lab: Lab) -> Iterator[Result]:
    variables = lab.variables(NOBODY_S, lab.backlog(0).settings())
    memory: dict[str, list[float]] = {"bare": [], "ours": []}

    def cpu_of(name: str, module: str) -> float:
        cpu_ms, resident_mib = map(float, child(["-c", PROBE.format(module=module)], variables).split())
        memory[name].append(resident_mib)
        return cpu_ms

    cpu_of("bare", "function_app")  # once more, so that it is compiled
    memory["bare"].clear()
    cpu = in_turns(
        lab.sizes.rounds,
        bare=lambda: cpu_of("bare", WORKERS_OWN),
        ours=lambda: cpu_of("ours", "function_app"),
    )
    resident = {name: median(values) for name, values in memory.items()}
    for what, unit, found, most in (("CPU", "ms", cpu, 1.9), ("memory", "MiB", resident, 1.4)):
        behind = {unit: found["ours"], f"{WORKERS_OWN}, {unit}": found["bare"]}
        name = f"import of the functions over bare {WORKERS_OWN}, {what}"
        yield Result(name, found["ours"] / found["bare"], "", Goal("most", most), behind)


def child(arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    """What a new process of Python prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
