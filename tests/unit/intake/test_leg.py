"""A row of ``cdroutput`` becomes a leg, whatever types the copy of the table has."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.intake.folding.leg import COLUMNS, leg_of
from shared.errors import InvalidRow

ID = "0000abcd-01dc-b063-e4bb-400000002a01"
EIGHT = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)


def _leg(**columns: Any) -> Any:
    return leg_of({"cdr_id": ID, "call_history_id": "flow", **columns})


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(ID, id="text"),
        pytest.param(uuid.UUID(ID), id="uuid"),
        pytest.param(ID.upper() + "  ", id="upper-case-and-padded"),
        pytest.param("{" + ID.upper() + "}", id="in-braces"),
        pytest.param(uuid.UUID(ID).bytes, id="16-bytes"),
        pytest.param(ID.encode(), id="bytes-of-text"),
        pytest.param(memoryview(ID.encode()), id="memory"),
    ],
)
def test_an_id_is_the_same_in_every_type(raw: Any) -> None:
    leg = _leg(cdr_id=raw, base_cdr_id=raw, source_participant_id=raw)
    assert (leg.id, leg.base, leg.source.participant_id) == (ID, ID, ID)


@pytest.mark.parametrize("raw", [None, "", "  ", str(uuid.UUID(int=0)), uuid.UUID(int=0)])
def test_no_id_names_nothing(raw: Any) -> None:
    assert _leg(continued_in_cdr_id=raw).continued_in is None


@pytest.mark.parametrize("column", ["cdr_id", "call_history_id"])
def test_a_row_without_an_id_of_its_own_is_no_leg(column: str) -> None:
    with pytest.raises(InvalidRow, match=f"{column}: missing"):
        _leg(**{column: None})


@pytest.mark.parametrize("raw", [True, 1, 1.0, Decimal(1), b"\x01", b"1", "\x01", "t", "TRUE", " yes ", "1"])
def test_what_is_true(raw: Any) -> None:
    assert _leg(source_participant_is_incoming=raw).source.is_incoming is True


@pytest.mark.parametrize("raw", [False, 0, 0.0, Decimal(0), b"\x00", b"0", "\x00", "f", "False", "no", "0"])
def test_what_is_false(raw: Any) -> None:
    assert _leg(destination_participant_is_incoming=raw).destination.is_incoming is False


@pytest.mark.parametrize("raw", [None, "", "perhaps", 2, float("nan"), b"\x02"])
def test_what_is_neither_is_unknown(raw: Any) -> None:
    assert _leg(source_participant_is_incoming=raw).source.is_incoming is None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(EIGHT, id="aware"),
        pytest.param(EIGHT.replace(tzinfo=None), id="without-a-zone"),
        pytest.param(EIGHT.astimezone(timezone(timedelta(hours=5, minutes=30))), id="another-zone"),
        pytest.param("2026-03-10 08:00:00", id="text"),
        pytest.param("2026-03-10T08:00:00Z", id="iso"),
        pytest.param("2026-03-10 08:00:00.000000+00", id="as-postgresql-writes-it"),
        pytest.param("2026-03-10 13:30:00.0000000 +05:30", id="as-sql-server-writes-it"),
        pytest.param("2026/03/10 08:00:00.0", id="with-strokes"),
        pytest.param(b"2026-03-10 08:00:00.0000000009", id="more-digits-than-fit"),
    ],
)
def test_a_time_is_the_same_in_every_type(raw: Any) -> None:
    leg = _leg(cdr_started_at=raw)
    assert leg.started_at == EIGHT
    assert leg.started_at.tzinfo is UTC


@pytest.mark.parametrize(
    "raw",
    [
        *(None, "", "infinity", "-infinity", "0000-00-00 00:00:00", "0001-01-01 00:00:00"),
        *(EIGHT.replace(tzinfo=None, year=year) for year in (1900, 9999)),
    ],
)
def test_a_placeholder_is_no_end_yet(raw: Any) -> None:
    assert _leg(cdr_ended_at=raw).ended_at is None


@pytest.mark.parametrize("raw", ["soon", "2026-03-10", date(2026, 3, 10), "2026-13-10 08:00:00", 1773129600, 0.5])
def test_what_is_no_time_is_refused_by_its_column(raw: Any) -> None:
    with pytest.raises(InvalidRow, match=r"cdr_ended_at: holds .* no date and time"):
        _leg(cdr_ended_at=raw)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (7, 7),
        ("0012", 12),
        (Decimal("7.0"), 7),
        (None, None),
        ("", None),
        ("x", None),
        (7.5, None),
        (Decimal("1E+5000"), None),
        (Decimal("NaN"), None),
    ],
)
def test_the_offload_id_is_a_number_in_every_type(raw: Any, number: int | None) -> None:
    assert _leg(offload_id=raw).offload_id == number


@pytest.mark.parametrize(
    ("raw", "text"),
    [(101, "101"), (101.0, "101"), ("0101  ", "0101"), (b"101", "101"), ("", None), (None, None), (1e999, "inf")],
)
def test_a_number_is_text(raw: Any, text: str | None) -> None:
    assert _leg(source_dn_number=raw, source_participant_phone_number=raw).source.number == text


def test_words_of_the_phone_system_are_read_whatever_their_case() -> None:
    leg = _leg(source_entity_type="Extension ", creation_method="BARGE_IN", termination_reason_details="None")
    assert leg.source.is_person
    assert (leg.creation_method, leg.termination_details) == ("barge_in", "none")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            column: st.none() | st.text() | st.binary() | st.integers() | st.floats() | st.datetimes() | st.booleans()
            for column in COLUMNS
        },
    )
)
def test_any_row_is_a_leg_or_is_refused(row: dict[str, Any]) -> None:
    with suppress(InvalidRow):
        assert leg_of(row).id
