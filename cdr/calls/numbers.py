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
_REMARK = re.compile(r"(?:\s*\([^()]*[^\W\d_][^()]*\))+\s*$")
_OTHER_NUMBER = re.compile(r"(?<=[0-9])\s*\(\s*\+[^()]*\)\s*$")
_DIALLED_LATER = re.compile(r"(?<=[0-9)])\s*(?:,|(?:ext\.?|extension|x)\s*(?=[0-9]))[0-9,#*\s]*$", re.IGNORECASE)
_NOT_DIALLED = re.compile(r"^((?:\+|00)\s*(?!39|37[89])[1-9][0-9]{0,2}[\s./-]*)\(0\)")
"""The zero in +49 (0)30: it is only dialled within the country, except in Italy, which dials it from everywhere."""
_SEVERAL = re.compile(r"[;,]\s*[0-9]")
_LONGEST_VANITY = 20


def plain(text: str) -> str:
    """Without display name, scheme, host, parameters, a remark in brackets and what is dialled once somebody answered;
    3CX's notation of an extension is the extension."""
    user = _REMARK.sub("", _user_of(_address_in(in_plain_digits(text).strip()))).strip()
    without_other = _OTHER_NUMBER.sub("", user)
    if (extension := extension_in(without_other)) != without_other:
        return extension
    number = _OTHER_NUMBER.sub("", _after_name(user))
    number = _NOT_DIALLED.sub(r"\1", _DIALLED_LATER.sub("", number)).strip()
    return _whole(number)


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
    user, at, _ = address.partition("@")
    user = user.partition(";")[0].partition("?")[0]
    if not scheme:
        return user
    if not at and _HOST.fullmatch(user):
        return ""
    return unquote(user).partition(":")[0] if at else unquote(re.sub(r":[0-9]{1,5}$", "", user))


def _after_name(text: str) -> str:
    """From the plus on, where a name stands before it, for the digits of a name are none of the number's."""
    found = _INTERNATIONAL.search(text)
    return text[found.start() :] if found and _LETTER.search(text[: found.start()]) else text


def _whole(number: str) -> str:
    """What was a column of floats before it was text has a fraction."""
    return number.removesuffix(".0") if re.fullmatch(r"[1-9][0-9]*\.0", number) else number


def extension_of(text: str) -> str:
    """The extension of ``Ext.101``, of an address or of what else `plain` finds digits alone in; any other text as it
    is, several extensions too."""
    number = "" if _SEVERAL.search(text) else plain(text)
    return number if re.fullmatch("[0-9]+", number) else text


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
