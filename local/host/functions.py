"""The functions of `function_app.py`, as azure-functions' own objects describe them, ready to be triggered.

A function this host cannot run as Azure would is refused by name, with the reason; the others are not affected.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import azure.functions as func
from azure.storage.queue import QueueClient

from local.host.settings import HostError
from local.host.timer import Schedule

_SETTING = re.compile(r"%([^%]+)%")
_ROUTE_SEGMENT = re.compile(r"\{(\w+)\}|[^{}]*")


class AppError(HostError):
    """function_app.py yields no functions at all; the exception it raised, if it did, is the cause."""


class FunctionError(Exception):
    """Why one function cannot run here."""


@dataclass(frozen=True)
class TimerTrigger:
    schedule: Schedule
    run_on_startup: bool

    def __str__(self) -> str:
        return f"timerTrigger {self.schedule.expression}"


@dataclass(frozen=True)
class QueueTrigger:
    queue: str
    connection_string: str = field(repr=False)
    is_binary: bool = False
    """It has messages as bytes. The members of a text that is JSON would hide the message's own properties in Azure."""

    def __str__(self) -> str:
        return f"queueTrigger {self.queue}"


@dataclass(frozen=True)
class HttpTrigger:
    """`route` has no prefix; `methods` is empty where every method is meant."""

    route: str
    methods: frozenset[str]

    def __str__(self) -> str:
        return f"httpTrigger {self.route}"

    def takes(self, method: str) -> bool:
        return not self.methods or method.upper() in self.methods

    def shares_requests_with(self, other: HttpTrigger) -> bool:
        is_same_route = self.route.lower() == other.route.lower()
        return is_same_route and not (self.methods and other.methods and self.methods.isdisjoint(other.methods))


Trigger: TypeAlias = TimerTrigger | QueueTrigger | HttpTrigger


@dataclass(frozen=True)
class HostedFunction:
    """`argument` names the parameter that takes what the trigger brings."""

    name: str
    call: Callable[..., Any]
    argument: str
    wants_context: bool
    trigger: Trigger


def import_app(script_root: Path) -> func.FunctionApp:
    """Import function_app.py and find the one FunctionApp in it. Raises AppError where that fails."""
    path = script_root / "function_app.py"
    spec = importlib.util.spec_from_file_location("function_app", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise AppError(f"no functions found: {path} is missing")
    if str(script_root) not in sys.path:
        sys.path.insert(0, str(script_root))
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        raise AppError(f"no functions found: function_app.py failed with {type(exc).__name__}: {exc}") from exc
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionApp)}
    if len(apps) != 1:
        raise AppError(f"no functions found: function_app.py must hold one FunctionApp, it holds {len(apps)}")
    return apps.popitem()[1]


def read_functions(
    app: func.FunctionApp, environ: Mapping[str, str]
) -> tuple[list[HostedFunction], dict[str, FunctionError]]:
    """The functions that can run, and by name those that cannot. `environ` resolves %NAME% and connection names."""
    try:
        declared = app.get_functions()
    except ValueError as exc:
        raise AppError(f"no functions found: {exc}") from exc
    functions: list[HostedFunction] = []
    errors: dict[str, FunctionError] = {}
    for declaration in declared:
        _check_parameters(declaration)
        try:
            function = _describe(declaration, environ)
            _refuse_shared_route(function, functions)
            functions.append(function)
        except FunctionError as exc:
            errors[str(declaration.get_function_name())] = exc
    if not declared:
        raise AppError("no functions found: function_app.py declares none")
    return functions, errors


def _check_parameters(declaration: func.Function) -> None:
    """Raise AppError where bindings and parameters differ: Azure's worker then gives up the whole app."""
    bound = {binding.name for binding in declaration.get_bindings()} - {"$return"}
    parameters = set(inspect.signature(declaration.get_user_function()).parameters) - {"context"}
    if bound != parameters:
        raise AppError(
            f"no functions found: {declaration.get_function_name()} has the parameters {sorted(parameters)}, "
            f"but its bindings are named {sorted(bound)}"
        )


def _describe(declaration: func.Function, environ: Mapping[str, str]) -> HostedFunction:
    call = declaration.get_user_function()
    if inspect.iscoroutinefunction(call):
        raise FunctionError("it is `async def`, which this host does not run")
    if declaration.get_setting("retry_policy"):
        raise FunctionError("it has a retry policy, which this host does not know")
    binding = _only_trigger([json.loads(text) for text in declaration.get_raw_bindings()])
    return HostedFunction(
        name=str(declaration.get_function_name()),
        call=call,
        argument=binding["name"],
        wants_context="context" in inspect.signature(call).parameters,
        trigger=_TRIGGERS[binding["type"]](binding, environ),
    )


def _only_trigger(bindings: list[dict[str, Any]]) -> dict[str, Any]:
    http_answer = {"type": "http", "direction": "OUT", "name": "$return"}
    known = [binding for binding in bindings if binding["type"] in _TRIGGERS]
    for binding in bindings:
        if binding not in known and binding != http_answer:
            raise FunctionError(f"it is bound to {binding['type']!r}, which this host does not know")
    return known[0]


def _refuse_shared_route(function: HostedFunction, earlier: list[HostedFunction]) -> None:
    if isinstance(function.trigger, HttpTrigger):
        for other in earlier:
            if isinstance(other.trigger, HttpTrigger) and function.trigger.shares_requests_with(other.trigger):
                raise FunctionError(f"its route {function.trigger.route!r} already belongs to {other.name}")


def _timer(binding: Mapping[str, Any], environ: Mapping[str, str]) -> TimerTrigger:
    try:
        schedule = Schedule(_resolve(binding["schedule"], environ))
    except ValueError as exc:
        raise FunctionError(str(exc)) from exc
    return TimerTrigger(schedule, bool(binding.get("runOnStartup")))


def _queue(binding: Mapping[str, Any], environ: Mapping[str, str]) -> QueueTrigger:
    queue = _resolve(binding["queueName"], environ)
    setting = binding["connection"]
    connection_string = environ.get(setting)
    if not connection_string:
        raise FunctionError(f"its connection, the setting {setting}, is missing")
    try:
        QueueClient.from_connection_string(connection_string, queue).close()
    except ValueError as exc:
        raise FunctionError(f"its connection, the setting {setting}, holds no connection string") from exc
    return QueueTrigger(queue, connection_string, str(binding.get("dataType", "")).lower() == "binary")


def _http(binding: Mapping[str, Any], _: Mapping[str, str]) -> HttpTrigger:
    route = binding["route"].strip("/")
    if route.lower().startswith(("admin", "runtime")):
        raise FunctionError(f"its route {route!r} is kept for the host: it may not start with admin or runtime")
    if not all(_ROUTE_SEGMENT.fullmatch(segment) for segment in route.split("/")):
        raise FunctionError(
            f"its route {route!r} has more than plain {{name}} parameters, which this host does not know"
        )
    return HttpTrigger(route, frozenset(binding.get("methods") or ()))


_TRIGGERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, str]], Trigger]] = {
    "timerTrigger": _timer,
    "queueTrigger": _queue,
    "httpTrigger": _http,
}


def _resolve(text: str, environ: Mapping[str, str]) -> str:
    for name in _SETTING.findall(text):
        if name not in environ:
            raise FunctionError(f"{text!r} needs the setting {name}, which is missing")
    return _SETTING.sub(lambda match: environ[match[1]], text)
