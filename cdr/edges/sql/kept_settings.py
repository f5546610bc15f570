"""What a session must keep: settings are made after connecting, since poolers refuse or forget them before, and read
back, since some forget them afterwards too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.errors import SourceMisconfigured


@contextmanager
def closed_on_failure(connection: Any) -> Iterator[None]:
    """What is of no use is not left to the garbage collector, which would complain of it."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def refuse_forgotten(wanted: Mapping[str, Any], found: Mapping[str, Any], setting: str) -> None:
    """:raises SourceMisconfigured: the server, or what stands before it, has not kept what was set"""
    kept = {name for name, value in wanted.items() if _same(value, found.get(name))}
    forgotten = [f"{name} (is {found.get(name)!r})" for name in wanted if name not in kept]
    if forgotten:
        raise SourceMisconfigured(
            f"{setting}.host: the server does not keep what its session is set to: {', '.join(forgotten)}; connect "
            "past the pooler or proxy before it, or let that keep a session for each client (pool_mode = session)"
        )


def _same(wanted: Any, found: Any) -> bool:
    """As texts or as numbers, since servers add decimals."""
    try:
        return float(wanted) == float(found)
    except (TypeError, ValueError):
        return str(wanted).lower() == str(found).lower()
