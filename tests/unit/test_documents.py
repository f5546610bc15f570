"""What the documents lead to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("infra/*.md")])


def prose(document: Path) -> str:
    """Without blocks of code, in which brackets and # mean something else."""
    return re.sub(r"^ *```.*?^ *```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_and_picture_leads_to_a_file_and_a_heading(document: Path) -> None:
    links = [link for link in re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", prose(document)) if "://" not in link]
    for link in links:
        file, _, heading = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


def test_every_document_is_led_to_from_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    led_to = set(re.findall(r"\]\(([^)#]+)", readme))
    assert {str(path.relative_to(PROJECT)) for path in DOCUMENTS} - {"README.md"} <= led_to


def test_each_file_that_the_documents_name_is_there() -> None:
    """Scripts, templates and settings that a reader is sent to by their path."""
    for document in DOCUMENTS:
        named = re.findall(r"`((?:infra|docs|config|cdr|shared|\.github)/[\w./-]+\.\w+)`", document.read_text("utf-8"))
        assert [name for name in named if not (PROJECT / name).exists() and not name.endswith(".local.json")] == [], (
            document
        )
