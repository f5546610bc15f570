"""What can be asked of a run, for `dev.py` and `local.run` alike. Standard library only, as dev.py is."""

from __future__ import annotations

import argparse
import errno
import math
import socket
from typing import Literal

DEFAULT_PORT = 7071
HIGHEST_PORT = 65535

Source = Literal["v20", "calllog"]
SOURCES: tuple[Source, ...] = ("v20", "calllog")


class PortRefused(Exception):
    """The port cannot be had; one line for the person at the terminal."""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="seconds",
        type=seconds,
        metavar="SECONDS",
        help="end by itself, with a summary; the status is 1 if no call arrived",
    )
    parser.add_argument(
        "--source",
        choices=SOURCES,
        help="what the demo's phone system writes: v20 (legs, as a 3CX V20 does; if not given) or calllog (a table in "
        "which each row is a call)",
    )
    parser.add_argument(
        "--port", type=port_number, default=DEFAULT_PORT, help="where the functions answer (default: %(default)s)"
    )


def as_arguments(options: argparse.Namespace) -> list[str]:
    """The same options, for who hands them on."""
    given = {"--port": options.port, "--for": options.seconds, "--source": options.source}
    return [part for name, value in given.items() if value is not None for part in (name, str(value))]


def seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def port_number(text: str) -> int:
    number = int(text)
    if not 0 < number <= HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"must be from 1 to {HIGHEST_PORT}")
    return number


def refuse_taken_port(port: int) -> None:
    """Raises PortRefused for a port on which the functions could not listen."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortRefused(
                f"port {port} is taken by another program: end that one, or choose another --port"
            ) from exc
        raise PortRefused(f"port {port} cannot be listened on: {exc.strerror}") from exc
