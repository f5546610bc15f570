"""What can be asked of a look, for `dev.py` and `local.look` alike. Standard library only, as dev.py is."""

from __future__ import annotations

import argparse
from typing import Any

COMMANDS = {
    "preview": "the newest calls as they would be submitted, or why not; nothing is sent",
    "check-config": "every mistake of the configuration, and what is found behind each connection",
}
MOST_CALLS = 200


def add_look_commands(commands: Any) -> None:
    """:param commands: what `add_subparsers` of an argument parser has made"""
    for name, words in COMMANDS.items():
        parser: argparse.ArgumentParser = commands.add_parser(name, help=words)
        if name == "preview":
            parser.add_argument("--limit", type=_limit, default=20, help="how many calls (default: %(default)s)")
            parser.add_argument("--reveal", action="store_true", help="show phone numbers in full")


def as_arguments(options: argparse.Namespace) -> list[str]:
    """The same once more, for the program that does the work."""
    if options.command != "preview":
        return [options.command]
    return [options.command, "--limit", str(options.limit), *(["--reveal"] if options.reveal else [])]


def _limit(text: str) -> int:
    number = int(text)
    if not 0 < number <= MOST_CALLS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MOST_CALLS}")
    return number
