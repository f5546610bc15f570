"""dev.py: what it installs and when, what it hands over to, and one clear line for whatever keeps it from that."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import dev

pytestmark = pytest.mark.skipif(os.name != "posix", reason="its stand-ins for node, pip and apt are shell scripts")

PROJECT = Path(dev.__file__).parent
LISTS = ("requirements.txt", "local/requirements.txt", "tests/requirements.txt")


@pytest.fixture
def programs(tmp_path):
    """A folder to have as PATH, in which `program` puts what a test needs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


@pytest.fixture
def calls(tmp_path):
    """The file in which stand-in programs note how they were called."""
    return tmp_path / "calls.txt"


@pytest.fixture
def project(tmp_path):
    """A copy of what dev.py needs of this project."""
    copy = tmp_path / "project"
    for name in (
        "dev.py",
        "local/__init__.py",
        "local/azurite.py",
        "local/run/__init__.py",
        "local/run/options.py",
        *LISTS,
    ):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, copy / name)
    return copy


@pytest.fixture
def in_project(project, monkeypatch):
    monkeypatch.setattr(dev, "ROOT", project)
    return project


@pytest.fixture
def azurite(tmp_path):
    """A folder that looks as if Azurite were installed in it."""
    entry = tmp_path / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    entry.parent.mkdir(parents=True)
    entry.touch()
    return tmp_path / "azurite"


def program(folder, name, script="", *, notes=None):
    folder.mkdir(parents=True, exist_ok=True)
    note = f'echo "{name} $*" >> "{notes}"\n' if notes else ""
    (folder / name).write_text(f"#!/bin/sh\n{note}{script}\n")
    (folder / name).chmod(0o755)


def venv_python(project, script="", notes=None):
    program(project / ".venv" / "bin", "python", script, notes=notes)


