"""SELECTs in files: what comes out of the file is one SELECT that can stand in brackets, and says what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS
from cdr.edges.sql.row_table import read_schema
from cdr.edges.sql.selects import as_text, read_select
from shared.errors import SourceMisconfigured

PROJECT = Path(__file__).parents[2]


def _read(tmp_path: Path, text: str) -> str:
    (tmp_path / "own.sql").write_text(text, encoding="utf-8")
    return read_select("own", tmp_path, ".", "some.setting")


@pytest.mark.parametrize(
    ("text", "select"),
    [
        ("SELECT 1", "SELECT 1"),
        pytest.param("\ufeffselect 1", "select 1", id="byte-order-mark"),
        pytest.param("\n SELECT 1 ;\n", "SELECT 1", id="a-semicolon-at-the-end"),
        pytest.param("SELECT 1 -- one", "SELECT 1", id="a-comment-at-the-end-would-swallow-the-bracket"),
        pytest.param("/* a;\nb */ SELECT 1; -- c", "SELECT 1", id="comments-with-semicolons"),
        pytest.param("SELECT/**/1", "SELECT 1", id="a-comment-between-words"),
        pytest.param("SELECT 'it''s' AS a", "SELECT 'it''s' AS a", id="a-doubled-quote"),
        pytest.param(
            "SELECT '--', '/*', '*/', ';'", "SELECT '--', '/*', '*/', ';'", id="text-that-looks-like-comments"
        ),
        pytest.param(
            'SELECT "a--b", [c--d], `e/*f`', 'SELECT "a--b", [c--d], `e/*f`', id="names-that-look-like-comments"
        ),
    ],
)
def test_comments_go_and_the_rest_stays(tmp_path: Path, text: str, select: str) -> None:
    assert _read(tmp_path, text) == select


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- SELECT 1",
        "SELECTED",
        "DELETE FROM CallLog",
        "SELECT 1; SELECT 2",
        "WITH a AS (SELECT 1) SELECT * FROM a",
    ],
)
def test_anything_but_one_select_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceMisconfigured, match=r"^some\.setting: own must be one SELECT and nothing else$"):
        _read(tmp_path, text)


@pytest.mark.parametrize("name", ["onw", "config/onw.sql", ".", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_read_is_named_with_those_that_can(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.sql").touch()
    with pytest.raises(SourceMisconfigured) as caught:
        read_select(name, tmp_path, ".", "some.setting")
    assert str(caught.value) == f"some.setting: {name} cannot be read; known names: own"


def test_a_name_with_a_dot_or_slash_is_a_path_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "select.sql").write_text("SELECT 2")
    assert read_select("mine/select.sql", tmp_path, "elsewhere", "some.setting") == "SELECT 2"


def test_a_colon_in_a_select_is_no_parameter() -> None:
    statement = as_text("SELECT '10:01' AS a, b::text, :c")
    assert statement.compile().params == {}
    assert str(statement) == "SELECT '10:01' AS a, b::text, :c"


@pytest.mark.parametrize("file", sorted((PROJECT / "config" / "schemas").glob("*.sql")), ids=lambda file: file.stem)
def test_a_schema_that_comes_with_the_app_yields_every_column(file: Path) -> None:
    select = read_schema(file.stem, PROJECT).lower()
    needed = set(COLUMNS) - OPTIONAL_COLUMNS
    assert {column for column in needed if f" as {column}" not in select} == set()
