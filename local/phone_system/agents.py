"""The simulated phone system's agents: who belongs to which call group, and who of them is logged in."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local.phone_system.script import GROUPS

SALES, SUPPORT = GROUPS
MEMBERS: Mapping[str, Sequence[str]] = {SALES: ("101", "102", "103"), SUPPORT: ("104", "105", "106")}

FIRST_BREAK_S = 5.0
BREAK_S = 10.0
WORK_S = 20.0
GAP_S = 0.5

CREATE_MEMBERS = """
CREATE TABLE IF NOT EXISTS GroupMember (
    GroupNumber TEXT NOT NULL,
    Extension TEXT NOT NULL,
    LoggedIn INTEGER NOT NULL,
    PRIMARY KEY (GroupNumber, Extension)
)
"""
LOG = "INSERT OR REPLACE INTO GroupMember (GroupNumber, Extension, LoggedIn) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """An agent has just logged in to a group or out of it."""

    change: Literal["in", "out"]
    group: str
    extension: str


class Agents:
    """Writes into `file`, which gets a GroupMember table; at first all agents are logged in.

    `pace` stretches the seconds (0.01: a hundred times as fast). Raises sqlite3.Error where the file cannot be written.
    """

    def __init__(self, file: Path | str, *, pace: float = 1.0, on_event: Callable[[AgentEvent], None]) -> None:
        self._file = file
        self._pace = pace
        self._on_event = on_event
        with closing(sqlite3.connect(file)) as database, database:
            database.execute(CREATE_MEMBERS)
            database.executemany(LOG, [(group, agent, 1) for group in MEMBERS for agent in MEMBERS[group]])

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, let all agents of Support take the same breaks, so that nobody is left."""
        for seconds, change in self._shifts():
            if stop.wait(seconds * self._pace):
                return
            for agent in MEMBERS[SUPPORT]:
                self._log(change, SUPPORT, agent)
                if stop.wait(GAP_S * self._pace):
                    return

    def _shifts(self) -> Iterator[tuple[float, Literal["in", "out"]]]:
        yield FIRST_BREAK_S, "out"
        while True:
            yield BREAK_S, "in"
            yield WORK_S, "out"

    def _log(self, change: Literal["in", "out"], group: str, agent: str) -> None:
        with closing(sqlite3.connect(self._file)) as database, database:
            database.execute(LOG, (group, agent, change == "in"))
        self._on_event(AgentEvent(change, group, agent))
