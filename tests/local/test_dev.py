"""dev.py: what it installs and when, what it hands over to, and one clear line for whatever keeps it from that."""

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import dev
from local.installer import reason_in
from tests.support.ports import lasting_port
from tests.support.requirements import need

pytestmark = pytest.mark.skipif(os.name != "posix", reason="its stand-ins for node, pip and apt are shell scripts")

LISTS = dev.FOR_RUNNING + dev.FOR_TESTING
PACKAGES = ("local/__init__.py", "local/run/__init__.py", "local/look/__init__.py")
NEEDED = (
    "dev.py",
    "local/azurite.py",
    "local/installer.py",
    "local/run/options.py",
    "local/look/options.py",
    *PACKAGES,
    *LISTS,
)
AZURITE_JS = Path("node_modules/azurite/dist/src/azurite.js")


@pytest.fixture
def calls(tmp_path):
    """The file in which stand-in programs note how they were called."""
    return tmp_path / "calls.txt"


@pytest.fixture
def program(tmp_path, calls, monkeypatch):
    """Puts a shell script that notes its calls into a folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))

    def program(name, script="", folder=tmp_path / "programs"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\nPATH=/usr/bin:/bin\n{script}\n')
        (folder / name).chmod(0o755)
        return folder / name

    return program


@pytest.fixture
def machine(tmp_path, program, monkeypatch):
    """No Debian, with a copy of what dev.py needs of this project, and a Python that only notes its calls."""
    for name in ("AZURITE_DIR", "CI", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    for name in NEEDED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(dev.ROOT / name, root / name)
    return dev.Machine(root, str(program("python")), makes_venvs=True, is_debian=False, is_root=False)


@pytest.fixture
def venv(machine, program):
    """Gives the project an environment whose Python does what a script says."""
    return lambda script="": program("python", script, machine.root / ".venv" / "bin")


def lines_of(file, start=""):
    return [line for line in file.read_text().splitlines() if line.startswith(start)] if file.exists() else []


def refusal(capsys, machine, *arguments):
    """The one line of standard error with which it ends with status 1."""
    assert dev.main(list(arguments), machine) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("dev.py: ")


# What it needs of the machine


def test_python_3_8_can_read_it_so_that_it_can_say_that_it_is_too_old():
    for file in ("dev.py", "local/__init__.py", "local/installer.py"):
        ast.parse((dev.ROOT / file).read_text(encoding="utf-8"), feature_version=(3, 8))
    with pytest.raises(dev.Refusal, match=r"^Python 3\.11 or newer is needed, this is 3\.8: .*$"):
        dev.refuse_old_python((3, 8))
    dev.refuse_old_python((3, 11))


@pytest.mark.parametrize(
    ("command", "node", "words"),
    [
        ("run", None, "Node.js is missing (no `node` on PATH): install version 18 or newer, from https://nodejs.org"),
        ("test", "v16.20.2", "Node.js 18 or newer is needed, `node --version` says 'v16.20.2'"),
        ("test", "v18.0.0", "npm is missing (it comes with Node.js): it installs azurite@"),
    ],
)
def test_what_is_missing_is_one_clear_line(capsys, machine, program, *, command, node, words):
    if node:
        program("node", f"echo {node}")
    assert refusal(capsys, machine, command).startswith(words)


def test_a_taken_port_is_one_clear_line_before_anything_is_installed(capsys, machine, program, calls):
    program("node", "echo v18.0.0")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        assert refusal(capsys, machine, "run", "--port", port).startswith(f"port {port} is taken")
    assert lines_of(calls) == ["node --version"]


@pytest.mark.parametrize(
    ("command", "module"), [("check-config", ["local.look", "check-config"]), ("package", ["local.package"])]
)
def test_what_needs_no_storage_needs_no_node(machine, venv, calls, monkeypatch, *, command, module):
    handed_over = []
    monkeypatch.setattr(os, "execve", lambda *call: handed_over.append(call[1]))
    monkeypatch.chdir(machine.root)
    venv()
    dev.main([command], machine)
    assert [given[1:] for given in handed_over] == [["-m", *module]]
    assert not lines_of(calls, "n"), "neither node nor npm"


@pytest.mark.parametrize(
    "arguments",
    [
        "run --for 0",
        "run --for inf",
        "run --port 70000",
        "run --source v21",
        "check -x",
        "preview --limit 0",
        "check-config --reveal",
        "",
    ],
)
def test_a_wrong_argument_is_a_matter_of_usage(capsys, machine, arguments):
    with pytest.raises(SystemExit) as ended:
        dev.main(arguments.split(), machine)
    assert (ended.value.code, "usage: dev.py" in capsys.readouterr().err) == (2, True)


# What it installs


def test_azurite_is_installed_into_the_project_once_and_again_if_that_was_cut_short(machine, program, calls):
    folder = machine.root / ".local" / "azurite"
    program("npm", f'mkdir -p "{(folder / AZURITE_JS).parent}" && touch "{folder / AZURITE_JS}"')
    assert dev.provide_azurite(machine) == dev.provide_azurite(machine) == folder
    (call,) = lines_of(calls)
    assert call.startswith(f"npm install --prefix {folder} ")
    assert call.endswith(" azurite@3.35.0")
    (folder / "installed.txt").unlink()
    dev.provide_azurite(machine)
    assert lines_of(calls) == [call, call]


def test_axe_is_installed_beside_azurite_once_and_what_keeps_it_out_keeps_out_no_other_test(
    capsys, machine, program, calls
):
    folder = machine.root / ".local" / "azurite"
    dev.provide_axe(folder, machine)
    assert "npm is missing" in (said := capsys.readouterr().out)
    assert "the tests that need axe-core are skipped" in said
    script = (folder / "node_modules" / "axe-core") / "axe.min.js"
    program("npm", f'mkdir -p "{script.parent}" && touch "{script}"')
    for _ in range(2):
        dev.provide_axe(folder, machine)
    (call,) = lines_of(calls, "npm install")
    assert call.endswith(f" {dev.AXE}")


def test_requirements_are_installed_once_and_again_when_a_list_has_changed(machine, venv, calls):
    venv()
    for lists in (LISTS, LISTS, LISTS[:1]):
        dev.provide_requirements(lists, machine)
    (call,) = lines_of(calls, "python -m pip install ")
    assert call.endswith(" ".join(["--require-hashes", *(f"-r {machine.root / name}" for name in LISTS)]))
    assert json.loads((machine.root / ".venv" / "installed.json").read_text()).keys() == set(LISTS)
    for number, name in enumerate(LISTS, start=2):
        (machine.root / name).write_text("# changed\n")
        dev.provide_requirements(LISTS, machine)
        assert len(lines_of(calls, "python -m pip")) == number


def test_a_lock_is_made_of_all_lists_first_and_the_shorter_ones_agree_with_it(machine, venv, calls):
    venv()
    assert dev.main(["lock"], machine) == 0
    made = [line.rpartition("python dev.py lock ")[2] for line in lines_of(calls, "python -m uv pip compile ")]
    texts = "requirements.txt", "local/requirements.txt", "tests/requirements.txt"
    assert made == [
        f"{' '.join(texts)} --output-file tests/requirements.lock",
        f"--constraint tests/requirements.lock {' '.join(texts[:2])} --output-file local/requirements.lock",
        f"--constraint tests/requirements.lock {texts[0]} --output-file requirements.lock",
    ]


def test_requirements_that_failed_are_tried_again(capsys, machine, venv):
    venv('case "$*" in *install*) echo "ERROR: broken wheel"; exit 1;; esac')
    assert [refusal(capsys, machine, "check") for _ in range(2)] == ["pip failed: ERROR: broken wheel"] * 2


def test_an_environment_that_works_is_kept_and_another_made_anew(machine, venv, calls):
    for script in ("", "exit 1"):
        venv(script)
        dev.provide_venv(machine)
    assert lines_of(calls, "python -m") == [f"python -m venv --clear {machine.root}/.venv"]


def test_a_python_without_venv_gets_it_from_apt_for_root_on_debian_and_is_one_clear_line_else(machine, program, calls):
    package = "python{}.{}-venv".format(*sys.version_info)
    bare = replace(machine, makes_venvs=False)
    for other in (replace(bare, is_debian=True), replace(bare, is_root=True)):
        with pytest.raises(dev.Refusal, match=rf"cannot make virtual environments: .*apt-get install {package}"):
            dev.provide_venv(other)
    program("apt-get")
    dev.provide_venv(replace(bare, is_debian=True, is_root=True))
    assert lines_of(calls, "apt-get install")[0].endswith(f"--no-install-recommends {package}")


# A Debian without tdsodbc, where libltdl7 was removed but not forgotten.
COMPLETE = "\n".join(f"echo {name} installed" for name in dev.DEBIAN_PACKAGES)
LACKING = COMPLETE.replace("echo tdsodbc", "#").replace("libltdl7 installed", "libltdl7 config-files") + "\nexit 1"
NO_BROWSER = COMPLETE.replace("echo chromium", "#") + "\nexit 1"
UPDATE, INSTALL = "apt-get update --quiet", "apt-get install --quiet --yes --no-install-recommends tdsodbc libltdl7"
FAILING = "echo 'E: no such package'; exit 1"


@pytest.mark.parametrize(
    ("who", "query", "apt", "asked", "said"),
    [
        ("root on Debian", LACKING, "", [UPDATE, INSTALL], "Installing tdsodbc, libltdl7 with apt"),
        ("root on Debian", COMPLETE, "", [], ""),
        ("root on Debian", LACKING, FAILING, [UPDATE], "E: no such package; the tests that need tdsodbc, libltdl7 are"),
        (
            "root on Debian",
            NO_BROWSER,
            FAILING,
            [UPDATE],
            "E: no such package; the tests that need chromium are skipped",
        ),
        ("Debian", LACKING, "", [], "tdsodbc, libltdl7 are missing: `sudo apt-get install tdsodbc libltdl7`"),
        ("root", LACKING, "", [], "MariaDB, PostgreSQL, FreeTDS's ODBC driver or Chromium are skipped"),
    ],
)
def test_what_tests_need_of_the_system_is_installed_where_that_is_allowed(
    capsys, machine, program, calls, *, who, query, apt, asked, said
):
    program("dpkg-query", query)
    program("apt-get", f'[ "$DEBIAN_FRONTEND" = noninteractive ] || exit 9\n{apt}')
    dev.provide_debian_packages(replace(machine, is_debian="Debian" in who, is_root="root" in who))
    assert lines_of(calls, "apt-get") == asked
    printed = capsys.readouterr().out
    assert said in printed if said else not printed


# What failed installers say


SAID = {
    "Reading package lists...\nE: Unable to locate package x\n\n": "E: Unable to locate package x",
    "npm error code EACCES\nnpm error a closed folder\nnpm error A complete log of": "npm error a closed folder",
    "ERROR: Could not find a version\nERROR: No matching distribution\n": "ERROR: No matching distribution",
    "something else\nlast words\n": "last words",
    "": "it does not say why",
}


def test_the_reason_of_a_failed_installer_is_one_line_of_its_own_words():
    assert {output: reason_in(output) for output in SAID} == SAID


@pytest.mark.parametrize(
    "command",
    [
        "npm install --fetch-retries=0 --registry={address} --prefix={folder} --cache={folder} azurite",
        "{python} -m pip download --isolated --retries=1 --index-url={address} --dest={folder} --no-cache-dir flask",
    ],
    ids=["npm", "pip"],
)
def test_an_installer_without_a_network_is_understood(tmp_path, command, closed_port):
    address = f"http://127.0.0.1:{closed_port}"
    program, *arguments = command.format(python=sys.executable, address=address, folder=tmp_path).split()
    need(None if shutil.which(program) else f"{program} is not installed")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode
    assert reason_in(ran.stdout + ran.stderr).startswith("it cannot reach its package index; look at the network")


# What it hands over to


@pytest.mark.parametrize(
    ("arguments", "handed_over"),
    [
        ("run --source calllog --for 2.5 --port {port}", "-m local.run --port {port} --for 2.5 --source calllog"),
        ("test -k poll --maxfail=1", "-m pytest -n 4 --dist loadfile --no-loadscope-reorder -k poll --maxfail=1"),
        ("faults --minutes 3", "-m tests.faults --minutes 3"),
        ("bench --only submit", "-m tests.bench --only submit"),
        ("preview --limit 5 --reveal", "-m local.look preview --limit 5 --reveal"),
        ("preview", "-m local.look preview --limit 20"),
        ("check-config", "-m local.look check-config"),
    ],
    ids=["run", "test", "faults", "bench", "preview", "preview by default", "check-config"],
)
def test_it_goes_on_as_the_environments_python(machine, program, venv, tmp_path, *, arguments, handed_over):
    """With an Azurite of one's own, which is taken as it is."""
    program("node", "echo v20.0.0")
    said = '"$AZURITE_DIR, ${PYTHONDONTWRITEBYTECODE-bytecode is kept}: $*"'
    venv(f'case "$*" in "-c "*|*pip*) exit 0;; esac; echo {said}; exit 7')
    (tmp_path / AZURITE_JS).parent.mkdir(parents=True)
    (tmp_path / AZURITE_JS).touch()
    port = lasting_port()
    command = [sys.executable, machine.root / "dev.py", *arguments.format(port=port).split()]
    environment = os.environ | {"AZURITE_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (7, "")
    assert ran.stdout.splitlines()[-1] == f"{tmp_path}, bytecode is kept: {handed_over.format(port=port)}"


def test_check_does_all_three_even_if_one_fails_and_mends_the_format_only_outside_ci(machine, venv, calls, monkeypatch):
    venv('case "$*" in *ruff*) exit 1;; esac')
    for ci, formatting in (("", "ruff format"), ("1", "ruff format --check")):
        monkeypatch.setenv("CI", ci)
        assert dev.main(["check"], machine) == 1
        commands = [formatting, "ruff check", "mypy function_app.py cdr shared local infra dev.py"]
        assert lines_of(calls)[-3:] == [f"python -m {command}" for command in commands]
