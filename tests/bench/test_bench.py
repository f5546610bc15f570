"""Every figure can still be measured, and the table says what was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.__main__ import main
from tests.bench.figures import FIGURES, missing
from tests.bench.lab import TINY, Lab
from tests.bench.results import Goal, Result, as_table, in_turns
from tests.functions.loaded_app import ROOT
from tests.support.requirements import need


def without_numbers(name: str) -> str:
    """Here everything is smaller."""
    return re.sub(r"[\d,]*\d", "n", name)


def documented() -> set[tuple[str, str]]:
    """Figures and what they are to reach, as docs/performance.md has them."""
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    head = as_table([], markdown=True)
    rows = text.partition(head)[2].partition("\n\n")[0].strip().splitlines()
    cells = ([cell.strip() for cell in row.split("|")] for row in rows)
    return {(without_numbers(name), goal) for _, name, _, goal, *_ in cells}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need(missing())
    with Lab(TINY) as lab:
        yield lab


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_measured_beside_what_it_is_to_reach(lab: Lab, name: str) -> None:
    results = list(FIGURES[name](lab))
    assert results
    for result in results:
        assert result.goal is not None
        assert all(value >= 0 for value in result.behind.values()), result
        assert (without_numbers(result.name), str(result.goal)) in documented(), (
            "bench --markdown prints the table anew"
        )
    assert len({result.name for result in results}) == len(results)


def test_contenders_take_turns_and_their_medians_count() -> None:
    turns: list[str] = []
    numbers = iter([5.0, 50.0, 1.0, 10.0, 9.0, 90.0])

    def taking(name: str) -> float:
        turns.append(name)
        return next(numbers)

    assert in_turns(3, ours=lambda: taking("ours"), theirs=lambda: taking("theirs")) == {"ours": 5, "theirs": 50}
    assert turns == ["ours", "theirs"] * 3


FAST = Result("puts", 12.345, "", Goal("least", 10), {"rows/s": 4321.0})
LARGE = Result("memory", 120.0, "MiB", Goal("most", 110))


@pytest.mark.parametrize(
    ("markdown", "row"),
    [
        (True, "| memory | 120 MiB | ≤ 110 | no |  |"),
        (False, "memory  120 MiB   ≤ 110     no"),
    ],
)
def test_the_table_says_what_was_reached(row: str, *, markdown: bool) -> None:
    lines = as_table([FAST, LARGE], markdown=markdown).splitlines()
    assert "12.3" in lines[-2]
    assert "rows/s 4,321" in lines[-2]
    assert lines[-1] == row


def test_one_figure_can_be_asked_for_and_everything_goes_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need(missing())
    file = tmp_path / "bench.json"
    assert main(["--tiny", "--only", "start", "--markdown", "--json", str(file)]) == 0
    written = json.loads(file.read_text("utf-8"))
    printed = capsys.readouterr().out
    assert [figure["unit"] for figure in written["figures"]] == ["", ""]
    assert all(f"| {figure['name']} |" in printed for figure in written["figures"])


def test_a_figure_that_there_is_not_is_named_with_those_that_there_are() -> None:
    need(missing())
    with pytest.raises(SystemExit, match="catch-up"):
        main(["--only", "warmth"])
