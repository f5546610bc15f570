"""How text fits into a table: keys without forbidden characters, and long values in pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PIECE = 30_000
"""Characters in one property; the service takes 32 Ki."""

_FORBIDDEN = re.compile(r"[/\\#?%!\x00-\x1f\x7f-\x9f]")


def escape_key(name: str) -> str:
    """A partition or row key for any name: what the table service forbids becomes ``!`` and two hexadecimal digits."""
    return _FORBIDDEN.sub(lambda found: f"!{ord(found.group()):02x}", name)


def unescape_key(key: str) -> str:
    return re.sub("!([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), key)


def in_pieces(prefix: str, text: str, pieces: int) -> dict[str, str]:
    """Properties ``prefix_0`` and so on, always all of them, so that writing a shorter text leaves nothing of the last.

    :raises ValueError: the text is too long for so many pieces
    """
    if len(text) > pieces * PIECE:
        raise ValueError(f"{len(text)} characters, {pieces * PIECE} fit")
    return {f"{prefix}_{i}": text[i * PIECE : (i + 1) * PIECE] for i in range(pieces)}


def from_pieces(prefix: str, entity: Mapping[str, Any], pieces: int) -> str:
    return "".join(entity.get(f"{prefix}_{i}") or "" for i in range(pieces))
