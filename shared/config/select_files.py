"""Where the files of SELECTs are that settings name: those that come with the app, and the operator's own."""

from __future__ import annotations

import re
from pathlib import Path

OF_ROWS, OF_LEGS = "config/schemas", "config/legs"


def select_file(name: str, root: Path, folder: str) -> Path:
    """A bare name means a file in ``folder``, anything else is a path; both below the app's root."""
    return root / folder / f"{name}.sql" if re.fullmatch(r"[\w-]+", name) else root / name


def known_selects(root: Path, *folders: str) -> str:
    """The names of those that are there, for a person."""
    return ", ".join(sorted(file.stem for folder in folders for file in (root / folder).glob("*.sql")))
