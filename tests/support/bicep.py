"""The templates in infra, as a parser sees them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pycep import BicepParser

INFRA = Path(__file__).parents[2] / "infra"


@cache
def parser() -> BicepParser:
    """Making its tables takes most of a second, which is for tests to spend, not for their collection."""
    return BicepParser(cache=False)


@cache
def text(name: str) -> str:
    return (INFRA / name).read_text(encoding="utf-8")


@cache
def parsed(name: str) -> dict[str, Any]:
    return parser().parse(text=text(name))
