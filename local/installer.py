"""Runs the programs that install things, and makes one line of whatever keeps them from it. Python 3.8 can read it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NO_NETWORK = re.compile(
    r"NewConnectionError|Failed to establish a new connection|Name(?: or service not known|ResolutionError)"
    r"|Connect(?:ion)?Timeout|ReadTimeoutError|ProxyError|Temporary failure resolving"
    r"|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH",
    re.IGNORECASE,
)
_ERROR_LINE = re.compile(r"^(?:E:|error:|npm (?:error|ERR!)) *(?!code |A complete log)\S", re.IGNORECASE)


class Refusal(Exception):
    """Why this cannot go on; one line for the person at the terminal."""


@dataclass(frozen=True)
class Machine:
    """What setting up depends on: the project's folder, a Python to make environments with, and what is allowed."""

    root: Path
    python: str
    makes_venvs: bool
    is_debian: bool
    """Or what comes of it, such as Ubuntu."""
    is_root: bool


def say(text: str) -> None:
    print(text, flush=True)


def execute(name: str, command: list[str], machine: Machine) -> None:
    """Run an installer without its own words; those it failed with become one line."""
    result = subprocess.run(
        command,
        cwd=machine.root,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if result.returncode:
        raise Refusal(f"{name} failed: {reason_in(result.stdout)}")


def reason_in(output: str) -> str:
    if _NO_NETWORK.search(output):
        return "it cannot reach its package index; look at the network connection and the proxy settings"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR_LINE.match(line)]
    return (errors or lines or ["it does not say why"])[-1]
