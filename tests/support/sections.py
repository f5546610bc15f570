"""What tests want to be read at the end of a run: a heading, and its text."""

from __future__ import annotations

SECTIONS: dict[str, str] = {}
