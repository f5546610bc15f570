"""Whatever a database driver may yield, as strategies."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from cdr.calls.call import COLUMNS, CallRecord

OTHER_COLUMNS = [column for column in COLUMNS if column != "id"]
ANY_CHARACTER = st.characters(codec=None)
WELL_FORMED = st.characters(exclude_categories=["Cs"])
"""Without halves of surrogate pairs, which no encoding can write."""


def values(characters: st.SearchStrategy[str] = ANY_CHARACTER) -> st.SearchStrategy[object]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.text(characters, max_size=20),
        st.sampled_from(["\U0001f600", "\x00", '"', "\u00e9"]).map(lambda character: character * 10_000),
        st.binary(max_size=20).flatmap(lambda raw: st.sampled_from([raw, bytearray(raw), memoryview(raw)])),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
    )


def raw_rows(characters: st.SearchStrategy[str] = ANY_CHARACTER) -> st.SearchStrategy[dict[str, object]]:
    ids = st.integers(-(2**63), 2**63 - 1) | st.text(characters, min_size=1, max_size=255)
    others = st.dictionaries(st.sampled_from(OTHER_COLUMNS), values(characters))
    return st.builds(lambda row_id, row: {"id": row_id, **row}, ids, others)


RECORDS = raw_rows(WELL_FORMED).map(CallRecord.from_row)
MERGED = st.builds(
    lambda record, parts: replace(record, replaces=tuple(parts)), RECORDS, st.lists(RECORDS, min_size=1, max_size=3)
)