def run_dev(project, *arguments, path, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "AZURITE", "CI"))}
    return subprocess.run(
        [sys.executable, str(project / "dev.py"), *arguments],
        env=clean | {"PATH": str(path)} | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def assert_refused(result, *words):
    """Status 1, and one line with these words on standard error."""
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("dev.py: ")
    for word in words:
        assert word in line


def lines_of(file):
    return file.read_text().splitlines() if file.exists() else []


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


# What it needs of the machine


def test_python_3_8_can_read_it_so_that_it_can_say_that_it_is_too_old():
    ast.parse((PROJECT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    with pytest.raises(dev.Refusal, match=r"^Python 3\.11 or newer is needed, this is 3\.8: .*$"):
        dev.refuse_old_python((3, 8))


@pytest.mark.parametrize("version", [(3, 11), (3, 14)])
def test_a_python_that_is_new_enough_is_not_refused(version):
    dev.refuse_old_python(version)


@pytest.mark.parametrize("command", ["run", "test"])
def test_a_missing_node_is_one_clear_line(project, programs, command):
    assert_refused(run_dev(project, command, path=programs), "Node.js is missing", "18 or newer", "nodejs.org")


def test_an_old_node_is_one_clear_line(project, programs):
    program(programs, "node", "echo v16.20.2")

    assert_refused(run_dev(project, "run", path=programs), "Node.js 18 or newer is needed", "v16.20.2")


def test_a_taken_port_is_one_clear_line_before_anything_is_installed(project, programs):
    program(programs, "node", "echo v18.0.0")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        result = run_dev(project, "run", "--port", port, path=programs)

    assert_refused(result, f"port {port} is taken")
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    "arguments",
    [["run", "--for", "0"], ["run", "--for", "inf"], ["run", "--port", "70000"], ["run", "-x"], ["check", "-x"], []],
    ids=" ".join,
)
def test_a_wrong_argument_is_a_matter_of_usage(project, programs, arguments):
    result = run_dev(project, *arguments, path=programs)

    assert result.returncode == 2
    assert "usage: dev.py" in result.stderr
    assert "Traceback" not in result.stderr


# Azurite


def test_a_missing_npm_is_one_clear_line(project, programs):
    program(programs, "node", "echo v20.0.0")

    assert_refused(run_dev(project, "test", path=programs), "npm is missing", "azurite@")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_without_a_network_is_one_clear_line(project, tmp_path):
    environment = {
        "AZURITE_DIR": str(tmp_path / "empty"),
        "npm_config_registry": f"http://127.0.0.1:{closed_port()}",
        "npm_config_cache": str(tmp_path / "cache"),
    }
    result = run_dev(project, "test", path=os.environ["PATH"], **environment)

    assert_refused(result, "npm failed", "cannot reach its package index")


def test_azurite_is_installed_into_the_project_once(in_project, programs, calls, monkeypatch):
    entry = in_project / ".local" / "azurite" / "node_modules" / "azurite" / "dist" / "src"
    program(programs, "npm", f'mkdir -p "{entry}" && touch "{entry}/azurite.js"', notes=calls)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("AZURITE_DIR", raising=False)
    monkeypatch.setattr("local.azurite.default_folder", lambda: in_project / ".local" / "azurite")

    assert dev.provide_azurite() == dev.provide_azurite() == in_project / ".local" / "azurite"
    (call,) = lines_of(calls)
    assert call.startswith(f"npm install --prefix {in_project}/.local/azurite ")
    assert call.endswith(" azurite@3.35.0")


def test_an_installation_that_was_cut_short_is_done_again(in_project, azurite, programs, calls, monkeypatch):
    program(programs, "npm", notes=calls)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("AZURITE_DIR", raising=False)
    monkeypatch.setattr("local.azurite.default_folder", lambda: azurite)

    dev.provide_azurite()
    assert len(lines_of(calls)) == 1


def test_azurite_in_a_folder_of_ones_own_is_taken_as_it_is(azurite, programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("AZURITE_DIR", str(azurite))

    assert dev.provide_azurite() == azurite


# Requirements


def test_requirements_are_installed_once(in_project, calls):
    venv_python(in_project, notes=calls)

    dev.provide_requirements(LISTS[:2])
    dev.provide_requirements(LISTS[:2])

    (call,) = [line for line in lines_of(calls) if "pip install" in line]
    assert call.endswith(f"-r {in_project}/requirements.txt -r {in_project}/local/requirements.txt")


def test_fewer_requirements_than_were_installed_need_nothing(in_project, calls):
    venv_python(in_project, notes=calls)
    dev.provide_requirements(LISTS)
    dev.provide_requirements(LISTS[:2])

    assert len([line for line in lines_of(calls) if "pip install" in line]) == 1


@pytest.mark.parametrize("name", LISTS)
def test_a_changed_list_of_requirements_is_installed_again(in_project, calls, name):
    venv_python(in_project, notes=calls)
    dev.provide_requirements(LISTS)
    with (in_project / name).open("a") as file:
        file.write("# changed\n")
    dev.provide_requirements(LISTS)

    assert len([line for line in lines_of(calls) if "pip install" in line]) == 2


def test_requirements_that_failed_are_tried_again(in_project, calls):
    venv_python(in_project, 'case "$*" in *install*) echo "ERROR: broken wheel"; exit 1;; esac', notes=calls)
    for _ in range(2):
        with pytest.raises(dev.Refusal, match=r"^pip failed: ERROR: broken wheel$"):
            dev.provide_requirements(LISTS)

    assert len([line for line in lines_of(calls) if "pip install" in line]) == 2


def test_pip_without_a_network_is_one_clear_line(project):
    environment = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"http://127.0.0.1:{closed_port()}/simple",
        "PIP_RETRIES": "1",
    }
    result = run_dev(project, "check", path=os.environ["PATH"], **environment)

    assert_refused(result, "pip failed", "cannot reach its package index")
    assert not (project / ".venv" / "installed.json").exists()


# The virtual environment


def test_an_environment_whose_python_does_not_work_is_made_anew(in_project, programs, calls, monkeypatch):
    venv_python(in_project, "exit 1")
    program(programs, "python", notes=calls)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))

    dev.provide_venv()
    assert lines_of(calls) == [f"python -m venv --clear {in_project}/.venv"]


def test_an_environment_that_works_is_kept(in_project, calls, monkeypatch):
    venv_python(in_project, notes=calls)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    dev.provide_venv()
    assert len(lines_of(calls)) == 1


@pytest.fixture
def without_ensurepip(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return "python{}.{}-venv".format(*sys.version_info)


@pytest.mark.parametrize(("debian", "root"), [(True, False), (False, True)])
def test_a_python_without_venv_is_one_clear_line(in_project, without_ensurepip, monkeypatch, debian, root):
    monkeypatch.setattr(dev, "is_debian", lambda: debian)
    monkeypatch.setattr(dev, "is_root", lambda: root)

    with pytest.raises(dev.Refusal, match=rf"cannot make virtual environments: .*{without_ensurepip}"):
        dev.provide_venv()


@pytest.mark.usefixtures("in_project", "debian")
def test_root_on_debian_gets_venv_from_apt(without_ensurepip, calls, programs, monkeypatch):
    monkeypatch.setattr(dev, "is_root", lambda: True)
    program(programs, "python")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))

    dev.provide_venv()
    assert lines_of(calls)[-1].endswith(f"--no-install-recommends {without_ensurepip}")


# Debian's packages


@pytest.fixture
def debian(programs, calls, monkeypatch):
    """A Debian without tdsodbc, where libltdl7 was removed but not forgotten; its apt notes what it is asked for."""
    others = [name for name in dev.DEBIAN_PACKAGES if name not in {"tdsodbc", "libltdl7"}]
    shown = "\\n".join([*(f"{name} installed" for name in others), "libltdl7 config-files"])
    program(programs, "dpkg-query", f"printf '{shown}\\n'; exit 1")
    program(programs, "apt-get", notes=calls)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("DEBIAN_FRONTEND", raising=False)
    monkeypatch.setattr(dev, "is_debian", lambda: True)


