"""SELECTs that stand in files: the operator's own, or one that comes with the app."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from sqlalchemy import TextClause, text

from cdr.edges.sql.outer_limit import outer_limit
from shared.config.select_files import known_selects, select_file
from shared.errors import SourceMisconfigured

_QUOTED = r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[(?:[^]]|]])*\]"
"""Texts and names, as the engines write them; a doubled quote within makes two of them, which is as good."""

_QUOTED_WITH_BACKSLASHES = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\[(?:[^]]|]])*\]"
"""The same where a backslash takes its meaning from a quote, as in MySQL."""

_IN_DOLLARS = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$[\s\S]*?\$(?P=tag)\$"
"""One more way to write a text, of PostgreSQL alone."""


def read_select(name: str, root: Path, folder: str, setting: str, engine: str = "") -> str:
    """The SELECT of a file: a bare name means one in ``folder``, anything else is a path; both below the app's root.

    :param setting: what the errors name
    :param engine: whose SELECT it is; of mysql alone # begins a comment
    :raises SourceMisconfigured: the file cannot be read, or holds anything but one SELECT
    """
    try:
        sql = select_file(name, root, folder).read_text("utf-8-sig")
    except (OSError, ValueError) as exc:
        known = known_selects(root, folder)
        raise SourceMisconfigured(f"{setting}: {name} cannot be read; known names: {known}") from exc
    to_line_end = "(?:--|#)" if engine == "mysql" else "--"
    comment = rf"{to_line_end}[^\n]*|/\*.*?\*/"
    quoted = f"{_in_dollars(engine)}{_QUOTED}"
    without_comments = re.sub(rf"({quoted})|{comment}", lambda found: found[1] or " ", sql, flags=re.DOTALL)
    bare = re.sub(r"^[\s;]+|[\s;]+$", "", without_comments)
    readings = _readings(bare, engine)
    if fault := _fault(readings):
        raise SourceMisconfigured(f"{setting}: {name} must be one SELECT and nothing else: {fault}")
    if limit := next(filter(None, map(outer_limit, readings)), None):
        way_out = "leave it out (within a subquery or an APPLY it is fine)"
        raise SourceMisconfigured(f"{setting}: {name}: nothing is read beyond its {limit}; {way_out}")
    return bare


_STATEMENTS = frozenset({"insert", "update", "delete", "merge", "create", "alter", "drop", "truncate", "begin", "show"})

_WAYS_OUT: Mapping[str, str] = {
    "": "there is no statement in it",
    "with": "it begins with WITH: write its parts as subqueries in FROM, or make a view of it and SELECT from that",
    "(": "it begins with a bracket: take the outermost brackets away",
    "declare": "it begins with DECLARE: write the values into the SELECT, or make a function or a view of it",
    "exec": "it calls a procedure: SELECT from the tables behind it, or from a view",
    "call": "it calls a procedure: SELECT from the tables behind it, or from a view",
    "set": "it begins with SET: leave that to the login's own settings on the server",
    "go": "it begins with GO, which only separates statements for some tools: take that line away",
    "use": "it begins with USE: put the database's name before the tables' instead",
}


_FORBIDDEN: Mapping[str, str] = {
    "(?<![a-z_])into(?![a-z_0-9])": "it has the word INTO, which writes a table or a file: take that part away",
    r"\btablesample\s*(\(|system\b|bernoulli\b)": "it has TABLESAMPLE, which leaves out rows by lot: take it away",
}


def _fault(readings: Sequence[str]) -> str | None:
    """What keeps it from standing in the brackets that are put around it, and the way out.

    A bracket too many, and what follows it would be a statement of its own, for which SQL Server wants no semicolon.
    INTO writes a table or a file.
    """
    code = readings[0]
    first = re.match(r"[a-z_]+|.?", code, re.IGNORECASE | re.DOTALL)
    word = first[0].lower() if first else ""
    if word != "select":
        # Of the file nothing is shown: its path may have led anywhere.
        known = word.upper() if word in _STATEMENTS else "something else"
        return _WAYS_OUT.get(word.removesuffix("ute"), f"it begins with {known} and not with SELECT")
    if ";" in code:
        return "it has a semicolon, so there are two statements in it: take one of them away"
    depths = list(accumulate({"(": 1, ")": -1}.get(character, 0) for character in code))
    if min(depths) < 0:
        return "it closes a bracket that it has not opened"
    if depths[-1] > 0:
        return "it opens a bracket that it does not close"
    code_either_way = "\n".join(readings)
    return next((why for word, why in _FORBIDDEN.items() if re.search(word, code_either_way, re.IGNORECASE)), None)


def _readings(sql: str, engine: str) -> tuple[str, str]:
    """What stands outside of quotes, in the two ways in which engines read a backslash in a text."""
    dollars = _in_dollars(engine)
    return re.sub(dollars + _QUOTED, "''", sql), re.sub(dollars + _QUOTED_WITH_BACKSLASHES, "''", sql)


def _in_dollars(engine: str) -> str:
    return f"{_IN_DOLLARS}|" if engine == "postgresql" else ""


def as_text(sql: str) -> TextClause:
    """For SQLAlchemy: a colon in the operator's SELECT is no parameter of ours."""
    return text(re.sub(r"(?<!:):(?=\w)", r"\:", sql))
