"""After publishing: lets the platform take up the functions, and says in one line how they are.

    python3 infra/after_publish.py [--resource-group NAME] [--app NAME]

A deployment that succeeded may run nothing: until its triggers are synchronised the platform may list no more than a
warm-up function, and start no timer. So this asks for that until every function of function_app.py is listed, and then
looks at /health. azd calls it after `azd deploy` and names the app by its variables; so does who publishes by hand.
It needs `az`, logged in. The status is 0 only if all is well.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

FUNCTIONS = Path(__file__).resolve().parents[1] / "function_app.py"
API_VERSION = "2023-12-01"
ANSWER_S = 20
"""/health takes 8 seconds at most; the host may just be starting."""

LOOK_AT = {
    "configuration": "config.invalid in the log has every mistake",
    "storage": "a role or a DNS record may still be on its way, else look at the app's roles and private endpoints",
    "database": "poll.failed in the log has the reason: the route, the port, the login, or a vault reference",
    "source": "source_watch of /status says what is wrong with the phone system's records",
    "api": "api.denied or call.put_back in the log has the reason: apiBaseUrl, the credentials, or the way there",
}


class NotWell(Exception):
    """What is wrong and what to do about it; one line for the person at the terminal."""


@dataclass(frozen=True)
class App:
    subscription: str
    resource_group: str
    name: str
    url: str
    """Without a slash at the end."""

    @property
    def id(self) -> str:
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.Web/sites/{self.name}"


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        app = find_app(options.resource_group, options.app)
        count = synchronise(app, functions_in(FUNCTIONS.read_text(encoding="utf-8")), options.minutes, options.pause)
        look_at_health(app, options.minutes, options.pause)
    except NotWell as exc:
        print(f"Not well: {exc}", file=sys.stderr)
        return 1
    print(f"Well: {app.name} runs its {count} functions, and {app.url}/health says ok.")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Lets the platform take up what was published, and looks at it.")
    parser.add_argument("--resource-group", default=os.environ.get("AZURE_RESOURCE_GROUP", ""))
    parser.add_argument("--app", default=os.environ.get("SERVICE_FUNCTIONS_NAME", ""), help="name of the function app")
    parser.add_argument(
        "--minutes", type=float, default=5, help="how long to wait, first for the list, then for /health"
    )
    parser.add_argument("--pause", type=float, default=10, help="seconds between two looks")
    options = parser.parse_args(arguments)
    if not (options.resource_group and options.app):
        parser.error("which app? give --resource-group and --app (azd gives them in its variables)")
    return options


def functions_in(code: str) -> set[str]:
    """The functions that the platform has to list: those with a decorator of the app."""
    return {
        node.name
        for node in ast.parse(code).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(ast.unparse(decorator).startswith("app.") for decorator in node.decorator_list)
    }


def find_app(resource_group: str, name: str) -> App:
    """azd's variables are of its own app, and its login need not be that of `az`.

    :raises NotWell: `az` does not get at it
    """
    known = os.environ.get("AZURE_SUBSCRIPTION_ID")
    asked = ("--subscription", known) if known else ()
    subscription = az("account", "show", *asked, "--query", "id", "--output", "tsv")
    if name == os.environ.get("SERVICE_FUNCTIONS_NAME") and (url := os.environ.get("SERVICE_FUNCTIONS_URI")):
        return App(subscription, resource_group, name, url.rstrip("/"))
    which = ("--resource-group", resource_group, "--name", name, "--subscription", subscription)
    host = az("functionapp", "show", *which, "--query", "defaultHostName", "--output", "tsv")
    return App(subscription, resource_group, name, f"https://{host}")


def synchronise(app: App, wanted: set[str], minutes: float, pause: float) -> int:
    """Ask for it until every wanted function is listed, and return how many these are.

    :raises NotWell: some never are
    """

    def missing() -> str:
        which = ("--resource-group", app.resource_group, "--name", app.name, "--subscription", app.subscription)
        try:
            az("rest", "--method", "post", "--url", f"{app.id}/host/default/sync?api-version={API_VERSION}")
            listed = az("functionapp", "function", "list", *which, "--query", "[].name", "--output", "tsv")
        except NotWell as exc:  # a host that is just starting refuses both
            return str(exc)
        return why_not_all(wanted, {line.rpartition("/")[2].strip() for line in listed.splitlines()})

    until_it_is_well(missing, "Waiting for the platform to list the functions", minutes, pause)
    return len(wanted)


def why_not_all(wanted: set[str], listed: set[str]) -> str:
    """Nothing, if all are there."""
    absent = wanted - listed
    if not absent:
        return ""
    if absent == wanted:
        return (
            f"the platform lists none of the {len(wanted)} functions: function_app.py cannot be loaded there. Mostly "
            "its packages are missing or for another version of Python: `python3 dev.py package`, and publish again "
            "without a remote build"
        )
    return f"the platform does not list {', '.join(sorted(absent))}, which may be of an older package: publish again"


def look_at_health(app: App, minutes: float, pause: float) -> None:
    """:raises NotWell: it is not well in time"""
    until_it_is_well(lambda: why_unwell(app.url), f"Waiting for {app.url}/health", minutes, pause)


def why_unwell(url: str) -> str:
    """Nothing, if /health says ok."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=ANSWER_S) as response:  # noqa: S310 - the app's own address
            return "" if response.status == HTTPStatus.OK else f"{url}/health answers {response.status}"
    except urllib.error.HTTPError as exc:
        return unwell_parts(exc.read()) or f"{url}/health answers {exc.code}, and not as this app does: is it running?"
    except OSError as exc:
        reason = getattr(exc, "reason", exc)
        return f"{url}/health does not answer ({reason}): is the app stopped, or closed to this network?"


def unwell_parts(body: bytes) -> str:
    """Nothing, if this is no answer of ours."""
    try:
        answer = json.loads(body)
        unwell = {name: part["state"] for name, part in answer["parts"].items() if part["state"] != "ok"}
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
    said = [f"{name} {state} ({LOOK_AT.get(name, 'see the log')})" for name, state in unwell.items()]
    return f"/health says {'; '.join(said)}" if said else ""


def until_it_is_well(look: Callable[[], str], waiting: str, minutes: float, pause: float) -> None:
    """Look again while there is a reason and time.

    :raises NotWell: with the last reason
    """
    deadline = time.monotonic() + minutes * 60
    print(waiting, flush=True)
    while reason := look():
        if time.monotonic() + pause > deadline:
            raise NotWell(reason)
        time.sleep(pause)


def az(*arguments: str) -> str:
    """What the Azure CLI prints.

    :raises NotWell: it is not there, or says no
    """
    program = shutil.which("az")  # on Windows it is a script, which only its whole name starts
    if program is None:
        raise NotWell("`az`, the Azure CLI, is not installed: install it, `az login`, and start this again")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no reason")
        raise NotWell(f"az {' '.join(arguments[:2])}: {re.sub('^ERROR: *', '', said)}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
