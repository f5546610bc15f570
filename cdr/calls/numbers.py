"""Numbers as phone systems write them: SIP addresses, 3CX's own ``Ext.101``, digits of any script. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from shared.extensions import extension_in, in_plain_digits

_SCHEME = re.compile(r"(sips?|tel|callto|h323):(//)?", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_DISPLAY_NAME = re.compile(r'^"(?:[^"\\]|\\.)*"\s*')
_INTERNATIONAL = re.compile(r"\+[0-9](?:[^\w+]{0,3}[0-9]){5}")
_LETTER = re.compile(r"[^\W\d_]")
_HOST = re.compile(r"(?:\[.*\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[\w-]+\.)+[a-z]{2,})(?::[0-9]{1,5})?", re.IGNORECASE)
_ADDRESS_WITH_PORT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}:[0-9]{2,5}")
"""Without a port it could be a number in groups."""
_NOBODY = re.compile(r"[\w.-]+\.invalid\b", re.IGNORECASE)
"""The host of who withholds his number, before which stands a word by lot."""
_WORDS = re.compile(r"(?:\s*\([^()0-9]*\))+\s*$")
_REMARK = re.compile(r"(?:\s*(?:\([^()]*[^\W\d_][^()]*\)|(?<=\S)\s*\[[^][]*[^\W\d_][^][]*\]))+\s*$")
_OTHER_NUMBER = re.compile(r"(?<=[0-9])\s*\(\s*\+[^()]*\)\s*$")
_DIALLED_FIRST = re.compile(
    r"^(?:[0-9]{1,2},+|[*#]3[01]#|\*(?:67|70|82)(?=(?:[^0-9]{0,3}[0-9]){7}))[\s,-]*(?=(?:[^0-9]{0,3}[0-9]){5})"
)
"""For an outside line, with a pause after it, or to withhold or show the own number; the latter, or without a second
call that knocks, by a star in North America."""
_EXTENSION_LATER = re.compile(
    r"(?<=[0-9)])\s*(?:[wp]+|(?:ext\.?|extension|x)\s*(?=[0-9]))[0-9,#*wp\s]*$", re.IGNORECASE
)
"""Its letters are none of a name's, so it goes first."""
_DIALLED_LATER = re.compile(
    r"(?<=[0-9)])\s*(?:,|[wp]+|(?:ext\.?|extension|x)\s*(?=[0-9]))[0-9,#*wp\s]*$", re.IGNORECASE
)
"""A comma may stand between two numbers as well, so this goes last; and there may have been another extension."""
_NOT_DIALLED = re.compile(r"^((?:\+|00)\s*(?!39|37[89])[1-9][0-9]{0,2}[\s./-]*)\(0\)")
"""The zero in +49 (0)30: it is only dialled within the country, except in Italy, which dials it from everywhere."""
_SEVERAL = re.compile(r"[;,]\s*[0-9]")
_BETWEEN_NUMBERS = re.compile(
    r"\s*[|&]\s*|(?<=[0-9]{9})/(?=\+?[0-9]{9})|\s+(?:/|or|and|oder|und)\s+|(?<=[0-9])\s*\((?=[0-9])"
)
_NAME_AND_NUMBER = re.compile(
    r"([^()[\]]*?)\s*[(\[]\s*((?:ext[a-z]*[ .:-]*|x)?[+*#0-9][0-9 ./*#-]+)\s*[)\]]", re.IGNORECASE
)
_NUMBER_AND_NAME = re.compile(r"(\+?[0-9](?:[ ./()-]{0,3}[0-9]){5,})[\s:,-]+[^\W\d_].*[0-9].*")
_FLOAT = re.compile(r"([1-9])\.([0-9]+)E\+?([0-9]{1,3})", re.IGNORECASE)
_FEWEST_DIGITS = 6
"""Of a number that is dialled from outside, when it stands beside other digits."""
_A_WHOLE_NUMBER = 9
"""So many digits in one group."""
_OF_WORDS = 4
"""So many digits before the last letter are those of a number that is spelled in letters."""
_LONGEST_VANITY = 20


def plain(text: str) -> str:
    """Without display name, scheme, host, parameters, a remark in brackets and what is dialled once somebody answered;
    3CX's notation of an extension is the extension."""
    user = _REMARK.sub("", _in_name(_user_of(_address_in(in_plain_digits(text).strip())))).strip()
    without_other = _OTHER_NUMBER.sub("", user)
    if (extension := extension_in(without_other)) != without_other:
        return extension
    number = _EXTENSION_LATER.sub("", _OTHER_NUMBER.sub("", user))
    number = _beside_name(_first_of_several(number))
    number = _DIALLED_LATER.sub("", _DIALLED_FIRST.sub("", number))
    return _whole(_NOT_DIALLED.sub(r"\1", number).strip())


