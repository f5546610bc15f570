"""What is installed is pinned with hashes, and the locks say what the short lists say."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dev

PROJECT = Path(__file__).parents[2]
AGAIN = "python dev.py lock"
Pins = dict[tuple[str, str], list[str]]
"""Name and version to hashes."""


def pinned(lock: str) -> Pins:
    text = (PROJECT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    pins: Pins = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, version = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line).groups()  # type: ignore[union-attr]
            pins[canonicalize_name(name), version] = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return pins


def listed(file: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (PROJECT / file).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize("lock", dev.LOCKS)
def test_every_package_of_a_lock_has_hashes(lock: str) -> None:
    assert [name for name, hashes in pinned(lock).items() if not hashes] == []


@pytest.mark.parametrize("count", range(1, len(dev.LISTS) + 1))
def test_a_lock_has_what_its_list_and_those_before_it_ask_for(count: int) -> None:
    pins = pinned(dev.LOCKS[count - 1])
    asked = {(canonicalize_name(each.name), str(each.specifier)[2:]) for f in dev.LISTS[:count] for each in listed(f)}
    assert asked - pins.keys() == set(), AGAIN
    others = {name for name, _ in pins} & {name for name, _ in asked}
    assert {pin for pin in pins if pin[0] in others} == asked, AGAIN


def test_the_locks_agree() -> None:
    running, local, testing = (pinned(lock) for lock in dev.LOCKS)
    assert running.items() <= local.items() <= testing.items()


def test_the_locks_have_whatever_the_listed_packages_need() -> None:
    versions = {name for name, _ in pinned(dev.LOCKS[-1])}
    seen: set[str] = set()
    left = [each for file in dev.LISTS for each in listed(file)]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        applies = wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in ["", *wanted.extras])
        if name in seen or not applies:
            continue
        seen.add(name)
        assert name in versions, AGAIN
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # only for making locks
        extras = ["", *wanted.extras]
        found = map(Requirement, needs)
        left += [
            each for each in found if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras)
        ]


def test_newer_versions_are_proposed_for_every_list() -> None:
    configured = yaml.safe_load((PROJECT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    (updates,) = (each for each in configured["updates"] if each["package-ecosystem"] == "pip")
    folders = {f"/{Path(file).parent.as_posix()}".removesuffix(".") for file in dev.LISTS}
    assert set(updates["directories"]) == folders
