"""What a counter of the ledger holds is text, in which only numbers count."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.storage.ledger_tally import as_text, counts_in


@given(st.dictionaries(st.text(), st.integers()))
def test_what_was_counted_is_read_again(counts: dict[str, int]) -> None:
    assert counts_in(as_text(Counter(counts))) == Counter(counts)


@pytest.mark.parametrize(
    "text", [None, "", 5, "{", "5", "[1]", '{"a": "x"}', '{"a": null}', '{"a": 1e999}', "[" * 10**5]
)
def test_a_counter_that_somebody_damaged_counts_for_nothing(text: object) -> None:
    assert counts_in(text) == Counter()
