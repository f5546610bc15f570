"""Brings together the packages that are published with the functions: python -m local.package

Each with the hash that requirements.lock has of it, and for the Python and the Linux of the app in Azure, whatever this
machine has. A build over there would take requirements.txt, which has no hashes, and may take another Python: packages
of another one do not load, and with them go all functions. It is `python dev.py package` that installs what this needs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(".python_packages/lib/site-packages")
"""Where the Functions worker looks, within what is published."""

PLATFORM = "x86_64-manylinux_2_28"


def main(root: Path = ROOT) -> int:
    python = python_of_the_app((root / "infra/app.bicep").read_text(encoding="utf-8"))
    status = install(root / "requirements.lock", root / TARGET, python)
    if status == 0:
        count = len(list((root / TARGET).glob("*.dist-info")))
        print(
            f"{count} packages for Python {python} on Linux are in {TARGET.parts[0]}, to be published without a build."
        )
    return status


def python_of_the_app(template: str) -> str:
    """Such as 3.12."""
    found = re.search(r"runtime: \{\s*name: 'python'\s*version: '([0-9.]+)'", template)
    if found is None:
        raise LookupError("infra/app.bicep does not say which Python the app has")
    return found[1]


def install(lock: Path, target: Path, python: str) -> int:
    """Into an empty folder: what an earlier lock had must not be published. Returns the installer's status."""
    shutil.rmtree(target, ignore_errors=True)
    options = (
        *("--target", str(target), "--python-version", python, "--python-platform", PLATFORM),
        *("--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)),
    )
    return subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
