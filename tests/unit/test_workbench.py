"""What editors, the dev container and the workflows are told agrees with the project."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import dev
from infra.after_publish import parse
from local import package

PROJECT = Path(__file__).parents[2]
APP_PYTHON = package.python_of_the_app((PROJECT / "infra/app.bicep").read_text(encoding="utf-8"))


def loaded(file: str) -> Any:
    text = (PROJECT / file).read_text(encoding="utf-8")
    return json.loads(text) if file.endswith(".json") else yaml.safe_load(text)


def tasks() -> dict[str, Any]:
    return {task["label"]: task for task in loaded(".vscode/tasks.json")["tasks"]}


def steps() -> list[dict[str, Any]]:
    return loaded(".github/workflows/deploy.yml")["jobs"]["deploy"]["steps"]


def test_starting_the_debugger_starts_the_emulator_and_the_functions_with_their_packages() -> None:
    (launch,) = loaded(".vscode/launch.json")["configurations"]
    functions = tasks()[launch["preLaunchTask"]]
    assert (launch["request"], functions["command"]) == ("attach", "host start")
    assert set(functions["dependsOn"]) == tasks().keys() - {"functions"}
    assert [task["isBackground"] for task in (functions, tasks()["emulator"])] == [True, True]


def test_emulator_and_locks_are_those_that_dev_py_takes() -> None:
    commands = [
        tasks()["packages"]["command"],
        tasks()["packages"]["windows"]["command"],
        tasks()["emulator"]["command"],
    ]
    commands.append(loaded(".devcontainer/devcontainer.json")["postCreateCommand"])
    assert {found for text in commands for found in re.findall(r"azurite@[\d.]+", text)} == {dev.AZURITE}
    assert {found for text in commands for found in re.findall(r"\S+\.lock", text)} == {
        *dev.FOR_RUNNING,
        *dev.FOR_TESTING,
    }
    assert loaded(".vscode/settings.json")["azureFunctions.pythonVenv"] == ".venv"


def test_the_dev_container_has_the_app_s_python_and_the_recommended_extensions() -> None:
    container = loaded(".devcontainer/devcontainer.json")
    assert f":{APP_PYTHON}-" in container["image"]
    extensions = container["customizations"]["vscode"]["extensions"]
    assert extensions == loaded(".vscode/extensions.json")["recommendations"]
    features = " ".join(container["features"])
    assert [name for name in ("core-tools", "odbc-driver", "node", "azure-cli", "azd") if name not in features] == []


def test_it_is_deployed_on_a_tag_or_by_hand_once_the_tests_pass_and_without_a_password() -> None:
    workflow = loaded(".github/workflows/deploy.yml")
    triggers, job = workflow[True], workflow["jobs"]["deploy"]  # YAML 1.1 takes "on" for a truth value
    assert (triggers["push"], "workflow_dispatch" in triggers) == ({"tags": ["v*"]}, True)
    assert (job["needs"], job["permissions"]["id-token"]) == ("test", "write")
    assert "secrets." not in (PROJECT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")


def test_what_is_deployed_is_brought_together_for_the_app_s_python_and_looked_at_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (python,) = [step["with"]["python-version"] for step in steps() if "setup-python" in step.get("uses", "")]
    assert python == APP_PYTHON
    brought, published, looked_at = [shlex.split(step["run"]) for step in steps()[-3:]]
    assert dev.parse(brought[2:])[0].command == "package"
    assert published[-2:] == ["--python", "--no-build"]
    monkeypatch.setenv("AZURE_RESOURCE_GROUP", "cdr")
    assert parse(looked_at[2:]).app == "$FUNCTION_APP"
    assert (PROJECT / looked_at[1]).is_file()


def test_azd_brings_the_packages_together_and_lets_nothing_be_built_elsewhere() -> None:
    """Also on Windows, where only the name of Python is another one."""
    azure = loaded("azure.yaml")
    (service,) = azure["services"].values()
    assert service["remoteBuild"] is False
    for hook in (*azure["hooks"].values(), *service["hooks"].values()):
        assert hook["posix"]["run"].replace("python3 ", "python ", 1) == hook["windows"]["run"]
        assert (PROJECT / hook["posix"]["run"].split()[1]).is_file()
    assert dev.parse(shlex.split(service["hooks"]["prepackage"]["posix"]["run"])[2:])[0].command == "package"


def test_what_is_published_is_looked_up_for_known_holes_by_the_lock_with_its_hashes() -> None:
    (*_, audit) = loaded(".github/workflows/test.yml")["jobs"]["known-holes"]["steps"]
    assert shlex.split(audit["run"])[:2] == ["pip-audit", "--requirement"]
    assert {dev.LOCKS[0], "--require-hashes"} <= {*shlex.split(audit["run"])}
