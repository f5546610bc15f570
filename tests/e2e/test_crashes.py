"""The host dies in the middle of its work and is started again: nothing is lost, and nothing gets in twice."""

from __future__ import annotations

import threading
from contextlib import suppress

import requests

from cdr.calls.message import Message
from tests.e2e.hosts import end_when_it_takes_no_more
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until

ANSWERS_TO_SOME_MESSAGES = 6_000
"""Bytes, of some 700 each."""


def mixed_calls(count):
    """So many calls, of which each tenth is not answered and each fifteenth has an unknown extension."""
    return [
        make_raw_row(
            id=number,
            call_id=f"C-{number}",
            answered=0 if number % 10 == 0 else 1,
            extension="199" if number % 15 == 0 else "101",
        )
        for number in range(1, count + 1)
    ]


def outcome_of(rows):
    """The state that the ledger must come to, by row."""
    states = {True: "skipped", False: "submitted"}
    return [
        "rejected" if row["answered"] and row["extension"] == "199" else states[not row["answered"]] for row in rows
    ]


def submitted_names(rows):
    pairs = zip(rows, outcome_of(rows), strict=True)
    return sorted(f"{row['call_id']}-{row['id']}" for row, state in pairs if state == "submitted")


def test_killed_while_it_submits(start_host, mariadb_system, storage, call_logger):
    """At a moment when a call is in, and nobody but the API knows."""
    rows = mixed_calls(75)
    mariadb_system.insert(*rows)
    for entries_before_the_kill in (15, 35):
        call_logger.pause_at(entries_before_the_kill)
        host = start_host(mariadb_system, hasty=True)
        host.trigger("poll")
        wait_until(lambda least=entries_before_the_kill: len(call_logger.bodies) >= least)
        host.kill()
        assert "claimed" in storage.states()
        assert len(call_logger.bodies) < len(submitted_names(rows))
        call_logger.go_on()
    start_host(mariadb_system, hasty=True)
    wait_until(lambda: storage.states() == outcome_of(rows))
    assert call_logger.call_ids == submitted_names(rows)
    assert call_logger.double_submissions == []


def test_killed_while_it_polls(start_host, sqlite_system, storage, call_logger):
    rows = mixed_calls(250)
    sqlite_system.insert(*rows)
    with storage.line_to_queues() as (line, by_line):
        host = start_host(sqlite_system, "trigger_poll", hasty=True, storage=by_line)
        address = host.base_url
        line.stall_after(ANSWERS_TO_SOME_MESSAGES)

        def poll():
            with suppress(requests.ConnectionError):
                requests.post(f"{address}/trigger/poll", timeout=30)

        polling = threading.Thread(target=poll)
        polling.start()
        queued = wait_until(lambda: line.is_stalled and storage.depth())
        host.kill()
        polling.join()
    assert queued < len(rows) / 10, "the calls share messages of ten"
    assert storage.position is None
    assert not storage.lease_is_free
    restarted = start_host(sqlite_system, "trigger_poll", "submit_call", hasty=True)
    assert (restarted.trigger("poll")["queued"], storage.position) == (len(rows), len(rows))
    wait_until(lambda: storage.states() == outcome_of(rows))
    assert call_logger.call_ids == submitted_names(rows)
    assert call_logger.double_submissions == []


def test_told_to_stop_it_finishes_what_it_began_and_leaves_the_rest_on_the_queue(
    start_host, sqlite_system, storage, call_logger
):
    rows = [make_raw_row(id=number, call_id=f"C-{number}") for number in range(1, 81)]
    call_logger.pause_at(5)
    host = start_host(sqlite_system)
    for first in range(0, 80, 20):  # two calls in each message, and more messages than are taken in hand at once
        sqlite_system.insert(*rows[first : first + 20])
        host.trigger("poll")
    wait_until(lambda: len(call_logger.bodies) >= 5)
    assert end_when_it_takes_no_more(host, call_logger) == 0
    states = storage.states()
    assert set(states) == {"submitted"}
    assert len(states) == len(call_logger.bodies) < len(rows)
    left = [record for text in storage.look() for record in Message.from_text(text).records]
    assert len(left) == len(rows) - len(states)  # visible at once for the next host
