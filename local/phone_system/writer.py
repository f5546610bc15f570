"""What simulators of phone systems have in common: the file that they write into, and when the next call begins."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

OPENING_CALLS = 3


def utc_now() -> datetime:
    return datetime.now(UTC)


class Writer:
    """Has the file open until it is closed, at the end of the block where it is a context manager.

    Made in one thread it may be used in another, but in one at a time. Raises sqlite3.Error where the file cannot be
    written.
    """

    def __init__(self, file: Path | str, create: str, *, rng: Random, pace: float, opening_gap_s: float) -> None:
        """`create` makes the table; `opening_gap_s` lies between the first calls."""
        self._rng = rng
        self._pace = pace
        self._opening_gap_s = opening_gap_s
        # Autocommit: a row is there for readers at once.
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")  # so that readers never wait for the writer
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(create)
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _gap_s(self, begun: int, calls_per_minute: float) -> float:
        """Until the next call. The first ones come in quick succession, so that somebody who watches soon sees calls
        that ended."""
        if begun < OPENING_CALLS:
            return self._opening_gap_s * self._pace
        return self._rng.uniform(0.5, 1.5) * 60 / calls_per_minute
