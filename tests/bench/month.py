"""What a month costs, from operations that are counted and assumptions that are named.

    python -m tests.bench.month                                       the table as it stands in docs/performance.md
    python -m tests.bench.month --set logs_gb=2.76 memory_gb=0.5      with other prices, or for another deployment

What is counted can be measured again: ``python -m tests.bench --only requests`` for the requests of a call, and the
number of log lines of a call and a poll by any run. The intervals are those of the app and of host.json.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

HOST: Mapping[str, object] = json.loads((Path(__file__).parents[2] / "host.json").read_text("utf-8"))
DAYS = 30
DAY_S = 86_400
VOLUMES = (1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where it runs, and how."""

    poll_every_s: float = 30
    learn_every_s: float = 60
    check_every_s: float = 300
    """Of check_call_groups, and of sum_up_calls."""
    memory_gb: float = 2
    """instanceMemoryMB in infra/app.bicep."""
    always_ready: float = 1
    """Instances that are kept, and paid for, whether they work or not: alwaysReady in infra/app.bicep."""
    least_execution_s: float = 1
    """The shortest that Flex Consumption bills."""
    at_once: float = 16
    """batchSize and newBatchThreshold in host.json."""
    api_s: float = 0.2
    """Assumed: what the Call Logger takes for a call, with the requests to storage around it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests and log lines. Of calls as they come one by one; a backlog needs fewer."""

    queue_of_call: float = 3
    """Put by the poll, received and deleted by the host."""
    queue_of_poll: float = 2
    """How much waits on each queue, for the log."""
    table_of_call: float = 4
    """Claimed, looked for on the days around, and settled."""
    table_of_old_call: float = 0.015
    """Read by four reconciliations, a thousand at a time, and removed, 99 at a time."""
    table_of_poll: float = 3
    """The lease is read, taken and given back."""
    table_of_find: float = 1
    """The position moves when there is something new."""
    table_of_look: float = 2
    """Of learn_extensions, check_call_groups and sum_up_calls."""
    queues: float = 2
    """Each is asked for messages by the host: cdr-calls and its poison queue."""
    host_lines: float = 0
    """For each execution: Executing, Executed, and for a message Trigger Details make three. host.json leaves them out;
    0 says so."""
    line_bytes: float = 1_200
    """Assumed: a trace as it is billed, 500 bytes of ours and the columns around them."""
    request_bytes: float = 1_300
    """Assumed: the host's row for each execution."""


@dataclass(frozen=True, slots=True)
class Prices:
    """In US dollars, without free grants, as of 2026-11. None is from a price sheet of Azure itself: executions were
    published for East US in 2025-05 by a third party; those of an instance kept ready and of queue requests (of
    general purpose v2, locally redundant) are what others quote; tables and logs are assumed. Put in your region's."""

    gb_seconds: float = 0.000026
    """Also of what an instance that is kept ready works, which is cheaper: an upper bound."""
    ready_gb_seconds: float = 0.000004
    executions: float = 0.40 / 1e6
    queue_requests: float = 0.004 / 1e4
    table_requests: float = 0.00036 / 1e4
    logs_gb: float = 2.30


@dataclass(frozen=True, slots=True)
class Month:
    """What is used in a month."""

    executions: float
    gb_seconds: float
    ready_gb_seconds: float
    queue_requests: float
    table_requests: float
    logs_gb: float

    def cost(self, prices: Prices) -> dict[str, float]:
        used, each = asdict(self), asdict(prices)
        return {name: used[name] * each[name] for name in used}


def month(calls_a_day: float, deployment: Deployment, counted: Counted, listen_every_s: float) -> Month:
    """:param listen_every_s: how often an instance that has nothing to do asks a queue; as if one were always there"""
    polls, learns = DAY_S / deployment.poll_every_s, DAY_S / deployment.learn_every_s
    checks = 2 * DAY_S / deployment.check_every_s
    finds = polls * (1 - math.exp(-calls_a_day / polls))
    """Polls that find something; what they find is worked on together."""
    together_s = max(deployment.least_execution_s, calls_a_day / finds / deployment.at_once * deployment.api_s)
    executions = polls + learns + checks + calls_a_day
    busy_s = (polls + learns + checks) * deployment.least_execution_s + finds * together_s
    lines = polls + checks + calls_a_day + counted.host_lines * executions
    return Month(
        executions=executions * DAYS,
        gb_seconds=busy_s * deployment.memory_gb * DAYS,
        ready_gb_seconds=deployment.always_ready * DAY_S * deployment.memory_gb * DAYS,
        queue_requests=(
            counted.queue_of_call * calls_a_day
            + counted.queue_of_poll * polls
            + counted.queues * DAY_S / listen_every_s
        )
        * DAYS,
        table_requests=(
            (counted.table_of_call + counted.table_of_old_call) * calls_a_day
            + counted.table_of_poll * polls
            + counted.table_of_find * finds
            + counted.table_of_look * (learns + checks)
        )
        * DAYS,
        logs_gb=(lines * counted.line_bytes + executions * counted.request_bytes) * DAYS / 1e9,
    )


def listen_every_s() -> float:
    """maxPollingInterval in host.json."""
    queues = HOST["extensions"]["queues"]  # type: ignore[index]
    hours, minutes, seconds = map(float, queues["maxPollingInterval"].split(":"))
    return hours * 3600 + minutes * 60 + seconds


WORDS = {
    "executions": "executions",
    "gb_seconds": "GB-seconds at work",
    "ready_gb_seconds": "GB-seconds kept ready",
    "queue_requests": "queue requests",
    "table_requests": "table requests",
    "logs_gb": "GB of logs",
}


def as_markdown(deployment: Deployment, counted: Counted, prices: Prices) -> str:
    months = {calls: month(calls, deployment, counted, listen_every_s()) for calls in VOLUMES}
    lines = ["| in a month, at calls a day | " + " | ".join(f"{calls:,}" for calls in VOLUMES) + " |"]
    lines.append("|---" + "|---:" * len(VOLUMES) + "|")
    for name, words in WORDS.items():
        cells = [f"{asdict(found)[name]:,.1f} (${found.cost(prices)[name]:,.2f})" for found in months.values()]
        lines.append(f"| {words} | " + " | ".join(cell.replace(".0 (", " (") for cell in cells) + " |")
    totals = [sum(found.cost(prices).values()) for found in months.values()]
    lines.append("| together | " + " | ".join(f"${total:,.2f}" for total in totals) + " |")
    shares = [found.cost(prices)["logs_gb"] / total for found, total in zip(months.values(), totals, strict=True)]
    lines.append("| of that for logs | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.month", description="What a month costs.")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=NUMBER", help="another price, count or setting")
    chosen = dict(pair.split("=", 1) for pair in parser.parse_args(arguments).set)
    inputs = (Deployment(), Counted(), Prices())
    known = {field.name for part in inputs for field in fields(part)}
    if unknown := chosen.keys() - known:
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    changed = [
        replace(part, **{field.name: float(chosen[field.name]) for field in fields(part) if field.name in chosen})
        for part in inputs
    ]
    sys.stdout.write(as_markdown(*changed) + "\n")


if __name__ == "__main__":
    main()
