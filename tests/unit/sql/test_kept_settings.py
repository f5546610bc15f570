"""A session keeps what it is set to, or the server is named."""

from __future__ import annotations

import threading

import pytest

from cdr.edges.sql.bounded import OutOfTime, within
from cdr.edges.sql.kept_settings import closed_on_failure, refuse_forgotten
from shared.errors import SourceMisconfigured

WANTED = {"TimeZone": "UTC", "max_statement_time": 20}


@pytest.mark.parametrize("found", [WANTED, {"TimeZone": "utc", "max_statement_time": "20.000000"}])
def test_what_is_kept_may_be_written_otherwise(found: dict[str, object]) -> None:
    refuse_forgotten(WANTED, found, "3cx.cdr_database")


@pytest.mark.parametrize("found", [{}, {"TimeZone": "Asia/Kolkata", "max_statement_time": 20}])
def test_what_is_forgotten_is_named_with_the_way_out(found: dict[str, object]) -> None:
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.cdr_database\.host: .*: TimeZone \(is .*session"):
        refuse_forgotten(WANTED, found, "3cx.cdr_database")


class Closing:
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_connection_that_is_refused_is_closed_and_one_that_is_not_stays_open() -> None:
    connection = Closing()
    with closed_on_failure(connection):
        pass
    assert connection.closed == 0
    with pytest.raises(SourceMisconfigured), closed_on_failure(connection):
        raise SourceMisconfigured
    assert connection.closed == 1


def test_work_that_ends_gives_what_it_returns_or_raises() -> None:
    assert within(60, lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)


def test_work_without_an_end_is_left_and_cleans_up_after_itself_later() -> None:
    goes_on, cleaned = threading.Event(), threading.Event()
    with pytest.raises(OutOfTime, match=r"0\.01 s"):
        within(0.01, lambda: goes_on.wait(60), lambda _: cleaned.set())
    assert not cleaned.is_set()
    goes_on.set()
    assert cleaned.wait(60)
