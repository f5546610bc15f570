"""SELECTs that stand in files: the operator's own, or one that comes with the app."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path

from sqlalchemy import TextClause, text

from cdr.edges.sql.outer_limit import outer_limit
from shared.errors import SourceMisconfigured

_QUOTED = r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[(?:[^]]|]])*\]"
"""Texts and names, as the engines write them; a doubled quote within makes two of them, which is as good."""


def read_select(name: str, root: Path, folder: str, setting: str) -> str:
    """The SELECT of a file: a bare name means one in ``folder``, anything else is a path; both below the app's root.

    :param setting: what the errors name
    :raises SourceMisconfigured: the file cannot be read, or holds anything but one SELECT
    """
    path = root / folder / f"{name}.sql" if re.fullmatch(r"[\w-]+", name) else root / name
    try:
        sql = path.read_text("utf-8-sig")
    except (OSError, ValueError) as exc:
        known = ", ".join(sorted(file.stem for file in (root / folder).glob("*.sql")))
        raise SourceMisconfigured(f"{setting}: {name} cannot be read; known names: {known}") from exc
    without_comments = re.sub(rf"({_QUOTED})|--[^\n]*|/\*.*?\*/", lambda found: found[1] or " ", sql, flags=re.DOTALL)
    bare = without_comments.strip().rstrip(";").strip()
    if not _is_one_select(bare):
        raise SourceMisconfigured(f"{setting}: {name} must be one SELECT and nothing else")
    if limit := outer_limit(bare):
        way_out = "leave it out (within a subquery or an APPLY it is fine)"
        raise SourceMisconfigured(f"{setting}: {name}: nothing is read beyond its {limit}; {way_out}")
    return bare


def _is_one_select(sql: str) -> bool:
    """Whether it stays in the brackets that are put around it: a bracket too many, and what follows it would be a
    statement of its own, for which SQL Server wants no semicolon. INTO, in whatever place, writes a table or a file."""
    code = re.sub(_QUOTED, "''", sql)
    open_brackets = accumulate({"(": 1, ")": -1}.get(character, 0) for character in code)
    return (
        re.match(r"select\b", code, re.IGNORECASE) is not None
        and ";" not in code
        and min(open_brackets) >= 0
        and re.search(r"(?<![a-z_])into(?![a-z_0-9])", sql, re.IGNORECASE) is None
    )


def as_text(sql: str) -> TextClause:
    """For SQLAlchemy: a colon in the operator's SELECT is no parameter of ours."""
    return text(re.sub(r"(?<!:):(?=\w)", r"\:", sql))
