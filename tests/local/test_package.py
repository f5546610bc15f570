"""What is published: the files that .funcignore leaves, and the packages for the app's Python and Linux."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pathspec
import pytest

from infra.after_publish import functions_in
from local import package
from tests.support.requirements import need

PUBLISHED = {
    ".python_packages",
    "cdr",
    "config",
    "function_app.py",
    "host.json",
    "requirements.lock",
    "requirements.txt",
    "shared",
}
LEFT_BY_TOOLS = [
    ".azure/cdr/.env",
    ".cache/pip/a",
    ".coverage",
    ".devcontainer/devcontainer.json",
    ".env",
    ".env.local",
    ".envrc",
    ".git/config",
    ".history/function_app.py",
    ".hypothesis/examples/1",
    ".idea/workspace.xml",
    ".local/azurite/azurite.js",
    ".mypy_cache/3.11/cdr.json",
    ".pytest_cache/v",
    ".ruff_cache/0.1/1",
    ".tox/py312/bin/python",
    ".venv/bin/python",
    ".vscode/settings.json",
    ".DS_Store",
    "cdr/.DS_Store",
    "AzuriteConfig",
    "__azurite_db_queue__.json",
    "__queuestorage__/7d1c0f3c",
    "3cx_env/bin/python",
    "app.zip",
    "env/bin/python",
    "venv/bin/python",
    "__pycache__/function_app.cpython-312.pyc",
    "cdr/__pycache__/a.cpython-312.pyc",
    "cdr/edges/sql/__pycache__/b.pyc",
    "config/old.pyc",
    "func.log",
    "htmlcov/index.html",
    "infra/secrets.local.json",
    "local.settings.json",
    "local.settings.mine.json",
    "node_modules/azurite/package.json",
]
BROUGHT = [".python_packages/lib/site-packages/requests/api.py", ".python_packages/lib/site-packages/_yaml/__init__.py"]

Ignores = Callable[[Iterable[str]], list[str]]


def as_git_does(files: Iterable[str]) -> list[str]:
    spec = pathspec.GitIgnoreSpec.from_lines(patterns())
    return [file for file in files if not spec.match_file(file)]


def as_core_tools_does(files: Iterable[str]) -> list[str]:
    """A pattern is the beginning of a path that ends where a word does; * is one character or more, without a slash."""
    beginnings = [re.escape(p).replace(r"\*\*", "(.+)").replace(r"\*", "([^/]+)") for p in patterns()]
    denied = re.compile(rf"^({'|'.join(beginnings)})\b", re.ASCII)
    return [file for file in files if not denied.match(file)]


def patterns() -> list[str]:
    lines = (package.ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def committed() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listed, cwd=package.ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("ignoring", [as_git_does, as_core_tools_does])
def test_what_is_published_is_what_runs_and_nothing_that_a_tool_left(ignoring: Ignores) -> None:
    kept = ignoring([*committed(), *LEFT_BY_TOOLS, *BROUGHT])
    assert {file.partition("/")[0] for file in kept} == PUBLISHED
    assert [file for file in LEFT_BY_TOOLS if file in kept] == []
    runs = [file for file in committed() if file.partition("/")[0] in PUBLISHED]
    assert [file for file in (*runs, *BROUGHT) if file not in kept and not file.endswith(".md")] == []


def test_secrets_that_azd_or_a_person_keeps_here_are_never_committed() -> None:
    private = [".azure/cdr/.env", ".env", "local.settings.json", "infra/secrets.local.json", ".python_packages/a"]
    asked = subprocess.run(
        ["git", "check-ignore", *private], cwd=package.ROOT, capture_output=True, text=True, check=True
    )
    assert asked.stdout.split() == private


def install(target: Path, python: str, capfd: pytest.CaptureFixture[str]) -> None:
    status = package.install(package.ROOT / "requirements.lock", target, python)
    said = capfd.readouterr().err
    need("the package index" if re.search(r"error sending request|dns error|Failed to fetch", said) else None)
    assert (status, said) == (0, "")


def test_what_is_published_is_enough_to_load_every_function(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With nothing of this environment; its Python stands in for the app's."""
    for file in as_core_tools_does(committed()):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package.ROOT / file, tmp_path / file)
    install(tmp_path / package.TARGET, "{}.{}".format(*sys.version_info), capfd)
    load = (
        f"import sys, json; sys.path[:0] = {[str(tmp_path), str(tmp_path / package.TARGET)]}; import function_app as f"
    )
    tell = "print(json.dumps([each.get_function_name() for each in f.app.get_functions()]))"
    alone = [sys.executable, "-S", "-E", "-c", f"{load}; {tell}"]
    done = subprocess.run(alone, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = functions_in((package.ROOT / "function_app.py").read_text(encoding="utf-8"))
    assert sorted(json.loads(done.stdout)) == sorted(wanted)


def test_the_packages_are_those_of_the_lock_for_the_app_s_python_and_linux(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever this machine has; an earlier package is gone."""
    target = tmp_path / "packages"
    (target / "left").mkdir(parents=True)
    python = package.python_of_the_app((package.ROOT / "infra/app.bicep").read_text(encoding="utf-8"))
    install(target, python, capfd)
    compiled = {file.suffixes[0] if len(file.suffixes) > 1 else "" for file in target.rglob("*.so")}
    assert f".cpython-{python.replace('.', '')}-x86_64-linux-gnu" in compiled
    assert {suffix for suffix in compiled if suffix.startswith(".cpython")} == {
        f".cpython-{python.replace('.', '')}-x86_64-linux-gnu"
    }
    installed = {path.name.split("-")[0].lower() for path in target.glob("*.dist-info")}
    assert {"pyodbc", "psycopg_binary", "azure_functions"} <= installed
    assert not (target / "left").exists()
