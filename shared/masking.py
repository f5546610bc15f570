"""Phone numbers in somebody else's words: hidden, and nothing else with them. Pure.

Whatever stands between the digits of a number, it is one as long as no letter does: six digits or more, of any script,
with up to five signs between two of them, are masked. What only looks like that stays readable, because it says what
is wrong:

    with letters   uuids, hexadecimal codes and ids, SQL states, IPv6 addresses, names of hosts, "row 1234567",
                   "host 20.50.2.3", "error 18456 4060", 20260430T063546Z, 30 Apr 2026
    without        dates, times, IPv4 addresses, versions of servers, the largest integers, so many bytes or seconds
    in brackets    codes one after the other, one of which is known, as in "(18456) (4060)" and "08001 (10061)"

What has letters cannot be part of a number. What has none could be: so it only stays if fewer than six digits are left
beside it in the same run. What begins with a plus or a zero is dialled, and nothing else than a date, a time or a code;
so is what stands after "phone", "called" and the like. Four pairs of digits are a number as some countries write it,
and an address only where a word or a port says so.
"""

from __future__ import annotations

import re

FEWEST_DIGITS = 6
SHORTEST_SHOWN = 5

# One sign between two digits. Line ends are none: a number stands on one line. Other programs write some as escapes.
_SPACE = r"(?:[^\S\r\n]++)"
_ESCAPED = r"(?:\\+(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|t|N\{[^}]{1,40}\})|%[0-9A-Fa-f]{2}|&\#?\w{1,8};)"
_SIGN = rf"(?:{_ESCAPED}|{_SPACE}|[^\w\s]|_)"
_RUN = re.compile(rf"\+?\d(?:{_SIGN}{{0,5}}\d)+")

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_PRIVATE = r"(?:10\.|127\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|0\.0\.0\.0)"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NAME = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_CODE = r"(?:[1-9][0-9]{3,4}|0[0-278]0[0-9]{2}|0)"
"""Of an engine or of SQL, which has a few that begin with a zero: 01000, 08001."""
_KNOWN_CODE = re.compile(
    r"(?<!\d)(?:18[34]\d\d|4060|406[0-4]\d|1005[1-7]|1006[0-5]|1100[1-4]|200[0-4]\d|08[0-9]{3}|01000|28000|42000)(?!\d)"
)
"""Of those that come with another one: what Windows, SQL and the drivers say when a server is not there or refuses."""
_STATE = r"(?:0[0-278]0|2[1-8][0-9]|3[489][0-9]|4[024][0-9]|5[34578][0-9])[0-9]{2}"
_ID_OF = r"(?:[Rr]ow|[Rr]ecord|[Cc]all|[Hh]istory|[Ss]egment|[Mm]essage|[Pp]rocess|[Ss]ession)[ _-]"

_NOT_OF_A_NUMBER = r"(?<!area[ ])(?<!city[ ])(?<!dial[ ])(?<!country[ ])"

_WITH_LETTERS = re.compile(
    rf"""
    (?<![0-9A-Za-z%]) (?:
        [0-9A-Fa-f]{{8}} (?:-[0-9A-Fa-f]{{4}}){{3}} - [0-9A-Fa-f]{{12}}
      | 0[xX] [0-9A-Fa-f]{{1,16}}
      | [A-Z]{{2}} [0-9]{{3}} | [0-9]{{2}} [A-SU-Z] [0-9]{{2}} | (?:KB|AADSTS) [0-9]{{5,7}}
      | (?=[0-9]*[A-Fa-f]) (?:0000|(?![0-9A-Fa-f]*[0-9]{{6}})) [0-9A-Fa-f]{{4,15}} (?<=[0-9A-Fa-f]{{8}})
      | (?=(?:[0-9]*[A-Fa-f]){{3}}) (?![0-9A-Fa-f]*[0-9]{{10}}) [0-9A-Fa-f]{{16,64}}
      | (?<!:) (?=[0-9A-Fa-f:]*(?:[A-Fa-f]|::)) (?:[0-9A-Fa-f]{{0,4}}:){{2,7}} [0-9A-Fa-f]{{0,4}} (?!:)
      | (?: (?![0-9A-Za-z_-]*[0-9]{{9}}) [0-9]{{0,4}} [A-Za-z] [0-9A-Za-z_-]{{0,40}} \. ){{1,5}} [A-Za-z]{{2,20}}
      | (?<![\w-]) (?:[Rr]ows? | {_ID_OF}[Ii]ds? | (?<!\w[ ])[Ii]ds?)
            [ ]? [=:\#]? [ ]? [1-9][0-9]{{0,8}} (?![\W_]{{0,5}}[0-9])
      | (?:pid|PID) [ =:]{{1,2}} [1-9][0-9]{{0,6}} (?![\W_]{{0,5}}[0-9])
      | (?:[Ee]rrors?|{_NOT_OF_A_NUMBER}[Cc]odes?|SQLSTATE)
            [ ] {_CODE} (?:,?[ ](?:{_CODE}|[1-9][0-9]{{2}})){{0,4}} (?![\W_]{{0,5}}[0-9])
      | (?P<state>{_STATE}) ', [ ]? ['"]\[ (?P=state) \]
      | (?<![0-9)\]]) (?<![0-9)\]][ ]) \[ {_STATE} \] (?=[ ]?\[?[A-Za-z])
      | (?i:hosts?|hostname|servers?|address|addr|ip|peer|gateway|proxy|endpoint) (?:[ ](?:at|on|is))? [ ]?[:=]?[ ]?
            ["'(\[]? {_IPV4} (?:[:,][0-9]{{1,5}})? (?!\.?[0-9])
      | (?:MAC|mac|HWaddr|ether) (?:[ ]address)? [ ]?[:=]?[ ]? [0-9]{{2}} (?:[:-][0-9]{{2}}){{5}} (?![:-]?[0-9])
      | (?:19|20)[0-9]{{2}} (?:0[1-9]|1[0-2]) (?:0[1-9]|[12][0-9]|3[01]) T (?:[01][0-9]|2[0-3]) (?:[0-5][0-9]){{1,2}}
            (?:[.,][0-9]{{1,9}})? (?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?
      | {_DAY} [ /-] {_MONTH_NAME} [ /-] (?:19|20)[0-9]{{2}}
            (?: [: T] [0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}} (?:[ ]?[+-][0-9]{{2}}:?[0-9]{{2}})? )?
      | {_MONTH_NAME}\.? [ ]{{1,2}} {_DAY},? [ ] (?:[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}[ ])? (?:19|20)[0-9]{{2}}
    ) (?![0-9A-Za-z])
  | (?: ^ | (?<=[(\[]) | (?<=(?:code|rror|SULT)[ =:]) ) -214 (?:7[0-4]|6[2-9]) [0-9]{{5}} (?![0-9])
  | (?<=failed[ ]\(') {_IPV4} ',[ ] [1-9][0-9]{{1,4}} (?=\))
  | (?: (?<=://) | (?<=[\w'"]@) | (?<=[\w'"]@['"]) ) {_IPV4} (?: :[0-9]{{1,5}} )? (?!\.?[0-9])
    """,
    re.VERBOSE,
)
"""What begins with -214 is what Windows calls a result, such as -2147467259."""

