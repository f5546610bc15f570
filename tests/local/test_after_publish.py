"""infra/after_publish.py: it asks until the platform lists every function, looks at /health, and says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from infra import after_publish

pytestmark = pytest.mark.skipif(os.name != "posix", reason="its stand-in for az is a shell script")

PROJECT = Path(__file__).parents[2]
ALL = sorted(after_publish.functions_in(after_publish.FUNCTIONS.read_text(encoding="utf-8")))
WELL = json.dumps({"status": "ok", "parts": {"database": {"state": "ok", "duration_ms": 3}}})
UNWELL = json.dumps(
    {
        "status": "unavailable",
        "parts": {
            "storage": {"state": "ok", "duration_ms": 3},
            "database": {"state": "misconfigured", "duration_ms": 3},
            "api": {"state": "unavailable", "duration_ms": 3},
        },
    }
)


@dataclass
class Platform:
    """What `az` lists and what the app answers, one after the other; the last one for ever."""

    folder: Path
    listed: list[list[str]] = field(default_factory=lambda: [ALL])
    answers: list[tuple[int, str]] = field(default_factory=lambda: [(200, WELL)])
    login: str = "echo sub-1"
    sync: str = ""
    url: str = ""

    def install(self) -> None:
        """`az` as a script that notes its calls."""
        for number, names in enumerate(self.listed):
            (self.folder / f"list{number}").write_text("".join(f"cdr-example/{name}\n" for name in names))
        program = self.folder / "bin" / "az"
        program.parent.mkdir()
        program.write_text(f"""#!/bin/sh
PATH=/usr/bin:/bin
cd {self.folder}
echo "$*" >> calls
case "$*" in
  account*) {self.login} ;;
  rest*) echo x >> synced; {self.sync} ;;
  *list*) n=$(($(wc -l < synced) - 1)); [ $n -ge {len(self.listed)} ] && n={len(self.listed) - 1}; cat list$n ;;
  *) echo cdr-example.azurewebsites.net ;;
esac
""")
        program.chmod(0o755)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """azd's variables are set, as in its hook, and `az` and the app are stand-ins."""
    made = Platform(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(code if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        for name, value in {
            "AZURE_RESOURCE_GROUP": "cdr",
            "AZURE_SUBSCRIPTION_ID": "sub-1",
            "SERVICE_FUNCTIONS_NAME": "cdr-example",
            "SERVICE_FUNCTIONS_URI": made.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield made
        server.shutdown()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, minutes: float = 0.5) -> tuple[int, str]:
    """The status, and the last line."""
    status = after_publish.main([*arguments, "--pause", "0.01", "--minutes", str(minutes)])
    out, err = capsys.readouterr()
    return status, (err or out).splitlines()[-1]


def test_it_asks_for_the_triggers_until_every_function_is_listed(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.listed = [["WarmUp"], ["WarmUp", "health"], ["WarmUp", *ALL]]
    platform.install()
    assert said(capsys) == (0, f"Well: cdr-example runs its {len(ALL)} functions, and {platform.url}/health says ok.")
    sync = "/subscriptions/sub-1/resourceGroups/cdr/providers/Microsoft.Web/sites/cdr-example/host/default/sync"
    synchronised = [call for call in platform.calls() if call.startswith("rest")]
    assert synchronised == [f"rest --method post --url {sync}?api-version=2023-12-01"] * 3


def test_a_host_that_is_just_starting_is_asked_again(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    platform.sync = '[ $(wc -l < synced) -gt 1 ] || { echo "ERROR: Conflict" >&2; exit 1; }'
    platform.answers = [(503, "<html>starting</html>"), (503, UNWELL), (200, WELL)]
    platform.install()
    assert said(capsys)[0] == 0


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (["WarmUp"], ("lists none of the", "another version of Python", "python3 dev.py package")),
        ([], ("lists none of the", "cannot be loaded")),
        (ALL[2:], (f"does not list {ALL[0]}, {ALL[1]},", "publish again")),
    ],
    ids=["warm-up only", "nothing", "an older package"],
)
def test_functions_that_are_never_listed_are_named_with_what_to_do(
    platform: Platform, capsys: pytest.CaptureFixture[str], listed: list[str], words: tuple[str, ...]
) -> None:
    platform.listed = [listed]
    platform.install()
    status, line = said(capsys, minutes=0)
    assert (status, [word for word in words if word not in line]) == (1, [])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, UNWELL), ("database misconfigured (poll.failed", "api unavailable (api.denied")),
        ((404, ""), ("/health answers 404", "not as this app does")),
        ((500, "{}"), ("/health answers 500",)),
        ((503, '{"parts": {"api": {"state": "ok"}}}'), ("/health answers 503",)),
    ],
    ids=["parts", "no route", "not ours", "no part to name"],
)
def test_an_app_that_is_not_well_is_one_line_that_says_where_to_look(
    platform: Platform, capsys: pytest.CaptureFixture[str], answer: tuple[int, str], words: tuple[str, ...]
) -> None:
    platform.answers = [answer]
    platform.install()
    status, line = said(capsys, minutes=0)
    assert (status, [word for word in words if word not in line]) == (1, [])
    assert "storage" not in line


def test_an_app_that_does_not_answer_is_not_well(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_FUNCTIONS_URI", "http://127.0.0.1:1/")
    platform.install()
    status, line = said(capsys, minutes=0)
    assert (status, line.startswith("Not well: http://127.0.0.1:1/health does not answer (")) == (1, True)


def test_the_azure_cli_has_to_be_there_and_logged_in(platform: Platform, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == (
        1,
        "Not well: `az`, the Azure CLI, is not installed: install it, `az login`, and start this again",
    )
    platform.login = """echo "WARNING: old" >&2; echo "ERROR: Please run 'az login' to setup account." >&2; exit 1"""
    platform.install()
    assert said(capsys) == (1, "Not well: az account show: Please run 'az login' to setup account.")


def test_by_hand_it_finds_the_app_s_address_itself(
    platform: Platform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_RESOURCE_GROUP", "AZURE_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name)
    platform.listed = [[]]
    platform.install()
    with pytest.raises(SystemExit, match="2"):
        after_publish.main([])
    assert said(capsys, "--resource-group", "other", "--app", "by-hand", minutes=0)[0] == 1
    which = "--resource-group other --name by-hand --subscription sub-1"
    assert platform.calls()[:2] == [
        "account show --query id --output tsv",
        f"functionapp show {which} --query defaultHostName --output tsv",
    ]


def test_the_hook_of_azd_runs_it(platform: Platform) -> None:
    """As azd does: the text of the hook, given to sh in the folder of the service."""
    platform.install()
    (platform.folder / "bin" / "python3").symlink_to(sys.executable)
    hook = yaml.safe_load((PROJECT / "azure.yaml").read_text(encoding="utf-8"))["services"]["functions"]["hooks"]
    command = ["/bin/sh", "-c", hook["postdeploy"]["posix"]["run"]]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1][:5]) == (0, "Well:")
