"""Whether a SELECT is limited as a whole: then nothing beyond its first rows would ever be read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_AROUND_NAMES = re.compile(
    "select|distinct|all|from|join|on|where|and|or|not|in|is|like|between|by|as|when|then|else|having|using|union|"
    "except|intersect|group|order|cross|left|right|inner|outer"
)
"""Words beside which LIMIT and the like are a column's or a table's name, as SQL Server lets them be."""

_OF_SETS = frozenset({"union", "except", "intersect"})


@dataclass(frozen=True, slots=True)
class _Token:
    """``depth`` counts the brackets around it that hold one row's own business: a subquery, a function's arguments."""

    word: str
    depth: int
    is_in_subquery: bool


def outer_limit(code: str) -> str | None:
    """The word by which a SELECT limits its own rows. Within brackets (a subquery, an APPLY) a limit is one row's own
    business.

    :param code: the SELECT without comments, and with nothing in its quotes
    """
    tokens = list(_tokens(re.findall(r"[\w.@#$]+|''|\S", code.lower())))
    outer = ["", *(token.word for token in tokens if token.depth == 0), "", ""]
    for before, word, after, then in zip(outer, outer[1:], outer[2:], outer[3:], strict=False):
        if _limits(before, word, after, then):
            return word.upper()
    return "ROWNUM" if _counts_rows(tokens) else None


def _tokens(words: Sequence[str]) -> Iterator[_Token]:
    """With the brackets themselves; what a bracket holds that stands for itself in a UNION is as good as without."""
    inside: list[tuple[bool, bool]] = []
    for place, word in enumerate(words):
        if word == ")" and inside:
            inside.pop()
        yield _Token(word, sum(hides for hides, _ in inside), any(is_query for _, is_query in inside))
        if word == "(":
            before = words[max(place - 2, 0) : place]
            is_of_set = bool(_OF_SETS.intersection(before[-1:])) or (
                before[-1:] in (["all"], ["distinct"]) and bool(_OF_SETS.intersection(before))
            )
            is_query = words[place + 1 : place + 2] == ["select"]
            inside.append((not (is_query and is_of_set), is_query and not is_of_set))


def _limits(before: str, word: str, after: str, then: str) -> bool:
    match word:
        case "top":
            return before in {"select", "distinct", "all"} and re.match(r"[\d(@:]", after) is not None
        case "fetch":
            return after in {"first", "next"}
        case "limit" | "offset":
            return _ends_a_value(before) and _begins_a_value(after, then)
    return False


def _ends_a_value(word: str) -> bool:
    return re.match(r"[\w.@#$)']", word) is not None and not _AROUND_NAMES.fullmatch(word)


def _begins_a_value(word: str, then: str) -> bool:
    """LIMIT ALL and LIMIT NULL are none. MariaDB also limits the rows that are looked at."""
    if re.match(r"[\d.(+'@:?$%{~-]", word):
        return True
    if word == "case" or (word == "rows" and then == "examined"):
        return True
    return then in {"(", "''"} and re.match(r"\w", word) is not None and not _AROUND_NAMES.fullmatch(word)


def _counts_rows(tokens: Sequence[_Token]) -> bool:
    """Whether rows are chosen by MariaDB's ROWNUM, in whatever brackets; a subquery's own column may be called so."""
    if any(token.word == "rownum" and token.is_in_subquery for token in tokens):
        return False
    code = " ".join(token.word for token in tokens if not token.is_in_subquery)
    return re.search(r"(?<!\S)rownum( \( \))? ([<=]|between |in )|[>=] rownum(?!\S)", code) is not None
