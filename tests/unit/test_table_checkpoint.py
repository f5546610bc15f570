"""The checkpoint as text: nothing is lost, and as much fits as a phone system can ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.positions import PIECES, TableCheckpointStore, decode_checkpoint, encode_checkpoint
from cdr.edges.storage.table import PIECE
from cdr.intake.id_order import Checkpoint, Gap
from shared.errors import CheckpointFull

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ROOM = PIECES * PIECE
HIGHEST_ID = 2**63 - 1

MOMENTS = st.datetimes(
    datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("2999-12-31"), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
IDS = st.integers(-(2**63), HIGHEST_ID)
GAPS = st.lists(st.builds(Gap, IDS, IDS, MOMENTS), max_size=10).map(tuple)
CHECKPOINTS = st.builds(Checkpoint, st.none() | IDS, st.dictionaries(IDS, MOMENTS, max_size=10), GAPS)


@pytest.mark.parametrize(
    "checkpoint",
    [
        pytest.param(Checkpoint(), id="before-the-very-first-poll"),
        pytest.param(Checkpoint(0), id="an-empty-table"),
        pytest.param(Checkpoint(7, {5: NOON, 3: NOON + timedelta(seconds=1)}), id="open-rows"),
        pytest.param(Checkpoint(9, {}, (Gap(1, 1, NOON), Gap(3, 8, NOON + timedelta(days=1)))), id="gaps"),
        pytest.param(Checkpoint(HIGHEST_ID, {-7: NOON, HIGHEST_ID: NOON}, (Gap(-3, 0, NOON),)), id="negative-ids"),
    ],
)
def test_a_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


@given(CHECKPOINTS)
def test_any_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


def test_times_are_kept_to_the_millisecond_and_never_become_later() -> None:
    checkpoint = Checkpoint(7, {7: NOON + timedelta(microseconds=1999)})
    assert decode_checkpoint(encode_checkpoint(checkpoint)).open_rows == {7: NOON + timedelta(milliseconds=1)}


def _worst(open_rows: int, gaps: int) -> Checkpoint:
    """Ids of 19 digits, as far apart as they can be, each row and gap with a moment of its own."""
    step = HIGHEST_ID // (open_rows + 1)
    moments = (NOON + timedelta(milliseconds=i) for i in range(open_rows + gaps))
    opened = {i * step: next(moments) for i in range(1, open_rows + 1)}
    gap_step = HIGHEST_ID // (gaps + 1)
    missed = tuple(Gap(i * gap_step + 1, (i + 1) * gap_step - 1, next(moments)) for i in range(1, gaps + 1))
    return Checkpoint(HIGHEST_ID, opened, missed)


def test_five_thousand_open_rows_and_a_thousand_gaps_fit() -> None:
    checkpoint = _worst(5_000, 1_000)
    text = encode_checkpoint(checkpoint)
    assert len(text) <= ROOM
    assert decode_checkpoint(text) == checkpoint


def test_all_pieces_together_stay_below_what_an_entity_may_have() -> None:
    rest_of_the_entity = 64 * 1024
    assert ROOM * 2 + rest_of_the_entity < 1024 * 1024


def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_queued() -> None:
    store = TableCheckpointStore(StorageAccount({}), "CdrState")
    store.check_size(_worst(5_000, 1_000))
    with pytest.raises(CheckpointFull, match="20000 rows without an end and 0 gaps between ids make"):
        store.check_size(_worst(20_000, 0))
