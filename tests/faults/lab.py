"""What all experiments share: the storage emulator, the nursery of workers, the proxies' thread, and MariaDB."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self
from unittest.mock import patch

from local import azurite
from local.azurite import Azurite
from tests.faults.nursery import Nursery
from tests.faults.proxies import Loop
from tests.support.ports import lasting_port
from tests.systems import mariadb
from tests.systems.mariadb import MariaDb

KEY = "a2V5"
"""Of every account; short, because all of them must fit into an environment variable."""

ACCOUNTS = 6_000
"""Each site has a storage account of its own, so that sites can share an emulator and need not clean up."""

AT_ONCE = 4
"""Experiments; most of the time of each is waiting."""


def missing() -> str | None:
    """What the experiments need and is not here."""
    if not hasattr(os, "fork"):
        return "the fault suite forks its workers, which this system cannot: use Linux, macOS or WSL"
    if azurite.find_entry() is None:
        return f"Azurite is missing in {azurite.default_folder()} (see AZURITE_DIR)"
    return None


class Lab:
    """As a context manager: everything it has started is stopped at the end of the block, and its folder removed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._mariadb: MariaDb | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self.nursery = self._stack.enter_context(Nursery())
            self.storage = self._stack.enter_context(start_azurite())
            self.loop = self._stack.enter_context(Loop())
        except BaseException:
            self._stack.close()
            raise

    def new_name(self) -> str:
        """Of a site: an account's and a database's name alike."""
        with self._lock:
            return account(next(self._numbers))

    @property
    def mariadb(self) -> MariaDb:
        """The server that sites share; a site that wants to kill one starts its own."""
        with self._lock:
            if self._mariadb is None:
                self._mariadb = self._stack.enter_context(mariadb.start())
            return self._mariadb

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()


def account(number: int) -> str:
    return f"site{number:06d}"


def start_azurite(data: Path | None = None, ports: azurite.Ports | None = None) -> Azurite:
    """An emulator that knows all accounts."""
    with patch.dict(os.environ, {"AZURITE_ACCOUNTS": _accounts()}):
        return azurite.start(data, ports)


def _accounts() -> str:
    return ";".join(f"{account(number)}:{KEY}" for number in range(1, ACCOUNTS + 1))


@contextmanager
def own_azurite(folder: Path) -> Iterator[OwnAzurite]:
    """An emulator with its data on disk, to be stopped and started again."""
    own = OwnAzurite(folder)
    try:
        yield own
    finally:
        own.stop()


class OwnAzurite:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.ports = azurite.Ports(lasting_port(), lasting_port(), lasting_port())
        self.start()

    def stop(self) -> None:
        self._running.stop()

    def start(self) -> None:
        """On the same ports, with the same data."""
        self._running = start_azurite(self._folder, self.ports)
