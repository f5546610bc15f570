"""The host's own addresses: is it running, and a function started by hand.

`POST /admin/functions/NAME` with a JSON object answers 202 before the run; `input` is the text of a queue message.
HTTP functions have an address of their own and are unknown here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

import azure.functions as func
from azure.functions.timer import TimerRequest
from werkzeug import Request, Response

from local.host.functions import HostedFunction, HttpTrigger, TimerTrigger
from local.host.invoke import Invoker
from local.host.queue import function_message

_FUNCTIONS = "/admin/functions/"


class Admin:
    """Answers requests below /admin; None is for others to answer."""

    def __init__(self, functions: Iterable[HostedFunction], invoker: Invoker) -> None:
        self._functions = {
            function.name.lower(): function for function in functions if not isinstance(function.trigger, HttpTrigger)
        }
        self._invoker = invoker

    def __call__(self, request: Request) -> Response | None:
        path = request.path.lower().rstrip("/")
        if request.method == "GET" and path == "/admin/host/status":
            return Response(json.dumps({"state": "Running"}), mimetype="application/json")
        if request.method == "POST" and path.startswith(_FUNCTIONS):
            return self._start(path.removeprefix(_FUNCTIONS), request.get_data())
        return None

    def _start(self, name: str, body: bytes) -> Response:
        function = self._functions.get(name)
        if function is None:
            return Response(status=404)
        text = _input(body)
        if text is None:
            return Response(status=400)
        self._invoker.submit(self._invoker.invoke, function, _argument(function, text))
        return Response(status=202)


def _input(body: bytes) -> str | None:
    """The text to start with, empty where the body names none; None where the body is no JSON object with text."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    text = document.get("input", "") if isinstance(document, dict) else None
    return text if isinstance(text, str) else None


def _argument(function: HostedFunction, text: str) -> func.TimerRequest | func.QueueMessage:
    if isinstance(function.trigger, TimerTrigger):
        return TimerRequest()
    return function_message(id=str(uuid.uuid4()), body=text, dequeue_count=1, insertion_time=datetime.now(UTC))
