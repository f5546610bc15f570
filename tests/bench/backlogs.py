"""A backlog: how quickly a poll reads and queues it, and how quickly its calls are submitted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from cdr.calls.message import Message
from cdr.intake.poll import poll
from tests.bench.free_storage import packed
from tests.bench.lab import AT_ONCE, Lab
from tests.bench.loops import OverPlainHttp, OverTheSdks, puts_a_second, submits_a_second
from tests.bench.results import Goal, Result, in_turns
from tests.functions.loaded_app import LoadedApp


def catch_up(lab: Lab) -> Iterator[Result]:
    rows, loop = lab.sizes.backlog, lab.sizes.loop
    text = next(iter(_singles(lab, 1)))

    def ours() -> float:
        with lab.app(lab.new_account(), lab.backlog(rows).settings()) as app:
            _ = app.parts.queue.depth(), app.parts.positions.read()  # connected, as a poll before it left them
            began = time.perf_counter()
            outcome = poll(app.parts.poller)
            taken = time.perf_counter() - began
        if (outcome.queued, outcome.caught_up) != (rows, True):
            raise RuntimeError(f"the poll did not catch up: {outcome}")
        return rows / taken

    medians = in_turns(
        lab.sizes.rounds,
        ours=ours,
        sdk=lambda: puts_a_second(OverTheSdks(lab.new_account(), lab.api_url), loop, text),
        plain=lambda: puts_a_second(OverPlainHttp(lab.new_account(), lab.api_url), loop, text),
    )
    behind = {"rows/s": medians["ours"], "SDK puts/s": medians["sdk"], "plain HTTP puts/s": medians["plain"]}
    yield Result("catch-up over the bare SDK put loop", medians["ours"] / medians["sdk"], "", Goal("least", 10), behind)


def submit(lab: Lab) -> Iterator[Result]:
    """Both as packed as the poll packs a backlog, and each call in a message of its own."""
    calls, loop = lab.sizes.backlog, lab.sizes.loop
    as_packed, one_by_one = packed(lab, lab.backlog(calls)), _singles(lab, loop)
    cpu: list[float] = []

    def of_backlog() -> float:
        rate, cpu_ms = _submitted(lab, calls, as_packed)
        cpu.append(cpu_ms)
        return rate

    medians = in_turns(
        lab.sizes.rounds,
        packed=of_backlog,
        single=lambda: _submitted(lab, loop, one_by_one)[0],
        sdk=lambda: submits_a_second(OverTheSdks(lab.new_account(), lab.api_url), loop),
        plain=lambda: submits_a_second(OverPlainHttp(lab.new_account(), lab.api_url), loop),
    )
    ceilings = {"SDK loop, calls/s": medians["sdk"], "plain HTTP loop, calls/s": medians["plain"]}
    over = {name: medians[name] / medians["sdk"] for name in ("packed", "single")}
    yield Result(
        "submit at backlog over the bare SDK loop",
        over["packed"],
        "",
        Goal("least", 2.5),
        {"calls/s": medians["packed"], **ceilings},
    )
    yield Result(
        "submit of single messages over the bare SDK loop",
        over["single"],
        "",
        Goal("least", 1.0),
        {"calls/s": medians["single"], **ceilings},
    )
    yield Result("CPU of a call at backlog", sorted(cpu)[len(cpu) // 2], "ms", Goal("most", 2.0))


def _singles(lab: Lab, calls: int) -> list[str]:
    with lab.app(lab.new_account(), lab.backlog(calls).settings()) as app, app.parts.source.connect() as reader:
        batches = reader.batches(reader.begin("beginning"))
        return [Message((record,)).to_text() for batch in batches for record in batch.records]


def _submitted(lab: Lab, calls: int, messages: Sequence[str]) -> tuple[float, float]:
    """Calls a second, and CPU-milliseconds of this process a call."""
    account = lab.new_account()
    with lab.app(account, lab.backlog(0).settings()) as app:
        _ = app.parts.worker, app.parts.queue.depth()
        seconds, cpu = deliver_all(app, messages)
    storage = account.storage
    states = storage.states()
    storage.close()
    if states != ["submitted"] * calls:
        raise RuntimeError(f"{calls} calls were to be submitted: {len(states)} records, {set(states)}")
    return calls / seconds, cpu * 1_000 / calls


def deliver_all(app: LoadedApp, messages: Sequence[str]) -> tuple[float, float]:
    """As the host does, so many at once. Seconds by the clock, and of this process's CPU."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        began, cpu = time.perf_counter(), time.process_time()
        for _ in pool.map(lambda text: app.deliver("submit_call", text), messages):
            pass
        return time.perf_counter() - began, time.process_time() - cpu
