"""Every kind of fault that the suite knows, by the name that it has in the table."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tests.faults import (
    api_faults,
    bad_calls,
    database_faults,
    frozen,
    gateway_faults,
    kills,
    leg_faults,
    packed,
    poison,
    storage_faults,
    table_faults,
)
from tests.faults.lab import Lab
from tests.faults.verdict import Verdict

Experiment = Callable[[Lab, random.Random], tuple[Verdict, int]]
"""Yields the verdict, and how many faults were injected."""


@dataclass(frozen=True)
class Kind:
    """``experiment`` makes the n-th experiment, counted from 0; ``steps`` are the places that a kind goes through."""

    name: str
    experiment: Callable[[int], Experiment]
    steps: int = 1
    needs_mariadb: bool = False
    only_long: bool = False
    """Left to the long run: the short one has tried nearly the same."""


def _kills() -> list[Kind]:
    found: list[Kind] = []
    for kind, steps in kills.STEPS.items():
        for after in (False, True):
            when = "carried out, not answered" if after else "come in"
            found.append(
                Kind(
                    f"kill: {kind} request {when}",
                    lambda i, kind=kind, after=after, steps=steps: partial(  # type: ignore[misc]
                        kills.kill_at, kind=kind, after=after, n=i % steps + 1
                    ),
                    steps,
                    needs_mariadb=kind == "database",
                )
            )
    of_legs = (
        Kind(
            f"v20: kill: {kind}",
            lambda i, kind=kind: partial(kills.kill_at, kind=kind, after=bool(i % 2), n=i // 2 + 1, source="v20"),  # type: ignore[misc]
            2 * steps,
            needs_mariadb=kind == "database",
        )
        for kind, steps in kills.STEPS.items()
    )
    in_hand = Kind("kill: messages in hand", lambda i: partial(kills.kill_with_messages_in_hand, n=i % 2 + 1), 2)
    at_random = Kind("kill: random moments", lambda i: partial(kills.kill_at_random, kills=2 + i % 3))
    return [*found, in_hand, at_random, *of_legs]


def _plain(name: str, experiment: Experiment, *, needs_mariadb: bool = False) -> Kind:
    return Kind(name, lambda _: experiment, needs_mariadb=needs_mariadb)


def _of_tables(name: str, experiment: Callable[..., tuple[Verdict, int]]) -> list[Kind]:
    """In a file, and on a server."""
    return [
        _plain(name, partial(experiment, engine="sqlite")),
        Kind(f"{name} (MariaDB)", lambda _: partial(experiment, engine="mysql"), needs_mariadb=True, only_long=True),
    ]


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        *_kills(),
        *(_plain(f"API: {fault}", partial(api_faults.misbehaves, fault=fault)) for fault in api_faults.FAULTS),
        _plain("API: 10 % resets", partial(api_faults.resets_by_lot, share=0.1)),
        _plain("API: down", api_faults.goes_down),
        _plain("API: rejects everything", api_faults.everything_is_rejected),
        _plain("gateway: gives up, the API goes on", gateway_faults.gives_up),
        _plain("gateway: pages of its own", gateway_faults.speaks_for_itself),
        _plain("gateway: drips", gateway_faults.drips),
        _plain("gateway: breaks", gateway_faults.breaks),
        _plain("gateway: nobody behind it", gateway_faults.loses_the_api),
        *(
            _plain(f"bad calls among good ones: {kind}", partial(bad_calls.among_good_ones, kind=kind))
            for kind in bad_calls.ANSWERS
        ),
        _plain("bad calls among good ones: unmapped extensions", bad_calls.unmapped_among_good_ones),
        _plain("frozen between claim and submission", frozen.between_claim_and_submission),
        _plain("frozen at random moments", frozen.at_random),
        _plain("clocks minutes and hours apart", frozen.skewed_clocks),
        *(
            _plain(f"storage: {fault}", partial(storage_faults.misbehaves, fault=fault))
            for fault in storage_faults.FAULTS
        ),
        _plain("storage: conflicts (412)", storage_faults.conflicts),
        _plain("storage: queue fails for a while", partial(storage_faults.fails_for_good, kind="queue")),
        _plain("storage: table fails for a while", partial(storage_faults.fails_for_good, kind="table")),
        _plain("storage: stopped and restarted", storage_faults.restarts),
        _plain("storage: tables and queues deleted", storage_faults.vanishes),
        _plain("three workers, all polling, messages doubled", storage_faults.many_at_work),
        _plain("replays while at work", storage_faults.replays_meanwhile),
        _plain("database: killed mid-page", database_faults.killed_mid_page, needs_mariadb=True),
        Kind(
            "database: connection dropped",
            lambda i: partial(database_faults.connection_dropped, n=i % database_faults.STEPS + 1),
            database_faults.STEPS,
            needs_mariadb=True,
        ),
        _plain("database: slower than the statement timeout", database_faults.too_slow, needs_mariadb=True),
        _plain("database: table locked", database_faults.table_locked, needs_mariadb=True),
        _plain("database: commits out of order", database_faults.commits_out_of_order, needs_mariadb=True),
        _plain("database: ids jump", database_faults.gaps_are_forgotten, needs_mariadb=True),
        _plain("database: rows that never end", database_faults.rows_given_up),
        *_of_tables("table: ids start again", table_faults.ids_start_again),
        *_of_tables("table: emptied", table_faults.emptied),
        *_of_tables("table: rows rewritten after they were read", table_faults.rewritten),
        *_of_tables("table: rows that end later", table_faults.ends_later),
        *_of_tables("table: values that cannot be read", table_faults.cannot_be_read),
        _plain("table: values that make no sense", table_faults.odd_values),
        _plain(
            "v20: late, doubled and joined legs, kills",
            partial(leg_faults.arrive_anyhow, engine="sqlite", kills=True),
        ),
        _plain(
            "v20: late, doubled and joined legs, failures",
            partial(leg_faults.arrive_anyhow, engine="mysql", kills=False),
            needs_mariadb=True,
        ),
        _plain("packed: killed at requests by lot", packed.killed_by_lot),
        _plain("packed: the API is slow and breaks", packed.slow_and_broken),
        _plain("packed: one call kills the worker", packed.one_kills_the_worker),
        _plain("poison: kills the worker", poison.kills_the_worker),
        _plain("poison: garbage", poison.garbage),
    )
}
