"""The simulated agents: who is in which group, and that Support is empty during its breaks only."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from cdr.edges.sql.members import SqlMemberSource, read_members
from local.phone_system.agents import MEMBERS, SALES, SUPPORT, AgentEvent, Agents
from local.phone_system.script import EXTENSIONS
from shared.config.phone_system import Database

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cdr.sqlite"


@pytest.fixture
def events():
    return []


@pytest.fixture
def agents(file, events):
    return Agents(file, pace=0.005, on_event=events.append)


def seen(file):
    """What the functions see of the groups, by the demo's own SELECT: how many are available, of how many."""
    source = SqlMemberSource(
        Database(engine="sqlite", database=str(file)), read_members("local/demo-members.sql", PROJECT)
    )
    found = source.observe([SALES, SUPPORT])
    return {name: (observation.available, len(observation.members)) for name, observation in found.items()}


def run_until(agents, condition, seconds=20.0):
    stop = threading.Event()
    thread = threading.Thread(target=agents.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + seconds
    try:
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.002)
    finally:
        stop.set()
        thread.join()


def test_at_first_all_agents_are_logged_in(agents, file):
    assert seen(file) == {SALES: (3, 3), SUPPORT: (3, 3)}


def test_agents_are_extensions_of_the_phone_system():
    assert {agent for group in MEMBERS.values() for agent in group} <= set(EXTENSIONS)


def test_all_of_support_log_out_and_come_back_and_those_of_sales_stay(agents, events, file):
    run_until(agents, lambda: len(events) >= 9)

    changes = [event.change for event in events[:9]]
    assert changes == ["out"] * 3 + ["in"] * 3 + ["out"] * 3
    assert [event.extension for event in events[:6]] == [*MEMBERS[SUPPORT]] * 2
    assert {event.group for event in events} == {SUPPORT}
    assert seen(file)[SALES] == (3, 3)


def test_a_change_is_told_once_it_is_in_the_table(file):
    told = []

    def note(event: AgentEvent) -> None:
        with closing(sqlite3.connect(file)) as database:
            row = database.execute("SELECT LoggedIn FROM GroupMember WHERE Extension = ?", (event.extension,))
            told.append((event.change, row.fetchone()))

    run_until(Agents(file, pace=0.005, on_event=note), lambda: len(told) >= 6)
    assert set(told) == {("out", (0,)), ("in", (1,))}


def test_a_new_phone_system_finds_them_all_logged_in_again(agents, events, file):
    run_until(agents, lambda: len(events) >= 3)
    Agents(file, on_event=events.append)
    assert seen(file)[SUPPORT] == (3, 3)


def test_it_stops_in_the_middle_of_a_break(file):
    patient = Agents(file, pace=100, on_event=print)
    began = time.monotonic()
    run_until(patient, lambda: True)
    assert time.monotonic() - began < 5


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        Agents(tmp_path / "missing" / "calls.sqlite", on_event=print)
