"""SELECTs in files: what comes out of the file is one SELECT that can stand in brackets, and says what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS
from cdr.edges.sql.row_table import read_schema
from cdr.edges.sql.selects import as_text, read_select
from shared.errors import SourceMisconfigured

PROJECT = Path(__file__).parents[3]
OUT = "AS cdr"
"""How the derived table is called, so that what follows it would be well-formed."""


def _read(tmp_path: Path, text: str, engine: str = "") -> str:
    (tmp_path / "own.sql").write_text(text, encoding="utf-8")
    return read_select("own", tmp_path, ".", "some.setting", engine)


@pytest.mark.parametrize(
    ("text", "select"),
    [
        pytest.param("\ufeffselect 1", "select 1", id="byte-order-mark"),
        pytest.param("\n SELECT 1\n ;\n-- and an end", "SELECT 1", id="a-semicolon-at-the-end"),
        pytest.param("SELECT 1 -- )", "SELECT 1", id="a-comment-at-the-end-would-swallow-the-bracket"),
        pytest.param("/* a;\nb */ SELECT 1; -- c", "SELECT 1", id="comments-with-semicolons"),
        pytest.param("SELECT/**/1", "SELECT 1", id="a-comment-between-words"),
        pytest.param(";SELECT 1;;\n", "SELECT 1", id="semicolons-around"),
    ],
)
def test_comments_go_and_the_rest_stays(tmp_path: Path, text: str, select: str) -> None:
    assert _read(tmp_path, text) == select


def test_a_number_sign_begins_a_comment_in_mysql_alone(tmp_path: Path) -> None:
    assert _read(tmp_path, "SELECT '#1' AS a# don't; (\nFROM c # b", "mysql") == "SELECT '#1' AS a \nFROM c"
    for engine in ("sqlserver", "postgresql", "sqlite"):
        assert _read(tmp_path, "SELECT a # b FROM ##calls", engine) == "SELECT a # b FROM ##calls"


def test_texts_in_dollar_signs_are_texts_of_postgresql_alone(tmp_path: Path) -> None:
    select = "SELECT $$it's -- ; ($$ AS a, $x$ LIMIT 5 $$ $x$ AS b, $1 FROM a$$b"
    assert _read(tmp_path, select, "postgresql") == select
    assert _read(tmp_path, f"{select} -- 'c", "postgresql") == f"{select} "[:-1]
    for engine, text in (("postgresql", "SELECT $$'$$; DELETE FROM a --'"), ("mysql", "SELECT $$a;$$ AS id")):
        with pytest.raises(SourceMisconfigured, match="two statements"):
            _read(tmp_path, text, engine)


@pytest.mark.parametrize(
    "select",
    [
        "SELECT 'it''s' AS a",
        "SELECT '--', '/*', '*/', '; ) ('",
        'SELECT "a--b", [c--d], `e/*f`, 1 AS ")", 2 AS [)], 3 AS `)`',
        "SELECT Id AS id FROM (SELECT Id FROM CallLog) AS c WHERE (Id > 1)",
        "SELECT pointo, intohouse FROM CallLog",
        "SELECT 'put into the queue' AS a, [into] AS b, \"into\" AS c",
    ],
)
def test_what_only_looks_like_a_comment_or_more_than_a_select_is_left_alone(tmp_path: Path, select: str) -> None:
    assert _read(tmp_path, select) == select


REFUSED = {
    "nothing": "",
    "only a comment": "-- SELECT 1",
    "another word": "SELECTED",
    "two statements": "SELECT 1 AS id; DELETE FROM CallLog",
    "a write": "DELETE FROM CallLog",
    "a call": "CALL add_row()",
    "a procedure": "EXEC sp_who",
    "an assignment": "SET GLOBAL read_only = 0",
    "a bracket too many": f"SELECT 1 AS id) {OUT}; DROP TABLE CallLog; --",
    "a bracket too many and no semicolon, as SQL Server takes it": (
        f"SELECT 1 AS id) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id"
    ),
    "brackets hidden in a text": f"SELECT '(' AS id) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT ')' AS id",
    "brackets hidden in a name": f"SELECT 1 AS [a]](]) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
    "a name that looks like the start of a text": (
        f"SELECT 1 AS [a']) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS [b']"
    ),
    "a bracket hidden in a comment": f"SELECT 1 AS id /* ( */) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
    "comments within comments": f"/* /* */ SELECT 1 AS id) {OUT} DELETE FROM CallLog /* */ SELECT * FROM (SELECT 1",
    "a comment that MySQL carries out": "/*! DELETE FROM CallLog */",
    "into a table": "SELECT 1 AS id INTO stolen",
    "into a file": "SELECT 1 AS id INTO OUTFILE '/tmp/stolen'",
    "into a file, hidden by a backslash": f"SELECT '\\'' AS id) {OUT} INTO OUTFILE '/tmp/stolen' #'",
    "into, in a comment that MySQL carries out": "SELECT '/*' AS id, '\\'' /*!50000INTO*/ OUTFILE '/tmp/x' #'",
    "rows by lot": "SELECT Id AS id FROM (SELECT * FROM CallLog TABLESAMPLE (10 PERCENT)) some",
    "WITH": "WITH a AS (SELECT 1) SELECT * FROM a",
    "a write within WITH": "WITH gone AS (DELETE FROM CallLog RETURNING Id) SELECT Id AS id FROM gone",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_anything_but_one_select_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceMisconfigured, match=r"^some\.setting: own must be one SELECT and nothing else: [^\n]+$"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("select", "word"),
    [
        ("SELECT Id AS id FROM CallLog LIMIT 1000", "LIMIT"),
        ("select Id as id from CallLog\nlimit\t10 , 5", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT (SELECT 5)", "LIMIT"),
        ("SELECT TOP 100 Id AS id FROM CallLog", "TOP"),
        ("SELECT TOP(100) PERCENT Id AS id FROM CallLog", "TOP"),
        ("SELECT DISTINCT TOP 5 Id AS id FROM CallLog", "TOP"),
        ("SELECT Id AS id FROM a UNION ALL SELECT TOP 5 Id FROM b", "TOP"),
        ("SELECT Id AS id FROM CallLog ORDER BY Id OFFSET 0 ROWS FETCH NEXT 5 ROWS ONLY", "OFFSET"),
        ("SELECT Id AS id FROM CallLog FETCH FIRST 5 ROWS ONLY", "FETCH"),
        ("SELECT Id AS id FROM CallLog OFFSET 5", "OFFSET"),
        ("SELECT (SELECT 1 LIMIT 1) AS id FROM CallLog WHERE a = ')' LIMIT 5", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT(100)", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT +5", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT CAST(5 AS int)", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT '5'::int", "LIMIT"),
        ("SELECT Id AS id FROM CallLog WHERE a IS NULL LIMIT E'5'", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT CASE WHEN true THEN 5 END", "LIMIT"),
        ("SELECT Id AS id FROM CallLog LIMIT ROWS EXAMINED 100", "LIMIT"),
        ("SELECT E'\\'' AS call_id FROM CallLog LIMIT 5 -- '", "LIMIT"),
        ("SELECT Id AS id FROM a UNION ALL (SELECT Id FROM b LIMIT 5)", "LIMIT"),
        ("SELECT ALL TOP(5) Id AS id FROM CallLog", "TOP"),
        ("SELECT Id AS id FROM CallLog OFFSET(5)", "OFFSET"),
        ("SELECT Id AS id FROM CallLog FETCH NEXT ROW ONLY", "FETCH"),
        ("SELECT Id AS id FROM CallLog WHERE (ROWNUM <= 5)", "ROWNUM"),
        ("SELECT Id AS id FROM CallLog WHERE a = 1 AND 5 > rownum()", "ROWNUM"),
        ("SELECT Id AS id FROM CallLog WHERE ROWNUM() BETWEEN 1 AND 5", "ROWNUM"),
    ],
)
def test_a_limit_on_all_rows_is_refused_with_the_way_out(tmp_path: Path, select: str, word: str) -> None:
    way_out = r"leave it out \(within a subquery or an APPLY it is fine\)"
    with pytest.raises(SourceMisconfigured, match=rf"own: nothing is read beyond its {word}; {way_out}$"):
        _read(tmp_path, select)


@pytest.mark.parametrize(
    "select",
    [
        "SELECT Id AS id, x.Name AS extension FROM CallLog OUTER APPLY (SELECT TOP 1 Name FROM b WHERE b.Id = a) AS x",
        "SELECT Id AS id, (SELECT Name FROM b ORDER BY n LIMIT 1) AS extension FROM CallLog",
        "SELECT Id AS id FROM (SELECT Id FROM CallLog ORDER BY Id DESC LIMIT 5) AS newest",
        "SELECT limit AS id, c.limit, top AS call_id, [top 1], 'limit 5', offset FROM CallLog AS c",
        "SELECT Id AS id FROM CallLog LIMIT ALL",
        "SELECT Id AS id FROM CallLog LIMIT NULL",
        "SELECT Id AS id FROM CallLog WHERE limit IN (1, 2) AND limit (3) = 4 OR offset + 1 > 2 * limit - 5",
        "SELECT Id AS id FROM a limit JOIN (SELECT 1 AS b) AS offset ON limit.b = offset.b",
        "SELECT Id AS id, GROUP_CONCAT(a ORDER BY a LIMIT 1) AS call_id FROM CallLog GROUP BY Id",
        "SELECT Id AS id FROM (SELECT Id FROM a UNION ALL (SELECT Id FROM b LIMIT 5)) AS c",
        "SELECT Id AS id FROM (SELECT Id, ROW_NUMBER() OVER (ORDER BY a) AS rownum FROM a) AS c WHERE rownum = 1",
        "SELECT stop1, off_limit 5 FROM CallLog",
    ],
)
def test_a_limit_within_brackets_and_what_only_looks_like_one_is_taken(tmp_path: Path, select: str) -> None:
    assert _read(tmp_path, select) == select


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("", "there is no statement in it"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "write its parts as subqueries in FROM, or make a view of it"),
        (";WITH a AS (SELECT 1) SELECT * FROM a", "it begins with WITH: write its parts as subqueries in FROM"),
        ("(SELECT 1 AS id)", "take the outermost brackets away"),
        ("DECLARE @from int = 1; SELECT @from AS id", "write the values into the SELECT"),
        ("EXECUTE calls", "SELECT from the tables behind it"),
        ("SET NOCOUNT ON; SELECT 1 AS id", "leave that to the login's own settings"),
        ("GO\nSELECT 1 AS id", "take that line away"),
        ("UPDATE CallLog SET Id = 1", "it begins with UPDATE and not with SELECT"),
        ("SELECT 1 AS id; SELECT 2 AS id", "there are two statements in it: take one of them away"),
        ("SELECT (1 AS id", "it opens a bracket that it does not close"),
        ("SELECT 1) AS id", "it closes a bracket that it has not opened"),
        ("SELECT 1 AS id INTO a", "it has the word INTO"),
    ],
)
def test_a_refusal_says_what_was_found_and_the_way_out(tmp_path: Path, text: str, way_out: str) -> None:
    with pytest.raises(SourceMisconfigured) as caught:
        _read(tmp_path, text)
    assert way_out in str(caught.value)


@pytest.mark.parametrize("name", ["onw", "config/onw.sql", "../../../../etc/passwd", ".", "a\0b", "x" * 5000, "latin"])
def test_a_file_that_cannot_be_read_is_named_with_those_that_can_and_nothing_of_it_shown(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "own.sql").touch()
    (tmp_path / "config" / "latin.sql").write_bytes(b"SELECT '\xff' AS id")
    with pytest.raises(SourceMisconfigured) as caught:
        read_select(name, tmp_path, "config", "some.setting")
    assert str(caught.value) in (
        f"some.setting: {name} cannot be read; known names: latin, own",
        f"some.setting: {name} must be one SELECT and nothing else: it begins with something else and not with SELECT",
    )


def test_a_name_with_a_dot_or_slash_is_a_path_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "mine.sql").write_text("SELECT 2")
    assert read_select("mine.sql", tmp_path, "elsewhere", "some.setting") == "SELECT 2"
    assert read_select(str(tmp_path / "mine.sql"), Path("/elsewhere"), "elsewhere", "some.setting") == "SELECT 2"


def test_a_colon_in_a_select_is_no_parameter() -> None:
    statement = as_text("SELECT '10:01' AS a, b::text, :c")
    assert statement.compile().params == {}
    assert str(statement) == "SELECT '10:01' AS a, b::text, :c"


@pytest.mark.parametrize("file", sorted((PROJECT / "config" / "schemas").glob("*.sql")), ids=lambda file: file.stem)
def test_a_schema_that_comes_with_the_app_yields_every_column(file: Path) -> None:
    select = read_schema(file.stem, PROJECT).lower()
    assert {column for column in set(COLUMNS) - OPTIONAL_COLUMNS if f" as {column}" not in select} == set()
