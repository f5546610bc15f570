"""The functions: what triggers each, and the one use case it runs."""

import logging
import os
from contextlib import suppress
from pathlib import Path

import azure.functions as func

from cdr.calls.message import text_of_body
from cdr.web import routes as endpoints
from cdr.wiring.parts import CALL_QUEUE, POISON_QUEUE, Pipeline
from shared.errors import PipelineError

logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.WARNING)  # it writes down every URL, and that of a webhook is a secret

STORAGE = "AzureWebJobsStorage"
ANY_METHOD = tuple(func.HttpMethod)  # a wrong one gets a reason, not the host's bare 404

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
pipeline = Pipeline(os.environ, Path(__file__).parent)


@app.timer_trigger(arg_name="timer", schedule=pipeline.poll_schedule, run_on_startup=False, use_monitor=False)
def poll_cdr(timer: func.TimerRequest) -> None:
    """Queue the calls that ended since the last poll. A failed poll has logged why; the next tick tries again."""
    with suppress(PipelineError):
        pipeline.poll()


@app.timer_trigger(arg_name="timer", schedule=pipeline.check_schedule, run_on_startup=False, use_monitor=False)
def check_call_groups(timer: func.TimerRequest) -> None:
    """Raise and resolve the alerts of call groups. A failed check has logged why; the next one tries again."""
    with suppress(PipelineError):
        pipeline.check_groups()


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *", run_on_startup=False)
def clean_ledger(timer: func.TimerRequest) -> None:
    """Once a day, remove old records from the ledger. What it raises is a failed run; the next day tries again."""
    pipeline.clean_ledger()


@app.queue_trigger(arg_name="message", queue_name=CALL_QUEUE, connection=STORAGE)
def submit_call(message: func.QueueMessage) -> None:
    """Submit one call. What it raises sends the message back to the queue, see host.json."""
    pipeline.submit(text_of_body(message.get_body()), message.dequeue_count or 1)


@app.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection=STORAGE)
def keep_poisoned(message: func.QueueMessage) -> None:
    """Record what the host gave up on."""
    pipeline.keep_poisoned(text_of_body(message.get_body()))


@app.route(route="health", methods=ANY_METHOD, auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.health(req, pipeline)


@app.route(route="status", methods=ANY_METHOD)
def status(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.status(req, pipeline)


@app.route(route="trigger/poll", methods=ANY_METHOD)
def trigger_poll(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.trigger_poll(req, pipeline)


@app.route(route="trigger/alerts", methods=ANY_METHOD)
def trigger_alerts(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.trigger_alerts(req, pipeline)


@app.route(route="rejected", methods=ANY_METHOD)
def rejected(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.rejected(req, pipeline)


@app.route(route="trigger/replay", methods=ANY_METHOD)
def trigger_replay(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.trigger_replay(req, pipeline)


@app.route(route="reconcile", methods=ANY_METHOD)
def reconcile(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.reconcile(req, pipeline)


@app.route(route="trigger/reconcile", methods=ANY_METHOD)
def trigger_reconcile(req: func.HttpRequest) -> func.HttpResponse:
    return endpoints.trigger_reconcile(req, pipeline)
