"""Whether a SELECT is limited as a whole: then nothing beyond its first rows would ever be read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_QUOTED = r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[(?:[^]]|]])*\]"
_LIMITS = re.compile(
    r"(?<![\w.@#$])(?:"
    r"select\s+(?:distinct\s+|all\s+)?(top)\s*[(\d@:]"
    r"|(limit)\s+(?!all\b)[\d(:@?]"
    r"|(fetch)\s+(?:first|next)\b"
    r"|(offset)\s+[\d(:@?]"
    r"|(rownum)\s*[<=]"
    r")",
    re.IGNORECASE,
)


def outer_limit(sql: str) -> str | None:
    """The word by which a SELECT without comments limits its own rows. Within brackets (a subquery, an APPLY) a limit
    is one row's own business."""
    found = _LIMITS.search("".join(_outside_brackets(re.sub(_QUOTED, "''", sql))))
    return next(word.upper() for word in found.groups() if word) if found else None


def _outside_brackets(code: str) -> Iterator[str]:
    """With a pair of brackets in place of each."""
    depth = 0
    for character in code:
        if character == ")":
            depth -= 1
        if depth == 0:
            yield character
        if character == "(":
            depth += 1
