"""Before `azd provision`: asks where the calls come from, if azd's environment does not say it yet, and prepares.

azd itself asks for whatever every deployment needs. The database it cannot ask for, since not every source has one. The
answers are kept in azd's environment, in .azure, which is never committed; `azd env set` changes them. Where nobody can
be asked, as in a pipeline, what is missing is said instead. Of a clone from GitHub the runbook's address is known.

A new subscription has to take up the services first (`az provider register`): a deployment does so for the types that
stand in the template, but not for Microsoft.App, to which the app's subnet is delegated.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

SOURCES = ("calllog", "v20", "v18", "auto", "xapi")
WITHOUT_DATABASE = "xapi"
ENGINES = ("sqlserver", "mysql", "postgresql")
OF_3CX = ("v20", "v18")
SECRET_URI = re.compile(r"https://([A-Za-z0-9-]+)\.vault\.[a-z.]+/secrets/[A-Za-z0-9-]+(?:/[0-9a-f]+)?")
NEEDED = ("CDR_DB_ENGINE", "CDR_DB_HOST", "CDR_DB_NAME", "CDR_DB_USER")
PASSWORDS = ("CDR_DB_PASSWORD_SECRET_URI", "CDR_DB_PASSWORD")
"""One of them is needed."""
PROVIDERS = (
    "Microsoft.App",
    "Microsoft.Web",
    "Microsoft.Storage",
    "Microsoft.Network",
    "Microsoft.Insights",
    "Microsoft.OperationalInsights",
    "Microsoft.ManagedIdentity",
)
ON_GITHUB = re.compile(r"(?:https://(?:[^@/]+@)?|git@|ssh://git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?")

Ask = Callable[[str], str]


class Refusal(Exception):
    """One line for the person at the terminal."""


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal; ``ask_secret`` does not show what is typed."""

    ask: Ask
    ask_secret: Ask


def main(environment: Mapping[str, str], person: Person | None) -> int:
    try:
        for name, value in answers(environment, person):
            keep(name, value)
        if not environment.get("RUNBOOK_URL") and (url := runbook_url(origin())):
            keep("RUNBOOK_URL", url)
        if subscription := environment.get("AZURE_SUBSCRIPTION_ID"):
            register_providers(subscription)
    except Refusal as exc:
        print(f"before_provision: {exc}", file=sys.stderr)
        return 1
    return 0


def answers(known: Mapping[str, str], person: Person | None) -> Iterator[tuple[str, str]]:
    """Each variable that is not known, with what the person says.

    :raises Refusal: there is nobody to ask
    """
    source = known.get("CDR_SOURCE", "")
    missing = [name for name in ("CDR_SOURCE", *NEEDED) if not known.get(name)]
    if not has_password(known):
        missing.append(" or ".join(PASSWORDS))
    if source == WITHOUT_DATABASE or not missing:
        return
    if person is None:
        raise Refusal(f"{', '.join(missing)} must be set (`azd env set`), or CDR_SOURCE be {WITHOUT_DATABASE}")
    if not source:
        source = one_of(person.ask, "Where do the calls come from", SOURCES, SOURCES[0])
        yield "CDR_SOURCE", source
    if source != WITHOUT_DATABASE:
        yield from database(known, person, source)


def database(known: Mapping[str, str], person: Person, source: str) -> Iterator[tuple[str, str]]:
    is_3cx = source in OF_3CX
    questions: Mapping[str, Callable[[], str]] = {
        "CDR_DB_ENGINE": lambda: one_of(person.ask, "Its engine", ENGINES, ENGINES[2] if is_3cx else ENGINES[0]),
        "CDR_DB_HOST": lambda: some(person.ask, "Host name or address of the database server", ""),
        "CDR_DB_NAME": lambda: some(person.ask, "Name of the database", "database_single" if is_3cx else ""),
        "CDR_DB_USER": lambda: some(person.ask, "Login with nothing but SELECT", "cdr_reader"),
    }
    for name, question in questions.items():
        if not known.get(name):
            yield name, question()
    if not has_password(known):
        yield from password(person)


