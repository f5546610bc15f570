"""Texts as a queue may bring them: garbage, and what is nearly a message."""

from __future__ import annotations

import json

from hypothesis import strategies as st

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"id": st.integers() | JSON_VALUES},
    optional=dict.fromkeys(("call_id", "started_at", "ended_at", "extension", "answered", "duration_s"), JSON_VALUES),
)
ONE = st.fixed_dictionaries(
    {"version": st.just(1) | JSON_VALUES, "row": ROWS | JSON_VALUES},
    optional={"cut": JSON_VALUES, "travels": JSON_VALUES},
)
SEVERAL = st.fixed_dictionaries(
    {"version": st.just(2), "records": st.lists(st.fixed_dictionaries({"row": ROWS}), max_size=3) | JSON_VALUES}
)
TEXTS = st.text(st.characters(codec=None)) | (JSON_VALUES | ONE | SEVERAL).map(json.dumps)