def test_root_gets_the_packages_that_are_missing_and_no_others(debian, calls, monkeypatch):
    monkeypatch.setattr(dev, "is_root", lambda: True)

    dev.provide_debian_packages()
    update, install = lines_of(calls)
    assert update.startswith("apt-get update")
    assert install.endswith("--yes --no-install-recommends tdsodbc libltdl7")
    assert os.environ["DEBIAN_FRONTEND"] == "noninteractive"


def test_who_is_not_root_is_told_what_is_missing_and_how_to_get_it(debian, calls, monkeypatch, capsys):
    monkeypatch.setattr(dev, "is_root", lambda: False)

    dev.provide_debian_packages()
    (line,) = capsys.readouterr().out.splitlines()
    assert "skipped" in line
    assert "sudo apt-get install tdsodbc libltdl7" in line
    assert lines_of(calls) == []


def test_an_apt_that_fails_leaves_tests_to_be_skipped(debian, programs, monkeypatch, capsys):
    monkeypatch.setattr(dev, "is_root", lambda: True)
    program(programs, "apt-get", "echo 'E: Unable to locate package tdsodbc'; exit 100")

    dev.provide_debian_packages()
    said = capsys.readouterr().out
    assert "apt-get failed: E: Unable to locate package tdsodbc; the tests that need tdsodbc, libltdl7 are skip" in said


def test_a_debian_with_everything_is_left_alone(debian, programs, calls, monkeypatch, capsys):
    program(programs, "dpkg-query", "\n".join(f"echo {name} installed" for name in dev.DEBIAN_PACKAGES))

    dev.provide_debian_packages()
    assert lines_of(calls) == []
    assert capsys.readouterr().out == ""


def test_elsewhere_nothing_is_installed_and_the_reader_is_told(debian, calls, monkeypatch, capsys):
    monkeypatch.setattr(dev, "is_debian", lambda: False)

    dev.provide_debian_packages()
    assert "MariaDB" in capsys.readouterr().out
    assert lines_of(calls) == []


# What failed installers say


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("npm error code ENOTFOUND\nnpm error network request failed", "it cannot reach its package index"),
        ("WARNING: Retrying after NewConnectionError(...)\nERROR: No matching distribution", "it cannot reach its"),
        ("Reading package lists...\nE: Unable to locate package x\n\n", "E: Unable to locate package x"),
        ("npm error code EACCES\nnpm error the folder is closed\nnpm error A complete log of", "npm error the folder"),
        ("ERROR: Could not find a version\nERROR: No matching distribution found for x\n", "ERROR: No matching"),
        ("something else\nlast words\n", "last words"),
        ("", "it does not say why"),
    ],
)
def test_the_reason_of_a_failed_installer_is_one_line_of_its_own_words(output, reason):
    assert dev.reason_in(output).startswith(reason)
    assert "\n" not in dev.reason_in(output)


# What it hands over to


@pytest.fixture
def set_up(project, programs, azurite, calls):
    """A project in which everything is installed already, with a Python that notes what it is asked and ends with 7."""
    program(programs, "node", "echo v20.0.0")
    venv_python(project, f'case "$*" in "-c "*|*pip*) exit 0;; esac; echo "$AZURITE_DIR: $*" >> "{calls}"; exit 7')

    def run(*arguments, **environment):
        return run_dev(project, *arguments, path=programs, AZURITE_DIR=str(azurite), **environment)

    return run


def test_run_goes_on_as_local_run_with_its_options(set_up, azurite, calls):
    port = closed_port()
    result = set_up("run", "--for", "2.5", "--port", str(port))

    assert lines_of(calls) == [f"{azurite}: -m local.run --port {port} --for 2.5"]
    assert result.returncode == 7


def test_test_goes_on_as_pytest_with_everything_after_it(set_up, azurite, calls):
    result = set_up("test", "tests/unit", "-k", "poll", "--maxfail=1")

    assert lines_of(calls) == [f"{azurite}: -m pytest -n 2 --dist loadfile tests/unit -k poll --maxfail=1"]
    assert result.returncode == 7


@pytest.mark.parametrize(("environment", "formatting"), [({}, "ruff format"), ({"CI": "1"}, "ruff format --check")])
def test_check_does_all_three_even_if_one_fails_and_mends_the_format_only_outside_ci(
    set_up, azurite, calls, environment, formatting
):
    result = set_up("check", **environment)

    commands = [formatting, "ruff check", "mypy function_app.py cdr shared local dev.py"]
    assert lines_of(calls) == [f"{azurite}: -m {command}" for command in commands]
    assert result.returncode == 1


def test_a_record_of_what_is_installed_lies_in_the_environment(set_up, project, calls):
    set_up("check")

    assert json.loads((project / ".venv" / "installed.json").read_text()).keys() == set(LISTS)
