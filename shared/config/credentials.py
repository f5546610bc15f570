"""Whether a text that is about to be shown may hold a password: people write a whole connection string where a word
belongs, and a flow mapping of YAML makes a key of one. Pure.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(
    r"""
    :// | \beyJ[\w-]{5} | [:/].*@ | [?&;,]\s*[\w .-]+=
    | (?: pwd | pass (?:w|wd|word|phrase)? | secret | token | key | sig | signature | bearer | basic | credentials? )
      ["']? (?: \s*[=:] | \s+\S )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def may_hold_one(text: str) -> bool:
    """Rather too often than too seldom."""
    return _CREDENTIALS.search(text) is not None