def has_password(known: Mapping[str, str]) -> bool:
    return any(known.get(name) for name in PASSWORDS)


def password(person: Person) -> Iterator[tuple[str, str]]:
    """Better in a vault: what is typed stands in azd's environment, in clear."""
    uri = person.ask("Address of the Key Vault secret with its password (empty: type the password): ").strip()
    while uri and not SECRET_URI.fullmatch(uri):
        uri = person.ask("  such as https://my-vault.vault.azure.net/secrets/cdr-db-password: ").strip()
    found = SECRET_URI.fullmatch(uri)
    if found is None:
        yield "CDR_DB_PASSWORD", typed_password(person.ask_secret)
        return
    yield "CDR_DB_PASSWORD_SECRET_URI", uri
    yield "KEY_VAULT_NAME", found[1]
    if group := person.ask("Resource group of that vault (empty: the app's own): ").strip():
        yield "KEY_VAULT_RESOURCE_GROUP", group


def typed_password(ask_secret: Ask) -> str:
    """azd takes it from a command line and writes it into JSON, as it is."""
    typed = ask_secret("Password: ")
    while not typed or typed.startswith("-") or set(typed) & set('"\\'):
        typed = ask_secret('  one that begins with -, or has " or \\ in it, can only come from a vault: ')
    return typed


def one_of(ask: Ask, question: str, allowed: tuple[str, ...], default: str) -> str:
    while True:
        said = ask(f"{question}? {', '.join(allowed)} [{default}]: ").strip() or default
        if said in allowed:
            return said


def some(ask: Ask, question: str, default: str) -> str:
    while True:
        if said := ask(f"{question}{f' [{default}]' if default else ''}: ").strip() or default:
            return said


def keep(name: str, value: str) -> None:
    """:raises Refusal: azd says no"""
    program = shutil.which("azd")
    if program is None or subprocess.run([program, "env", "set", name, value], check=False).returncode:
        raise Refusal(f"{name} could not be kept: `azd env set {name} ...`")


def origin() -> str:
    """Where the repository was cloned from; empty if that is not known."""
    program = shutil.which("git")
    return _said(program, "remote", "get-url", "origin") if program else ""


def runbook_url(remote: str) -> str | None:
    found = ON_GITHUB.fullmatch(remote)
    return f"https://github.com/{found[1]}/blob/HEAD/docs/runbook.md" if found else None


def register_providers(subscription: str) -> None:
    """Once for each subscription; it takes minutes.

    :raises Refusal: there is no `az`, or it may not
    """
    of_subscription, by_hand = ("--subscription", subscription), "see `By hand` in docs/deploy.md"
    program = shutil.which("az")
    if program is None:
        raise Refusal(f"the Azure CLI (az) is needed to see that the subscription knows the services; {by_hand}")
    registered = ("--query", "[?registrationState=='Registered'].namespace", "--output", "tsv")
    known = _said(program, "provider", "list", *of_subscription, *registered).lower().split()
    if not known:  # who has a role on nothing but a resource group may go on: some services are always registered
        print(f"before_provision: whether the subscription knows the services cannot be seen; if not, {by_hand}")
        return
    for name in (name for name in PROVIDERS if name.lower() not in known):
        print(f"before_provision: registering {name}, once for this subscription ...")
        register = (program, "provider", "register", "--wait", "--namespace", name, *of_subscription)
        if subprocess.run(register, check=False).returncode:
            raise Refusal(f"{name} could not be registered; somebody who may must do so once: {by_hand}")


def _said(program: str, *arguments: str) -> str:
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True).stdout.strip()


def somebody() -> Person | None:
    return Person(input, getpass.getpass) if sys.stdin.isatty() else None


if __name__ == "__main__":
    sys.exit(main(os.environ, somebody()))
