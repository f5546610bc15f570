"""SELECTs that stand in files: the operator's own, or one that comes with the app."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import TextClause, text

from shared.errors import SourceMisconfigured


def read_select(name: str, root: Path, folder: str, setting: str) -> str:
    """The SELECT of a file: a bare name means one in ``folder``, anything else is a path; both below the app's root.

    :param setting: what the errors name
    :raises SourceMisconfigured: the file cannot be read, or holds anything but one SELECT
    """
    path = root / folder / f"{name}.sql" if re.fullmatch(r"[\w-]+", name) else root / name
    try:
        sql = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        known = ", ".join(sorted(file.stem for file in (root / folder).glob("*.sql")))
        raise SourceMisconfigured(f"{setting}: {name} cannot be read; known names: {known}") from exc
    without_comments = re.sub(r"('[^']*')|--[^\n]*|/\*.*?\*/", r"\1 ", sql, flags=re.DOTALL)
    bare = without_comments.strip().rstrip(";").strip()
    if not re.match(r"select\b", bare, re.IGNORECASE) or ";" in re.sub(r"'[^']*'", "''", bare):
        raise SourceMisconfigured(f"{setting}: {name} must be one SELECT and nothing else")
    return bare


def as_text(sql: str) -> TextClause:
    """For SQLAlchemy: a colon in the operator's SELECT is no parameter of ours."""
    return text(re.sub(r"(?<!:):(?=\w)", r"\:", sql))
