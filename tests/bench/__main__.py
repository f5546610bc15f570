"""All figures, or some, as a table: see the package's own words."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.figures import FIGURES, missing
from tests.bench.lab import TINY, Lab, Sizes
from tests.bench.results import Result, as_table


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    if reason := missing():
        sys.exit(reason)
    names = [name for name in FIGURES if options.only in name]
    if not names:
        sys.exit(f"no figure with {options.only} in its name; there are {', '.join(FIGURES)}")
    results: list[Result] = []
    began = time.monotonic()
    with Lab(_sizes(options)) as lab:
        for name in names:
            started = time.monotonic()
            results += FIGURES[name](lab)
            _tell(f"{name}: {time.monotonic() - started:.0f} s")
    said = {**_machine(), "minutes": round((time.monotonic() - began) / 60, 1)}
    if options.json:
        found = {**said, "figures": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(as_table(results, markdown=options.markdown) + "\n\n")
    sys.stdout.write(", ".join(f"{key}: {value}" for key, value in said.items()) + "\n")
    return 0


def _machine() -> dict[str, Any]:
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else "unknown"
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "Python": platform.python_version(),
        "processors": os.cpu_count(),
        "load at the end": load,
    }


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = TINY if options.tiny else Sizes()
    return replace(sizes, many_records=options.records) if options.records else sizes


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Each figure beside its ceiling.")
    parser.add_argument("--only", default="", metavar="NAME", help="only the figures with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    parser.add_argument("--markdown", action="store_true", help="the table as docs/performance.md has it")
    parser.add_argument("--records", type=int, metavar="N", help="of the large ledger")
    parser.add_argument("--tiny", action="store_true", help="everything once, in seconds: only to see that it runs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