_DIALLED = re.compile(
    r"\b(?:phone|tel|fax|mobile|cell|caller|callee|call(?:ed|ing)|dial(?:l?ed|l?ing)?|rejected_?value|(?:phone|caller|dest|dialed)?_?number"
    r"|caller_?id)\b['\"]?\W{0,4}$",
    re.IGNORECASE,
)
"""What stands before a number, and before no address."""

_MOMENT = re.compile(
    rf"""
    (?<!\d) (?:
        (?<!\d[-/.]) (?<!\+) (?:19|20)\d\d [-/.] {_MONTH} [-/.] {_DAY} (?![-/.]?\d)
      | (?<!\d[-/.]) (?<!\+) {_DAY} [-/.] {_DAY} [-/.] (?:19|20)\d\d (?![-/.]?\d)
      | (?<!\d[-/.]) (?<!\+) (?:19|20)\d\d - {_MONTH} (?![-/.]?\d)
      | 0000-00-00 (?!\d)
      | (?<!:) (?:[01]?\d|2[0-3]) : [0-5]\d (?: : [0-5]\d (?:[.,]\d{{1,9}})? )? (?![:\d])
    )
    """,
    re.VERBOSE,
)
_WITHOUT = re.compile(
    rf"""
    (?<![\d+]) (?:
        (?<!\d\.) (?:(?={_PRIVATE})|(?!\d\d(?:\.\d\d){{3}}(?!\d))) {_IPV4} (?: [:/,] \d{{1,5}} )? (?!\.?\d)
      | (?<!\d\.) {_IPV4} (?: [:,][1-9]\d{{1,4}} | /\d{{1,2}} ) (?!\.?\d)
      | (?<!\d\.) (?:[89]|1\d) \. (?:0|50) \. \d{{1,4}} (?:\.\d{{1,2}})? (?!\.?\d)
      | (?<!\d\.) 10\.0\.\d{{5}} (?:\.\d{{1,4}})? (?!\.?\d)
      | (?:32767|65535|214748364[78]|429496729[56]|922337203685477580[78]|18446744073709551615) (?!\d)
      | (?<!\d\W) [1-9]\d{{0,2}}(?:,?\d{{3}}){{1,2}}
            (?=[ ](?:bytes|characters|digits|rows|seconds|ms|milliseconds)\b)
    )
    """,
    re.VERBOSE,
)
_CODES = re.compile(
    rf"""
    (?: {_STATE} [ ]?[(]{_CODE}[)] | {_CODE} [ ]?[(]{_STATE}[)] | [(\[][ ]*-?{_CODE}[ ]*[)\]] )
    (?: [;,]?[ ]{{0,2}} [(\[][ ]*-?{_CODE}[ ]*[)\]] )*
    """,
    re.VERBOSE,
)


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
    if _digits(run.group()) < FEWEST_DIGITS:
        return True
    if run.group().startswith("+"):
        return False
    codes = _with_brackets(run)
    if _CODES.fullmatch(codes) and _KNOWN_CODE.search(codes):
        return True
    beside_moments = _MOMENT.sub("", _with_unit(run))
    if _digits(beside_moments) < FEWEST_DIGITS:
        return True
    is_dialled = re.match(r"\W*0\d", beside_moments) or _DIALLED.search(
        run.string, max(0, run.start() - 30), run.start()
    )
    return not is_dialled and _digits(_WITHOUT.sub("", beside_moments)) < FEWEST_DIGITS


def _with_brackets(run: re.Match[str]) -> str:
    before = re.search(r"[(\[] *-?$", run.string[max(0, run.start() - 3) : run.start()])
    after = re.match(r" *[)\]]", run.string[run.end() : run.end() + 3])
    return f"{before[0] if before else ''}{run.group()}{after[0] if after else ''}"


def _with_unit(run: re.Match[str]) -> str:
    """The run, and the word after it, which may say of what it is a number."""
    return run.group() + (word[0] if (word := re.match(r" [a-z]+", run.string[run.end() :])) else "")


def _digits(text: str) -> int:
    return len(re.findall(r"\d", re.sub(_ESCAPED, "", text)))
