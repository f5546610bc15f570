"""An extension as it is written in a table, a phone book or the configuration, and as it is compared. Pure."""

from __future__ import annotations

import re
import unicodedata

MAX_EXTENSION = 20
"""Of the Call Logger."""

_BLANK = "".join(map(chr, range(1, 0x21)))
"""What the Call Logger takes for blank; Python has another idea of it."""

_EXTENSION = re.compile(r"(?:ext(?:n|ension)?\s*[.:-]?\s*|x(?=[0-9]{1,7}$))([0-9]{1,20})", re.IGNORECASE)


def without_blanks(text: str) -> str:
    """Without what stands around it."""
    return text.strip().strip(_BLANK)


def extension_in(text: str) -> str:
    """The extension of ``Ext.101``; any other text as it is."""
    written = _EXTENSION.fullmatch(text)
    return written[1] if written else text


def in_plain_digits(text: str) -> str:
    """Digits and plus signs of other scripts, full width or Arabic, as ours, without the marks that nobody sees: those
    of the direction of writing, and what programs put into a text to join or to break it."""
    if text.isascii():
        return text
    return "".join(_plain_character(character) for character in text)


def _plain_character(character: str) -> str:
    value = unicodedata.decimal(character, None)
    if value is not None:
        return str(value)
    if unicodedata.category(character) == "Cf":
        return ""
    return {"\uff0b": "+", "\ufe62": "+", "\uff20": "@", "\uff08": "(", "\uff09": ")"}.get(character, character)


def plain_extension(text: str) -> str:
    """As extensions and groups are compared, however they are written."""
    return extension_in(without_blanks(in_plain_digits(text)))
