"""Sets this project up on your own machine, and runs, tests or checks it there. Needs nothing but Python and Node.js.

    python dev.py run            the functions: with a demo phone system, or yours if there is a local.settings.json
    python dev.py check-config   every mistake of your configuration, and what is found behind each connection
    python dev.py preview        your phone system's newest calls as they would be submitted, or why not; sends nothing
    python dev.py test           every test; further arguments are pytest's
    python dev.py faults         the long run of the fault suite: --minutes 30, and a table at the end
    python dev.py bench          how fast it is, beside what the same parts can do at best: --only NAME, --markdown
    python dev.py check          format, lint and type-check; with CI set, the format is only checked
    python dev.py package        the packages that are published with the functions, for the app's Python and Linux
    python dev.py lock           after a change of the lists of requirements: pins every package that they lead to

What it installs lies in .venv and .local (or where AZURITE_DIR says), and is only touched again when the locks change.
The short lists, requirements.txt in three folders, are for people. Of each there is a lock beside it, for every Python
from 3.11 on, with what it and the lists before it lead to, and the hash of each file. Only locks are installed from.
Python 3.8 can still read this file and local/installer.py, so that an old one gets a clear line, no syntax error.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from local.installer import Machine, Refusal, execute, say

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 18
AZURITE = "azurite@3.35.0"  # the newest for Node.js 18 and 20
AXE = "axe-core@4.14.1"

ROOT = Path(__file__).resolve().parent
LISTS = ("requirements.txt", "local/requirements.txt", "tests/requirements.txt")
LOCKS = tuple(name.replace(".txt", ".lock") for name in LISTS)
FOR_RUNNING, FOR_TESTING = LOCKS[1:2], LOCKS[2:]  # each has what those before it have
LOCK_OPTIONS = (
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-annotate", "--no-emit-index-url", "--custom-compile-command", "python dev.py lock"),
)
TYPE_CHECKED = ("function_app.py", "cdr", "shared", "local", "infra", "dev.py")

# The servers of MariaDB and PostgreSQL, the drivers for SQL Server (FreeTDS), what Microsoft's driver from PyPI wants
# of the system, and the browser that the page is looked at with, which Ubuntu has under no such name.
BROWSER = "chromium"
DEBIAN_PACKAGES = (
    "mariadb-server",
    "postgresql",
    "tdsodbc",
    "unixodbc",
    "libltdl7",
    "libkrb5-3",
    "libgssapi-krb5-2",
    BROWSER,
)

# Tests mostly wait, so that two cores have work for four. A file's tests stay together, since they share its servers.
# Files come as they are found: by the number of their tests, the longest ones, which have few, would come last.
IN_PARALLEL = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")

INTERRUPTED = 130


def this_machine() -> Machine:
    return Machine(
        root=ROOT,
        python=sys.executable,
        makes_venvs=importlib.util.find_spec("ensurepip") is not None,
        is_debian=Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None,
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
    )


def main(arguments: list[str], machine: Machine | None = None) -> int:
    machine = machine or this_machine()
    try:
        refuse_old_python(sys.version_info[:2])
        options, rest = parse(arguments)
        work = {
            "run": lambda: run(options, machine),
            "preview": lambda: look(options, machine),
            "check-config": lambda: look(options, machine),
            "test": lambda: test(["-m", "pytest", *IN_PARALLEL, *rest], machine),
            "faults": lambda: test(["-m", "tests.faults", *rest], machine),
            "bench": lambda: test(["-m", "tests.bench", *rest], machine),
            "check": lambda: check(machine),
            "package": lambda: without_node(["-m", "local.package"], machine),
            "lock": lambda: lock(machine),
        }
        return work[options.command]()
    except Refusal as refusal:
        print(f"dev.py: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def refuse_old_python(version: tuple[int, ...]) -> None:
    if version < OLDEST_PYTHON:
        raise Refusal(
            "Python {}.{} or newer is needed, this is {}.{}: install one and start dev.py with it".format(
                *OLDEST_PYTHON, *version
            )
        )


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is for pytest, the fault suite or the benchmark."""
    from local.look.options import add_look_commands
    from local.run.options import add_run_options

    parser = argparse.ArgumentParser(prog="dev.py", description="Run, test or check this project on your own machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_run_options(commands.add_parser("run", help="the functions, with a demo phone system or with yours"))
    add_look_commands(commands)
    commands.add_parser("test", help="every test; further arguments are pytest's", usage="dev.py test [pytest's ...]")
    commands.add_parser("faults", help="the long run of the fault suite", usage="dev.py faults [--minutes 30] [...]")
    commands.add_parser("bench", help="how fast it is", usage="dev.py bench [--only NAME] [--markdown] [--json FILE]")
    commands.add_parser("check", help="format, lint and type-check")
    commands.add_parser("package", help="the packages that are published with the functions")
    commands.add_parser("lock", help="pin every package that the lists of requirements lead to")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in ("test", "faults", "bench"):
        parser.error("unknown arguments: " + " ".join(rest))
    return options, rest


def run(options: argparse.Namespace, machine: Machine) -> int:
    from local.run.options import PortRefused, as_arguments, refuse_taken_port

    refuse_missing_node()
    try:
        refuse_taken_port(options.port)
    except PortRefused as exc:
        raise Refusal(str(exc)) from exc
    azurite = provide_azurite(machine)
    provide_requirements(FOR_RUNNING, machine)
    return hand_over(["-m", "local.run", *as_arguments(options)], machine, azurite)


def look(options: argparse.Namespace, machine: Machine) -> int:
    from local.look.options import as_arguments

    return without_node(["-m", "local.look", *as_arguments(options)], machine)


def without_node(command: list[str], machine: Machine) -> int:
    """What needs no storage needs no Node.js."""
    provide_requirements(FOR_RUNNING, machine)
    return hand_over(command, machine)


def test(command: list[str], machine: Machine) -> int:
    refuse_missing_node()
    azurite = provide_azurite(machine)
    provide_axe(azurite, machine)
    provide_requirements(FOR_TESTING, machine)
    provide_debian_packages(machine)
    return hand_over(command, machine, azurite)


def check(machine: Machine) -> int:
    provide_requirements(FOR_TESTING, machine)
    commands = (
        ["ruff", "format", *(["--check"] if os.environ.get("CI") else [])],
        ["ruff", "check"],
        ["mypy", *TYPE_CHECKED],
    )
    # All of them, also after a failure: who mends one wants to know of the others.
    python = venv_python(machine)
    statuses = [
        subprocess.run([python, "-m", *command], cwd=machine.root, check=False).returncode for command in commands
    ]
    return int(any(statuses))


def lock(machine: Machine) -> int:
    """First what all lists together lead to, so that the shorter locks cannot differ from it."""
    provide_requirements(FOR_TESTING, machine)
    whole = LOCKS[-1]
    for count in (3, 2, 1):
        agreeing = [] if count == len(LISTS) else ["--constraint", whole]
        command = [str(venv_python(machine)), "-m", "uv", "pip", "compile", "--quiet", "--upgrade", *LOCK_OPTIONS]
        execute("uv", [*command, *agreeing, *LISTS[:count], "--output-file", LOCKS[count - 1]], machine)
    return 0


def hand_over(arguments: list[str], machine: Machine, azurite: Path | None = None) -> int:
    """Go on as the virtual environment's Python; on Windows, which knows no such thing, wait for it instead.

    Bytecode is kept, whatever the shell says: else each worker of pytest compiles every test, and each process all it
    imports. It is kept where that of installed packages lies already, since another place would begin without theirs.
    """
    command = [str(venv_python(machine)), *arguments]
    environment = {**os.environ, **({"AZURITE_DIR": str(azurite)} if azurite else {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    os.chdir(machine.root)
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the program that does the work
    return subprocess.run(command, env=environment, check=False).returncode


def refuse_missing_node() -> None:
    node = shutil.which("node")
    if node is None:
        raise Refusal(
            f"Node.js is missing (no `node` on PATH): install version {OLDEST_NODE} or newer, from https://nodejs.org"
        )
    said = subprocess.run([node, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)", said)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise Refusal(f"Node.js {OLDEST_NODE} or newer is needed, `node --version` says {said!r}")


def provide_azurite(machine: Machine) -> Path:
    """The npm folder with Azurite in it, installed there if need be. One that AZURITE_DIR names is taken as it is."""
    from local.azurite import default_folder, find_entry

    folder = default_folder(machine.root).absolute()
    record = folder / "installed.txt"  # written last: an installation that was cut short has none
    is_settled = "AZURITE_DIR" in os.environ or (record.is_file() and record.read_text(encoding="utf-8") == AZURITE)
    if is_settled and find_entry(folder):
        return folder
    install_from_npm(AZURITE, "the storage emulator", folder, machine)
    record.write_text(AZURITE, encoding="utf-8")
    return folder


def provide_axe(folder: Path, machine: Machine) -> None:
    """What looks for barriers in the page, beside Azurite; without it the page is not looked at for them."""
    if (folder / "node_modules" / "axe-core" / "axe.min.js").is_file():
        return
    try:
        install_from_npm(AXE, "which looks for barriers in the page", folder, machine)
    except Refusal as refusal:
        say(f"{refusal}; the tests that need axe-core are skipped")


def install_from_npm(package: str, what: str, folder: Path, machine: Machine) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Refusal(f"npm is missing (it comes with Node.js): it installs {package}, {what}")
    say(f"Installing {package}, {what}, into {folder} (once; half a minute)")
    folder.mkdir(parents=True, exist_ok=True)
    patience = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    execute("npm", [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", *patience, package], machine)


def provide_requirements(files: tuple[str, ...], machine: Machine) -> None:
    """A virtual environment with what the files ask for. Those that were installed as they are now are left alone."""
    provide_venv(machine)
    record = machine.root / ".venv" / "installed.json"
    installed = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    wanted = {name: hashlib.sha256((machine.root / name).read_bytes()).hexdigest() for name in files}
    if wanted.items() <= installed.items():
        return
    say(f"Installing {', '.join(files)} into .venv (once; about a minute)")
    lists = [part for name in files for part in ("-r", str(machine.root / name))]
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", *lists]
    execute("pip", [str(venv_python(machine)), "-m", "pip", "install", *options], machine)
    record.write_text(json.dumps({**installed, **wanted}, indent=2), encoding="utf-8")


def provide_venv(machine: Machine) -> None:
    """Any environment that works is kept; one that was cut short, or whose Python is gone, is made anew."""
    probe = f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    python = venv_python(machine)
    if python.exists() and not subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode:
        return
    if not machine.makes_venvs:
        provide_debian_venv(machine)
    say("Making the virtual environment .venv")
    execute("python -m venv", [machine.python, "-m", "venv", "--clear", str(machine.root / ".venv")], machine)


def venv_python(machine: Machine) -> Path:
    return machine.root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def provide_debian_venv(machine: Machine) -> None:
    package = "python{}.{}-venv".format(*sys.version_info)
    if not (machine.is_debian and machine.is_root):
        raise Refusal(f"this Python cannot make virtual environments: `sudo apt-get install {package}` mends that")
    apt_install([package], machine)


def provide_debian_packages(machine: Machine) -> None:
    """Install what tests need of the system where that is allowed, else say what will be skipped and why."""
    if not machine.is_debian:
        say(
            "Tests that need MariaDB, PostgreSQL, FreeTDS's ODBC driver or Chromium are skipped where these are missing"
        )
        return
    missing = missing_packages()
    if missing and not machine.is_root:
        say(f"Tests are skipped, because {', '.join(missing)} are missing: `sudo apt-get install {' '.join(missing)}`")
        return
    for packages in ([name for name in missing if name != BROWSER], [name for name in missing if name == BROWSER]):
        try:
            if packages:
                apt_install(packages, machine)
        except Refusal as refusal:
            say(f"{refusal}; the tests that need {', '.join(packages)} are skipped")


def missing_packages() -> list[str]:
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *DEBIAN_PACKAGES]
    shown = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return [package for package in DEBIAN_PACKAGES if f"{package} installed" not in shown.splitlines()]


def apt_install(packages: list[str], machine: Machine) -> None:
    say(f"Installing {', '.join(packages)} with apt (once)")
    execute("apt-get", ["apt-get", "update", "--quiet"], machine)
    execute("apt-get", ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages], machine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
