"""Azurite, Microsoft's storage emulator, as a child process: started from an npm folder, on 127.0.0.1 only.

    with azurite.start() as storage:
        QueueClient.from_connection_string(storage.connection_string, "cdr-calls")

Nothing but the standard library is needed, so that it can run before any requirement is installed.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

PROJECT = Path(__file__).resolve().parents[1]

ACCOUNT = "devstoreaccount1"
# Published by Microsoft and the same in every Azurite: it protects nothing.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

START_SECONDS = 60
STOP_SECONDS = 15

# Azurite would outlive a parent that was killed. So it holds one end of a pipe, and closes in order when the pipe does.
_WITH_PARENT = """
process.stdin.resume().on("end", () => process.emit("SIGTERM") || process.exit());
process.stdin.unref();
require(process.argv[1]);
"""
_LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at https?://[\d.]+:(\d+)")
_HELD_PORT = re.compile(r"EADDRINUSE.*:(\d+)")


class AzuriteError(Exception):
    """Azurite cannot run here; the message is one line that says what to do."""


class Ports(NamedTuple):
    """TCP ports of the three services; 0 lets the system choose a free one."""

    blob: int = 0
    queue: int = 0
    table: int = 0


@dataclass(frozen=True)
class Azurite:
    """A running Azurite. As a context manager it is stopped at the end of the block."""

    ports: Ports
    process: subprocess.Popen[str]

    @property
    def connection_string(self) -> str:
        endpoints = zip(("Blob", "Queue", "Table"), self.ports, strict=True)
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};" + "".join(
            f"{service}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for service, port in endpoints
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """End the process and wait until it has gone, so that its ports and its data are free again."""
        _end(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def default_folder(project: Path = PROJECT) -> Path:
    """The npm folder with Azurite in it: AZURITE_DIR, else `.local/azurite` in the project."""
    chosen = os.environ.get("AZURITE_DIR")
    return Path(chosen) if chosen else project / ".local" / "azurite"


def find_entry(folder: Path | None = None) -> Path | None:
    """Azurite's script under `folder` (else the default folder), or None where it is not installed."""
    entry = (folder or default_folder()) / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    return entry.resolve() if entry.is_file() else None


def what_is_missing() -> str | None:
    """None if it can be started here, else what to install, in one line."""
    try:
        _program()
    except AzuriteError as exc:
        return str(exc)
    return None


def start(data: Path | None = None, ports: Ports | None = None, options: Sequence[str] = ()) -> Azurite:
    """Start Azurite and wait until its three ports answer.

    `data` is the folder that keeps what is stored; without one everything is in memory and ends with the process.
    `options` are further ones of Azurite's own command line.
    Raises AzuriteError where Node.js or Azurite is missing, a port is held, or it does not come up.
    """
    process = subprocess.Popen(
        [*_program(), *_options(data, ports or Ports()), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        # Ctrl-C reaches all programs of a terminal, but storage must outlast the functions that finish their work.
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    try:
        return Azurite(_wait_for_ports(process), process)
    except BaseException:
        _end(process)
        raise


def _program() -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise AzuriteError("Node.js is missing (no `node` on PATH): install version 18 or newer, Azurite runs on it")
    entry = find_entry()
    if entry is None:
        folder = default_folder()
        raise AzuriteError(f"Azurite is missing in {folder}: run `npm install --prefix {folder} azurite`")
    return [node, "-e", _WITH_PARENT, str(entry)]


def _options(data: Path | None, ports: Ports) -> list[str]:
    storage = ["--inMemoryPersistence"] if data is None else ["--location", str(data)]
    return [
        *("--silent", "--disableTelemetry", "--skipApiVersionCheck", *storage),
        *("--blobPort", str(ports.blob), "--queuePort", str(ports.queue), "--tablePort", str(ports.table)),
    ]


def _wait_for_ports(process: subprocess.Popen[str]) -> Ports:
    lines = _read_on(process)
    found: dict[str, int] = {}
    said = ["it said nothing"]
    deadline = time.monotonic() + START_SECONDS
    while len(found) < len(Ports._fields):
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AzuriteError(f"Azurite did not come up within {START_SECONDS} s") from None
        if line is None:
            raise _failure(said)
        said.append(line)
        if match := _LISTENING.search(line):
            found[match[1].lower()] = int(match[2])
    return Ports(**found)


def _read_on(process: subprocess.Popen[str]) -> queue.SimpleQueue[str | None]:
    """Hand over the lines of `process` as they come, then None. It never stops reading: a full pipe stops Azurite."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read(output: IO[str]) -> None:
        with output:
            for line in output:
                lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, args=(process.stdout,), name="azurite-output", daemon=True).start()
    return lines


def _failure(said: list[str]) -> AzuriteError:
    for line in said:
        if match := _HELD_PORT.search(line):
            return AzuriteError(f"port {match[1]} is taken by another program; Azurite needs it")
    return AzuriteError(f"Azurite ended while starting: {said[-1]}")


def _end(process: subprocess.Popen[str]) -> None:
    # No signal beside: Azurite takes the second request to end as one to end at once, before all is on disk.
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
