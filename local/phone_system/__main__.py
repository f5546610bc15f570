"""Writes calls into a file until Ctrl-C."""

import argparse
import random
import sqlite3
import sys
from pathlib import Path

from local.phone_system.pbx import CALLS_PER_MINUTE, Pbx
from local.stop_signals import stop_event


def positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.phone_system", description="A phone system that writes CallLog rows."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, help="the same calls every time")
    parser.add_argument("--calls-per-minute", type=positive, default=CALLS_PER_MINUTE)
    options = parser.parse_args()
    stop = stop_event()
    try:
        with Pbx(options.file, rng=random.Random(options.seed)) as pbx:
            pbx.run(stop, calls_per_minute=options.calls_per_minute)
    except sqlite3.Error as exc:
        sys.exit(f"The phone system cannot write {options.file}: {exc}")


if __name__ == "__main__":
    main()
