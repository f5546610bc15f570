"""The documentation of the configuration file, from the settings' own types and descriptions.

python -m shared.config.document > docs/configuration.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic.fields import FieldInfo

from shared.config.chapters import CHAPTERS, Chapter
from shared.config.phone_system import Database
from shared.config.schema import span_as_written
from shared.config.types import Section
from shared.config.written import ENVIRONMENT

HEADING = """\
# Configuration

<!-- Written from the settings' own descriptions: python -m shared.config.document > docs/configuration.md -->
"""
HEADER = """\
| setting | environment variable | default | meaning and what is allowed |
|---|---|---|---|"""
WITH_A_TABLE: tuple[type[Section], ...] = (
    Database,
    *(table.section for chapter in CHAPTERS for table in chapter.tables),
)


def configuration_document() -> str:
    """Markdown: a chapter for each section, with its prose and a row for each of its settings."""
    return "\n".join([HEADING, *(part for chapter in CHAPTERS for part in _chapter(chapter))])


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f"## {chapter.title}\n{chapter.prose}"
    for table in chapter.tables:
        yield f"{table.caption}\n\n{HEADER}" if table.caption else HEADER
        yield from _rows(table.section, table.path)
        yield ""


def _rows(section: type[Section], path: str) -> Iterator[str]:
    """Also those of a section within this one that has no table of its own."""
    for name, field in section.model_fields.items():
        setting = ".".join(filter(None, (path, field.alias or name)))
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section) and not issubclass(kind, WITH_A_TABLE):
            yield from _rows(kind, setting)
        else:
            variable = ENVIRONMENT.get(tuple(setting.split(".")))
            yield _row(f"`{setting}`", f"`{variable}`" if variable else "", _default(field), str(field.description))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    written = _as_written(field.get_default(call_default_factory=True))
    return f"`{written}`" if written else ""


def _as_written(value: Any) -> str:
    """As it could stand in the file; nothing for a section, whose settings have defaults of their own."""
    match value:
        case None | () | {}:
            return ""
        case bool():
            return str(value).lower()
        case timedelta():
            return span_as_written(value)
        case Section():
            first = next(iter(type(value).model_fields))
            return f"{first}: {getattr(value, first)}" if first in ("type", "source") else ""
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(configuration_document())
