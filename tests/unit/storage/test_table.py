"""How text fits into a table: keys of any name, and long values in pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdr.edges.storage.table import PIECE, escape_key, from_pieces, in_pieces, unescape_key

FORBIDDEN = re.compile(r"[/\\#?%\x00-\x1f\x7f-\x9f]")
"""By the service; and the percent sign, which breaks URLs."""

LONGEST_KEY = 512
"""1 KiB of UTF-16."""

NAMES = st.text(max_size=60) | st.text("/\\#?%!\x00\x1f\x7f\x9fa0", max_size=60)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a/b\\c#d?e 100%", "a!2fb!5cc!23d!3fe 100!25"),
        ("a\tb\n\x7f\x80\x9f\xa0", "a!09b!0a!7f!80!9f\xa0"),
        pytest.param("!2f", "!212f", id="what-looks-escaped"),
        pytest.param("0000017F-7 Grüße \U0001f600", "0000017F-7 Grüße \U0001f600", id="other-characters-stay"),
    ],
)
def test_what_a_key_may_not_hold_is_escaped(name: str, key: str) -> None:
    assert escape_key(name) == key


@given(NAMES, NAMES)
@example("!", "!!2f!")
def test_every_name_has_a_key_of_its_own_that_leads_back_to_it(name: str, other: str) -> None:
    key = escape_key(name)
    assert not FORBIDDEN.search(key)
    assert unescape_key(key) == name
    assert (key == escape_key(other)) is (name == other)


@pytest.mark.parametrize("character", ["a", "/", "\x00", "!", "\U0001f600"])
@pytest.mark.parametrize("length", [100, 170, 171, 256, 257, 512, 513, 2_000])
def test_a_name_of_any_length_fits_into_a_key_of_its_own_and_what_is_shown_of_it_leads_there(
    character: str, length: int
) -> None:
    key = escape_key(character * length)
    assert len(key.encode("utf-16-le")) // 2 <= LONGEST_KEY
    assert key != escape_key(character * (length + 1))
    assert key.startswith(escape_key(character))
    assert escape_key(unescape_key(key)) == key


@given(st.integers(0, 2 * PIECE))
@example(PIECE)
@example(PIECE + 1)
@example(2 * PIECE)
def test_a_text_in_pieces_comes_back_whole_and_a_shorter_one_leaves_nothing_of_it(length: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    entity = in_pieces("row", text, 2)
    assert list(entity) == ["row_0", "row_1"]
    assert all(len(piece) <= PIECE for piece in entity.values())
    assert from_pieces("row", entity, 2) == text
    assert from_pieces("row", entity | in_pieces("row", "short", 2), 2) == "short"


def test_a_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="60001 characters, 60000 fit"):
        in_pieces("row", "x" * (2 * PIECE + 1), 2)


def test_an_entity_without_pieces_holds_nothing() -> None:
    assert from_pieces("row", {"row_0": None, "other_1": "x"}, 2) == ""
