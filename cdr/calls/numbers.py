"""Numbers as phone systems write them: SIP addresses, 3CX's own ``Ext.101``, digits of any script. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from shared.extensions import extension_in, in_plain_digits

_SCHEME = re.compile(r"(sips?|tel|callto|h323):(//)?", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_DISPLAY_NAME = re.compile(r'^"(?:[^"\\]|\\.)*"\s*')
_REMARK = re.compile(r"(?:\s*\([^()]*[^\W\d_][^()]*\))+\s*$")
_DIALLED_LATER = re.compile(r"(?<=[0-9)])\s*(?:,|(?:ext\.?|extension|x)\s*(?=[0-9]))[0-9,#*\s]*$", re.IGNORECASE)
_LONGEST_VANITY = 20


def plain(text: str) -> str:
    """Without display name, scheme, host, parameters, a remark in brackets and what is dialled once somebody answered;
    3CX's notation of an extension is the extension."""
    number = in_plain_digits(text).strip()
    if bracketed := _IN_BRACKETS.search(number):
        number = bracketed[1].strip()
    elif (rest := _DISPLAY_NAME.sub("", number)) and re.search("[0-9]", rest):
        number = rest
    scheme = _SCHEME.match(number)
    if scheme:
        number = number[scheme.end() :]
    user, at, _ = number.partition("@")
    user = user.partition(";")[0].partition("?")[0]
    if scheme:
        user = unquote(user).partition(":")[0] if at else unquote(re.sub(r":[0-9]{1,5}$", "", user))
    return extension_in(_DIALLED_LATER.sub("", _REMARK.sub("", user)).strip())


def says_extension(text: str) -> bool:
    """Whether it is an extension by its notation, however many digits it has."""
    written = _REMARK.sub("", in_plain_digits(text)).strip()
    return extension_in(written) != written


def looks_internal(number: str, digits: tuple[int, int]) -> bool:
    return re.fullmatch(rf"[0-9]{{{digits[0]},{digits[1]}}}", number) is not None


def digits_of(number: str) -> str:
    return re.sub("[^0-9]", "", number)


def as_e164(number: str, region: str | None, digits: tuple[int, int]) -> str:
    """International, where the number makes sense in the region; letters count as the keys that they are on, where this
    makes a valid number. Anything else is its digits, for it still is the number that was called."""
    import phonenumbers

    only_digits = digits_of(number)
    has_letters = re.search("[A-Za-z]", number) is not None
    if looks_internal(only_digits, digits) and not (has_letters and len(number) <= _LONGEST_VANITY):
        return only_digits
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return only_digits
    if has_letters and not phonenumbers.is_valid_number(parsed):
        return only_digits
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
