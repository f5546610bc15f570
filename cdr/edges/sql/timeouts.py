"""How long a database may take, beside the statement timeout, which the server keeps."""

from __future__ import annotations

from dataclasses import dataclass

from shared.config.phone_system import Database


@dataclass(frozen=True, slots=True)
class Timeouts:
    """``gone_after_s`` is added to the statement timeout, for a server that is gone without a word."""

    connect_s: int = 10
    gone_after_s: int = 5

    def statement_s(self, database: Database) -> int:
        """After which a statement is given up on this side."""
        return database.statement_timeout_seconds + self.gone_after_s


USUAL = Timeouts()


def lock_timeout_ms(database: Database) -> int:
    """Less than the statement timeout, so that the server says what it waited for."""
    return database.statement_timeout_seconds * 1000 - 300
