"""An encoding that reads anything: a character cut in two must not hold up the rows around it.

A driver takes an encoding by its name, and decodes strictly. This one puts U+FFFD in the place of what is none.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

UTF_8 = "cdr_lenient_utf_8"


def _lenient(name: str) -> codecs.CodecInfo | None:
    if name != UTF_8:
        return None
    usual = codecs.lookup("utf-8")

    def decode(raw: ReadableBuffer, _errors: str = "strict", /) -> tuple[str, int]:
        return usual.decode(bytes(raw), "replace")

    return codecs.CodecInfo(usual.encode, decode, name=name)


codecs.register(_lenient)
