"""An encoding that reads anything: a character cut in two must not hold up the rows around it.

A driver takes an encoding by its name, and decodes strictly. This one puts U+FFFD in the place of what is none.
"""

from __future__ import annotations

import codecs

UTF_8 = "cdr_lenient_utf_8"


def _lenient(name: str) -> codecs.CodecInfo | None:
    if name != UTF_8:
        return None
    usual = codecs.lookup("utf-8")

    def decode(raw: bytes, _errors: str = "strict") -> tuple[str, int]:
        return usual.decode(raw, "replace")

    return codecs.CodecInfo(usual.encode, decode, name=name)


codecs.register(_lenient)
