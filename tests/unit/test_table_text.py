"""How text fits into a table: keys of any name, and long values in pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdr.edges.storage.table import PIECE, escape_key, from_pieces, in_pieces, unescape_key

FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
LONGEST_KEY = 1_024
LONGEST_NAME = 200
"""More than a call's key of 100 characters with the id of a row behind it."""

NAMES = st.text(max_size=60) | st.text("/\\#?%!\x00\x1f\x7f\x9fa0", max_size=60)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("0000017F-7-7", "0000017F-7-7"),
        ("a/b\\c#d?e", "a!2fb!5cc!23d!3fe"),
        pytest.param("100%", "100!25", id="a-percent-sign-breaks-urls"),
        pytest.param("a\tb\n", "a!09b!0a", id="control-characters"),
        pytest.param("\x7f\x80\x9f\xa0", "!7f!80!9f\xa0", id="control-characters-above-ascii"),
        pytest.param("!2f", "!212f", id="what-looks-escaped"),
        pytest.param("Grüße \U0001f600", "Grüße \U0001f600", id="other-characters-stay"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_what_a_key_may_not_hold_is_escaped(name: str, key: str) -> None:
    assert escape_key(name) == key
    assert unescape_key(key) == name


@given(NAMES)
@example("!")
@example("!!2f!")
def test_escaping_can_be_undone(name: str) -> None:
    assert unescape_key(escape_key(name)) == name


@given(NAMES, NAMES)
def test_different_names_have_different_keys(one: str, other: str) -> None:
    assert (escape_key(one) == escape_key(other)) is (one == other)


@given(NAMES)
def test_a_key_holds_nothing_that_is_forbidden(name: str) -> None:
    assert not FORBIDDEN.search(escape_key(name))


@pytest.mark.parametrize("character", ["/", "\x00", "!", "\U0001f600", "é"])
def test_the_longest_name_fits_into_a_key(character: str) -> None:
    key = escape_key(character * LONGEST_NAME)
    assert len(key.encode("utf-16-le")) // 2 <= LONGEST_KEY


@given(st.text(max_size=200), st.integers(1, 4))
def test_a_text_in_pieces_comes_back_whole(text: str, pieces: int) -> None:
    entity = in_pieces("row", text, pieces)
    assert list(entity) == [f"row_{i}" for i in range(pieces)]
    assert from_pieces("row", entity, pieces) == text


@pytest.mark.parametrize("length", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_no_piece_is_longer_than_a_property_may_be(length: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    entity = in_pieces("row", text, 2)
    assert all(len(piece) <= PIECE for piece in entity.values())
    assert from_pieces("row", entity, 2) == text


def test_a_shorter_text_leaves_nothing_of_a_longer_one_behind() -> None:
    entity = in_pieces("row", "x" * 2 * PIECE, 2) | in_pieces("row", "short", 2)
    assert from_pieces("row", entity, 2) == "short"


def test_a_text_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="60001 characters, 60000 fit"):
        in_pieces("row", "x" * (2 * PIECE + 1), 2)


def test_an_entity_without_pieces_holds_nothing() -> None:
    assert from_pieces("row", {"row_0": None, "other_1": "x"}, 2) == ""
