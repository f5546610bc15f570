"""Run the functions on this machine and show the calls as they pass.

    python -m local.run [--for SECONDS] [--source v20|calllog] [--port 7071]

With a `local.settings.json` they work for the database and the Call Logger that it names, else for a demo. It is
`python dev.py run` that installs what this needs. Ctrl-C, or a request to terminate, stops all that was started.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from local.azurite import AzuriteError
from local.host.settings import HostError
from local.phone_system.agents import AgentEvent
from local.phone_system.pbx import CallEvent
from local.phone_system.v20_pbx import Told
from local.run.demo import Demo, PhoneEvent
from local.run.functions_process import Ended, Functions, Output
from local.run.lines import line_of_agent, line_of_event, line_of_other_output, line_of_phone, read_event
from local.run.options import SOURCES, PortRefused, Source, add_run_options, refuse_taken_port
from local.run.own_settings import SETTINGS_FILE, own_environment, own_storage
from local.run.tally import Backend, Tally
from local.run.terminal import Terminal, standard_output

ROOT = Path(__file__).resolve().parents[2]

READY_SECONDS = 300  # Core Tools fetch their extensions at the very first start
SETTLE_SECONDS = 20
POLL_AGAIN_SECONDS = 1
TICK_SECONDS = 0.2

Happening = PhoneEvent | Output | Ended | Literal["stop"]


class OptionRefused(Exception):
    """An option has no meaning here."""


class FunctionsFailed(Exception):
    """The functions do not run (any more); the message has their last lines."""


class Stopped(Exception):
    """Somebody wants the run to end."""


@dataclass
class Run:
    """One run. All that happens comes through one queue to one thread, which keeps the tally and writes the lines."""

    terminal: Terminal
    make_demo: Callable[[Callable[[PhoneEvent], None]], Demo] = Demo
    happenings: SimpleQueue[Happening] = field(default_factory=SimpleQueue)
    tally: Tally = field(default_factory=Tally)
    backend: Backend | None = None
    _is_ready: bool = False
    _demo: Demo | None = None

    def run(self, port: int, seconds: float | None, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Returns when `seconds` are over, or what was seen `is_enough`, and all that ended has come out.

        Raises Stopped, FunctionsFailed, AzuriteError and HostError.
        """
        with ExitStack() as parts:
            parts.callback(self._show_the_rest)
            is_own = (ROOT / SETTINGS_FILE).is_file()
            self._demo = demo = None if is_own else parts.enter_context(self.make_demo(self.happenings.put))
            environment = demo.environment if demo else own_environment(ROOT)
            if is_own:
                parts.enter_context(own_storage(ROOT, environment))
            functions = parts.enter_context(Functions(ROOT, port, environment, self.happenings.put))
            if demo:
                parts.callback(demo.end)
            self._begin(functions, port, demo)
            self._watch(functions, either(is_enough, after(seconds)))
            if demo:
                self._settle(functions, demo)

    def _begin(self, functions: Functions, port: int, demo: Demo | None) -> None:
        self.terminal.say(title(demo), "bold")
        self.terminal.say(host_in_words(is_core_tools=functions.is_core_tools))
        self._watch(functions, either(functions.is_ready, after(READY_SECONDS)))
        if not functions.is_ready():
            raise FunctionsFailed(f"the functions were not ready within {READY_SECONDS} s")
        self._is_ready = True
        self.terminal.say("")
        self.terminal.labelled([*links(port), *(demo.links if demo else [])])
        self.terminal.say("\n  Ctrl-C stops everything.\n", "dim")
        if demo:
            demo.begin(port)

    def _settle(self, functions: Functions, demo: Demo) -> None:
        """Nobody calls any more; wait until what ended has come out."""
        demo.end()
        self._take_all(functions)
        self.terminal.say(f"\nNo more calls; waiting for {len(self.tally.waiting)} on their way ...\n", "dim")
        is_late = after(SETTLE_SECONDS)
        while self.tally.waiting and not is_late():
            demo.ask_for_poll()
            self._watch(functions, either(lambda: not self.tally.waiting, after(POLL_AGAIN_SECONDS)))
        self.backend = demo.backend

    def _watch(self, functions: Functions, is_over: Callable[[], bool]) -> None:
        while not is_over():
            try:
                self._take(self.happenings.get(timeout=TICK_SECONDS), functions)
            except Empty:
                continue

    def _take_all(self, functions: Functions) -> None:
        while not self.happenings.empty():
            self._take(self.happenings.get(), functions)

    def _take(self, happening: Happening, functions: Functions) -> None:
        if happening == "stop":
            self.terminal.say("\nStopping ...", "dim")
            raise Stopped
        if isinstance(happening, Ended):
            last = "\n".join(f"  {line}" for line in functions.last_lines)
            raise FunctionsFailed(f"the functions ended by themselves, with status {happening.status}:\n{last}")
        self._show(happening)

    def _show_the_rest(self) -> None:
        """What the functions finished, or complained of, while they were being stopped."""
        while not self.happenings.empty():
            happening = self.happenings.get()
            if isinstance(happening, PhoneEvent | Output):
                self._show(happening)

    def _show(self, happening: PhoneEvent | Output) -> None:
        if isinstance(happening, CallEvent | Told):
            self.tally.note_phone(happening)
            self.terminal.call(line_of_phone(happening))
        elif isinstance(happening, AgentEvent):
            self.terminal.call(line_of_agent(happening))
        elif event := read_event(happening.text):
            self.tally.note(event)
            if line := line_of_event(event, self.tally.shown(event.get("row_id")), self._entry(event)):
                self.terminal.call(line)
        elif (text := line_of_other_output(happening.text)) and (self._is_ready or "error" in text.lower()):
            self.terminal.say(text, "dim")

    def _entry(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the demo's Call Logger has of a call that has just arrived there."""
        return self._demo.entry(event["entry_id"]) if self._demo and event.get("reason") == "created" else None


def after(seconds: float | None) -> Callable[[], bool]:
    """A question that is answered by yes once `seconds` have passed; never without."""
    end = float("inf") if seconds is None else time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def either(first: Callable[[], bool], second: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: first() or second()


def title(demo: Demo | None) -> str:
    if demo:
        return (
            f"{demo.title}\n"
            "For your own system, copy local.settings.example.json to local.settings.json and fill it in."
        )
    return f"Your own phone system and Call Logger, from {SETTINGS_FILE}"


def host_in_words(*, is_core_tools: bool) -> str:
    if is_core_tools:
        return "The functions run in Azure Functions Core Tools (func)."
    return "The functions run in local.host, which stands in for Azure Functions Core Tools: `func` is not on PATH."


def links(port: int) -> list[tuple[str, str]]:
    url = f"http://127.0.0.1:{port}"
    return [
        ("the page", f"{url}/page"),
        ("health", f"{url}/health"),
        ("poll now", f"curl -X POST {url}/trigger/poll"),
        ("check groups", f"curl -X POST {url}/trigger/alerts"),
    ]


def refuse_source(source: str | None) -> None:
    """Raises OptionRefused where it would go unheard."""
    if source and (ROOT / SETTINGS_FILE).is_file():
        raise OptionRefused(f"--source is for the demo; with {SETTINGS_FILE} it is CDR_SOURCE there that says it")


def take_signals(happenings: SimpleQueue[Happening]) -> None:
    # Of all queues and events, SimpleQueue.put is what a signal handler may call at any moment.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: happenings.put("stop"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m local.run", description="Run the functions on this machine.")
    add_run_options(parser)
    options = parser.parse_args(arguments)
    source: Source = options.source or SOURCES[0]
    run = Run(Terminal(standard_output()), partial(Demo, source=source))
    take_signals(run.happenings)
    try:
        refuse_source(options.source)
        refuse_taken_port(options.port)
        run.run(options.port, options.seconds)
    except Stopped:
        run.terminal.say("Stopped.")
        return 0
    except (PortRefused, OptionRefused, AzuriteError, HostError, FunctionsFailed) as exc:
        print(f"local.run: {exc}", file=sys.stderr)
        return 1
    run.terminal.summary(f"After {options.seconds:g} s:", run.tally, run.backend)
    return int(any(run.tally.mistakes(run.backend)))
