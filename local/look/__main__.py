"""Look before anything is sent, by the configuration and, where there is one, local.settings.json.

    python -m local.look preview [--limit 20] [--reveal]
    python -m local.look check-config

It is `python dev.py` that installs what this needs.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console

from cdr.operations.check_setup import check_setup, mistakes_found
from cdr.operations.preview import preview
from cdr.wiring.look import setup_of, unstored_previewer
from cdr.wiring.parts import Parts
from local.host.settings import HostError
from local.look.lines import Styled
from local.look.options import add_look_commands
from local.look.table import table_of
from local.look.tried import lines_of
from local.run.own_settings import SETTINGS_FILE, own_environment, uses_azurite
from local.run.terminal import standard_output
from shared.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = f"{SETTINGS_FILE} names the emulator, which `python dev.py run` starts"
NO_SETTINGS = f"there is no {SETTINGS_FILE}: copy local.settings.example.json, and fill it in"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.look", description="Look before anything is sent.")
    add_look_commands(parser.add_subparsers(dest="command", required=True))
    options = parser.parse_args(arguments)
    logging.getLogger("cdr").addHandler(logging.NullHandler())  # what there is to say stands in the lines below
    console = standard_output()
    try:
        environment = own_environment(root)
        parts = Parts(environment, root)
        if options.command == "preview":
            return show_preview(parts, console, options.limit, reveal=options.reveal)
        return show_findings(parts, console, storage_untried=EMULATOR if uses_azurite(environment) else "")
    except HostError as exc:
        print(f"local.look: {exc}", file=sys.stderr)
        return 1


def show_preview(parts: Parts, console: Console, limit: int, *, reveal: bool) -> int:
    if parts.mistakes:
        return _show_mistakes(parts, console)
    try:
        found = preview(unstored_previewer(parts), limit)
    except PipelineError as exc:
        say(console, (str(exc), "bold red"))
        say(console, ("`python dev.py check-config` tries every connection, and says what to do.", ""))
        return 1
    for line in table_of(found, reveal=reveal):
        say(console, line)
    return 0


def show_findings(parts: Parts, console: Console, *, storage_untried: str) -> int:
    if parts.mistakes:
        return _show_mistakes(parts, console)
    is_wrong = False
    for tried in (mistakes_found(parts.mistakes), *check_setup(setup_of(parts, storage_untried=storage_untried))):
        is_wrong |= tried.result == "wrong"
        for line in lines_of(tried):
            say(console, line)
    return int(is_wrong)


def _show_mistakes(parts: Parts, console: Console) -> int:
    for line in lines_of(mistakes_found(parts.mistakes)):
        say(console, line)
    if not (parts.root / SETTINGS_FILE).is_file():
        say(console, (NO_SETTINGS, "bold"))
    return 1


def say(console: Console, line: Styled) -> None:
    text, style = line
    console.print(text, style=style or None, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
