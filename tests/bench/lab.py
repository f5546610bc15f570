"""What all figures share: storage, the Call Logger, a phone system's file, and the functions between them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from shared.config.phone_system import CdrDatabase
from tests.bench.instant_api import instant_api
from tests.faults.lab import KEY, account, start_azurite
from tests.faults.proxies import Loop
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import Storage, write_config
from tests.support.factories import make_raw_row
from tests.systems import postgresql
from tests.systems.phone_systems import SqlitePhoneSystem
from tests.systems.postgresql import PostgreSql

AT_ONCE = 16
"""Messages that the host lets one instance work on side by side."""

LONG_INTERVAL_S = 3600
"""So that a poll of a whole backlog is within its share of it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    rounds: int = 5
    polls: int = 7
    """A poll is short: each turn takes the median of so many."""
    backlog: int = 2_000
    """Rows of a catch-up and calls of the submits after it."""
    loop: int = 500
    """Calls or messages of each bare loop."""
    counted: int = 1_000
    """Calls whose requests are counted."""
    few_rows: int = 1_000
    many_rows: int = 1_000_000
    few_records: int = 1_000
    many_records: int = 100_000
    running: int = 4_000
    gaps: int = 1_000
    arrivals: int = 60
    arrivals_within_s: float = 60.0
    """Over which calls end, at moments that have nothing to do with the polls'."""
    remembered: int = 10_000
    """Calls of the backlog after which memory is read."""
    imported: tuple[int, int] = (10_000, 1_000_000)
    """Rows of a first import: after the first of them it is to take the memory that it takes at its end."""
    reconciled: tuple[int, int] = (7, 30)
    """Days, likewise."""
    calls_of_a_day: int = 3_000


TINY = Sizes(
    rounds=1,
    polls=1,
    backlog=30,
    loop=10,
    counted=5,
    few_rows=50,
    many_rows=200,
    few_records=20,
    many_records=60,
    running=30,
    gaps=10,
    arrivals=2,
    arrivals_within_s=0.1,
    remembered=40,
    imported=(20, 60),
    reconciled=(2, 3),
    calls_of_a_day=20,
)
"""Each figure once, in seconds: not to measure, but to see that it still can."""


class Lab:
    """As a context manager: everything that it has started is stopped at the end of the block."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._stack = ExitStack()
        self._numbers = count(1)
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)

    @cached_property
    def azurite(self) -> Any:
        return self._stack.enter_context(start_azurite())

    @cached_property
    def api_port(self) -> int:
        return self._stack.enter_context(instant_api())

    @cached_property
    def loop(self) -> Loop:
        """The thread of proxies."""
        return self._stack.enter_context(Loop())

    @cached_property
    def postgresql(self) -> PostgreSql:
        return self._stack.enter_context(postgresql.start())

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}/api"

    def new_account(self) -> Account:
        """An account without anything in it."""
        return Account(account(next(self._numbers)), self.azurite.ports.queue, self.azurite.ports.table)

    def backlog(self, rows: int, name: str = "calls") -> SqlitePhoneSystem:
        """A phone system with so many calls, none of which was read."""
        file = self.folder / f"{name}-{next(self._numbers)}.db"
        system = SqlitePhoneSystem(file)
        system.insert(*(make_raw_row(id=number, call_id=f"call-{number}") for number in range(1, rows + 1)))
        return system

    @contextmanager
    def app(
        self, account: Account, database: CdrDatabase, *, base_url: str | None = None, more: str = ""
    ) -> Iterator[LoadedApp]:
        """The functions, freshly loaded, whose environment this process has for as long."""
        with patch.dict(os.environ, self.variables(account, database, base_url=base_url, more=more)):
            yield LoadedApp()

    def variables(
        self,
        account: Account,
        database: CdrDatabase,
        *,
        base_url: str | None = None,
        interval_s: int = 0,
        more: str = "",
    ) -> dict[str, str]:
        """What the app's environment has to hold, with a configuration file of its own."""
        file = self.folder / f"config-{next(self._numbers)}.yml"
        write_config(file, database, base_url or self.api_url, interval_s=interval_s or LONG_INTERVAL_S, more=more)
        return {"AzureWebJobsStorage": account.connection_string, "CONFIG_FILE": str(file)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account of the emulator, by these ports: its own, or those of what stands before it."""

    name: str
    queue_port: int
    table_port: int

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey={KEY};"
            f"QueueEndpoint=http://127.0.0.1:{self.queue_port}/{self.name};"
            f"TableEndpoint=http://127.0.0.1:{self.table_port}/{self.name};"
        )

    @property
    def storage(self) -> Storage:
        return Storage(self.connection_string)