def _address_in(text: str) -> str:
    """Without the name before it, which may have digits and brackets of its own."""
    named = _DISPLAY_NAME.sub("", text)
    text = named if re.search("[0-9<]", named) else text
    bracketed = list(_IN_BRACKETS.finditer(text))
    if not bracketed:
        return text
    address = next((found for found in reversed(bracketed) if re.search("[0-9]", found[1])), None)
    before = text[: bracketed[0].start()].strip()
    if address is None and re.search("[0-9]", before) and (says_extension(before) or not _LETTER.search(before)):
        return before
    return (address or bracketed[-1])[1].strip()


def _user_of(address: str) -> str:
    """Of a SIP address, which may be a host alone; any other number without parameters."""
    scheme = _SCHEME.match(address)
    if scheme:
        address = address[scheme.end() :]
    user, at, host = address.partition("@")
    user = user.partition(";")[0].partition("?")[0]
    if _NOBODY.match(host) and _LETTER.search(user) and re.search("[0-9]", user):
        return ""
    if not scheme:
        return "" if _ADDRESS_WITH_PORT.fullmatch(user) else user
    if not at and _HOST.fullmatch(user):
        return ""
    return unquote(user).partition(":")[0] if at else unquote(re.sub(r":[0-9]{1,5}$", "", user))


def _in_name(text: str) -> str:
    """The number of a party that is written as Max (101)."""
    found = _NAME_AND_NUMBER.fullmatch(_WORDS.sub("", text))
    if not found or not _LETTER.search(found[1]) or extension_in(found[1]) != found[1]:
        return text
    return found[2].strip() if len(digits_of(found[1])) < _FEWEST_DIGITS else text


def _beside_name(text: str) -> str:
    """Without the name before it or after it, for the digits of a name are none of the number's."""
    found = _INTERNATIONAL.search(text)
    if found and _LETTER.search(text[: found.start()]):
        return text[found.start() :]
    if after := _NUMBER_AND_NAME.fullmatch(text):
        return after[1]
    letters = list(_LETTER.finditer(text))
    if not letters or len(digits_of(text[: letters[-1].start()])) >= _OF_WORDS:
        return text
    return _after_digits_of_name(text, letters[-1].end())


def _after_digits_of_name(text: str, end: int) -> str:
    """Of Max 24 030111222 what is dialled: it begins where a group of digits has a zero or a bracket before it, or is
    long enough for a number of its own. ``end`` is that of the name's letters."""
    groups = [found for found in re.finditer(r"[(0-9][0-9./()-]*", text) if found.start() >= end]
    whole = [each for each in groups if len(digits_of(text[each.start() :])) >= _FEWEST_DIGITS]
    sure = (each for each in whole if each[0].lstrip("(").startswith("0") or len(digits_of(each[0])) >= _A_WHOLE_NUMBER)
    found = next(sure, None) or next((each for each in whole if each[0].startswith("(")), None)
    return text if found is None or not digits_of(text[: found.start()]) else text[found.start() :]


def _first_of_several(text: str) -> str:
    """Each of them must be one by itself: what stands between two may also stand within one."""
    parts = _BETWEEN_NUMBERS.split(text)
    are_numbers = all(len(digits_of(part)) >= _FEWEST_DIGITS and not _LETTER.search(part) for part in parts)
    return parts[0] if are_numbers else text


def _whole(number: str) -> str:
    """What was a column of floats before it was text has a fraction, or a power of ten."""
    if (found := _FLOAT.fullmatch(number)) and len(found[2].rstrip("0")) <= int(found[3]) <= len(found[2]):
        return found[1] + found[2][: int(found[3])]
    return number.removesuffix(".0") if re.fullmatch(r"[1-9][0-9]*\.0", number) else number


def is_rounded(number: str) -> bool:
    """Whether it has been a float of which digits are lost."""
    return _FLOAT.fullmatch(number) is not None


def extension_of(text: str) -> str:
    """The extension of ``Ext.101``, of an address or of what else `plain` finds digits alone in; any other text as it
    is, several extensions too."""
    number = "" if _SEVERAL.search(text) else plain(text).strip("\"'")
    return number if re.fullmatch("[0-9]+", number) else text


def says_extension(text: str) -> bool:
    """Whether it is an extension by its notation, however many digits it has."""
    written = _REMARK.sub("", _in_name(in_plain_digits(text).strip())).strip()
    return extension_in(written) != written


def looks_internal(number: str, digits: tuple[int, int]) -> bool:
    return re.fullmatch(rf"[0-9]{{{digits[0]},{digits[1]}}}", number) is not None


def digits_of(number: str) -> str:
    return re.sub("[^0-9]", "", number)


def as_e164(number: str, region: str | None, digits: tuple[int, int]) -> str:
    """International, where the number makes sense in the region; letters count as the keys that they are on, where only
    this makes a valid number. Anything else is its digits, for it still is the number that was called."""
    import phonenumbers

    only_digits = digits_of(number)
    has_letters = re.search("[A-Za-z]", number) is not None
    if looks_internal(only_digits, digits) and not (has_letters and len(number) <= _LONGEST_VANITY):
        return only_digits
    for written in (_LETTER.sub("", number), number) if has_letters else (number,):
        try:
            parsed = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if not has_letters or phonenumbers.is_valid_number(parsed):
            return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    return only_digits
