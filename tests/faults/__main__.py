"""The long run: every kind of fault round and round, with ever new places and seeds, until the time is up.

    python -m tests.faults --minutes 30 [--seed N] [--least N] [--total N] [--only WORDS] [--json FILE]

Prints its table as Markdown; what it sees on the way goes to standard error. Exits with 1 if anything was lost or
duplicated, or not as it should be, or if there were too few injections, of one kind or in all.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.faults.kinds import KINDS
from tests.faults.lab import AT_ONCE, Lab, missing
from tests.faults.tally import Tally
from tests.faults.verdict import Verdict
from tests.systems import mariadb

LEAST_INJECTIONS = 20
"""Of each kind."""

LEAST_IN_ALL = 2_000

MOST_FAILURES = 30
"""Then something else is wrong, and the run ends."""

GRACE = 1.5
"""Where injections are still short when the time is up, there is half of it again."""


def main() -> int:
    options = _options()
    if reason := missing() or mariadb.is_installed():
        sys.exit(reason)
    names = [name for name in KINDS if options.only in name]
    _tell(f"seed {options.seed}")
    tally = Tally({})
    started = time.monotonic()
    with Lab() as lab:
        _run(lab, names, tally, options)
    tally.lines = {name: tally.lines[name] for name in names if name in tally.lines}
    minutes = (time.monotonic() - started) / 60
    said = f"{minutes:.0f} minutes, seed {options.seed}; {len(tally.failures)} experiments went wrong."
    sys.stdout.write(f"{tally.table()}\n\n{said}\n")
    if options.json:
        options.json.write_text(tally.json() + "\n")
    short = [name for name in names if _injections(tally, name) < options.least]
    for name in short:
        _tell(f"SHORT {name}: {_injections(tally, name)} injections, should be {options.least}")
    in_all = _in_all(tally)
    if in_all < options.total:
        _tell(f"SHORT in all: {in_all} injections, should be {options.total}")
    return 1 if tally.failures or short or in_all < options.total else 0


def _run(lab: Lab, names: list[str], tally: Tally, options: argparse.Namespace) -> None:
    started, seed, least, seconds = time.monotonic(), options.seed, options.least, options.minutes * 60
    rounds = dict.fromkeys(names, 0)
    running: dict[Future[tuple[Verdict, int]], str] = {}
    begun: dict[str, float] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            elapsed = time.monotonic() - started
            short = [name for name in names if _injections(tally, name) < least]
            open_to = names if elapsed < seconds or _in_all(tally) < options.total else short
            if elapsed >= seconds * GRACE:
                open_to = []
            if len(tally.failures) >= MOST_FAILURES:
                open_to = []
            # The kind that is shortest of injections is next; never two experiments of one kind at once.
            waiting = sorted(
                (name for name in open_to if name not in running.values()),
                key=lambda name: (min(_injections(tally, name), least), rounds[name]),
            )
            for name in waiting[: AT_ONCE - len(running)]:
                step, rounds[name] = rounds[name], rounds[name] + 1
                experiment = KINDS[name].experiment(step)
                running[pool.submit(experiment, lab, random.Random(f"{seed} {name} {step}"))] = name
                begun[name] = time.monotonic()
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                _enter(tally, name, future)
                _tell(f"{time.monotonic() - begun[name]:3.0f} s  {_injections(tally, name):4}  {name}")


def _enter(tally: Tally, name: str, future: Future[tuple[Verdict, int]]) -> None:
    try:
        verdict, injections = future.result()
    except Exception as exc:  # noqa: BLE001 - one broken experiment must not end the others
        verdict, injections = Verdict(problems=[f"the experiment failed: {exc!r}"]), 0
    known = len(tally.failures)
    tally.add(name, verdict, injections)
    for failure in tally.failures[known:]:
        _tell(f"WRONG {failure}")


def _injections(tally: Tally, name: str) -> int:
    return tally.lines[name].injections if name in tally.lines else 0


def _in_all(tally: Tally) -> int:
    return sum(line.injections for line in tally.lines.values())


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="The long run of the fault suite.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--least", type=int, default=LEAST_INJECTIONS, metavar="N", help="injections of each kind")
    parser.add_argument("--total", type=int, default=LEAST_IN_ALL, metavar="N", help="injections of all kinds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too, as JSON")
    parser.add_argument("--only", default="", metavar="WORDS", help="only the kinds with these words in their name")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
