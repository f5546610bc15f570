"""Phone numbers in somebody else's words: hidden, and nothing else with them. Pure.

Whatever stands between the digits of a number, it is one as long as no letter does: six digits or more, of any script,
with up to three signs between two of them, are masked. What only looks like that stays readable, because it says what
is wrong:

    with letters   uuids, hexadecimal codes and ids, SQL states, IPv6 addresses, names of hosts, "row 1234567"
    without        dates, times, IPv4 addresses, versions of servers, the largest integers, so many bytes or seconds
    in brackets    short codes one after the other, as in "(18456) (4060)"

What has letters cannot be part of a number. What has none could be: so it only stays if fewer than six digits are left
beside it in the same run.
"""

from __future__ import annotations

import re

FEWEST_DIGITS = 6
SHORTEST_SHOWN = 5

# One sign between two digits. Line ends are none: a number stands on one line. Other programs write some as escapes.
_SPACE = r"(?:[^\S\r\n]++)"
_ESCAPED = r"(?:\\+(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|t|N\{[^}]{1,40}\})|%[0-9A-Fa-f]{2}|&\#?\w{1,8};)"
_SIGN = rf"(?:{_ESCAPED}|{_SPACE}|[^\w\s]|_)"
_RUN = re.compile(rf"\+?\d(?:{_SIGN}{{0,3}}\d)+")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"

_WITH_LETTERS = re.compile(
    r"""
    (?<![0-9A-Za-z%]) (?:
        [0-9A-Fa-f]{8} (?:-[0-9A-Fa-f]{4}){3} - [0-9A-Fa-f]{12}
      | 0[xX] [0-9A-Fa-f]{1,16}
      | [A-Z]{2} [0-9]{3} | [0-9]{2} [A-SU-Z] [0-9]{2}
      | (?=[0-9]*[A-Fa-f]) (?![0-9A-Fa-f]*[0-9]{10}) [0-9A-Fa-f]{8,64}
      | (?<!:) (?=[0-9A-Fa-f:]*(?:[A-Fa-f]|::)) (?:[0-9A-Fa-f]{0,4}:){2,7} [0-9A-Fa-f]{0,4} (?!:)
      | (?: (?![0-9A-Za-z_-]*[0-9]{9}) [0-9]{0,4} [A-Za-z] [0-9A-Za-z_-]{0,40} \. ){1,5} [A-Za-z]{2,20}
      | (?<![Cc]aller[\s_-]) (?:[Rr]ows?|[Ii]ds?) [ ]? [=:\#]? [ ]? [0-9]{1,9} (?![\W_]{0,3}[0-9])
    ) (?![0-9A-Za-z])
  | (?: ^ | (?<=[(\[=:]) | (?<=[^\d)][ ]) ) -214 [0-9]{7} (?![0-9])
    """,
    re.VERBOSE,
)
"""The last is what Windows calls a result, such as -2147467259."""

_WITHOUT = re.compile(
    rf"""
    (?<!\d) (?:
        (?<!\d[-/.]) (?:19|20)\d\d [-/.] {_MONTH} [-/.] {_DAY} (?![-/.]?\d)
      | (?<!\d[-/.]) {_DAY} [-/.] {_DAY} [-/.] (?:19|20)\d\d (?![-/.]?\d)
      | (?<!\d[-/.]) (?:19|20)\d\d - {_MONTH} (?![-/.]?\d)
      | (?<!:) (?:[01]?\d|2[0-3]) : [0-5]\d (?: : [0-5]\d (?:[.,]\d{{1,9}})? )? (?![:\d])
      | (?<!\d\.) (?!(?!10)\d\d(?:\.\d\d){{3}}(?!\d)) {_OCTET} (?:\.{_OCTET}){{3}} (?: [:/,] \d{{1,5}} )? (?!\.?\d)
      | (?<!\d\.) \d{{1,2}} \.0\. \d{{1,5}} (?:\.\d{{1,4}})? (?!\.?\d)
      | (?:32767|65535|2147483647|4294967295|9223372036854775807) (?!\d)
      | \d{{1,3}}(?:,?\d{{3}}){{1,2}} (?=[ ](?:bytes|characters|digits|rows|seconds|ms|milliseconds)\b)
    )
    """,
    re.VERBOSE,
)
_CODES = re.compile(r"[(\[] *-?\d{1,5} *[)\]]")


def mask_number(number: str) -> str:
    """A phone number of which only the last two characters are left: enough to compare, too few to call."""
    return f"***{number[-2:]}" if len(number) >= SHORTEST_SHOWN else "***"  # an extension would be given away whole


def mask_numbers(text: str) -> str:
    """Somebody else's words with everything in them that may be a phone number masked."""
    masked, start = [], 0
    for known in _WITH_LETTERS.finditer(text):
        masked += [_masked(text[start : known.start()]), known.group()]
        start = known.end()
    return "".join([*masked, _masked(text[start:])])


def _masked(text: str) -> str:
    return _RUN.sub(lambda run: run.group() if _is_something_else(run) else mask_number(run.group()), text)


def _is_something_else(run: re.Match[str]) -> bool:
    if _digits(_WITHOUT.sub("", _with_unit(run))) < FEWEST_DIGITS:
        return True
    around = run.string[max(0, run.start() - 2) : run.end() + 2]
    return _digits(_CODES.sub("", around)) == 0


def _with_unit(run: re.Match[str]) -> str:
    """The run, and the word after it, which may say of what it is a number."""
    return run.group() + (word[0] if (word := re.match(r" [a-z]+", run.string[run.end() :])) else "")


def _digits(text: str) -> int:
    return len(re.findall(r"\d", re.sub(_ESCAPED, "", text)))
