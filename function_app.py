"""The functions: what triggers each, and the one use case it runs, which is loaded when it first runs."""

import logging
import os
from contextlib import suppress
from pathlib import Path

import azure.functions as func

from cdr.wiring.parts import Parts
from cdr.wiring.ports import CALL_QUEUE, POISON_QUEUE
from shared.errors import InvalidConfig, PipelineError, StorageUnavailable

logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.WARNING)  # it writes down every URL, and that of a webhook is a secret

STORAGE = "AzureWebJobsStorage"
AS_BYTES = func.DataType.BINARY
"""Of a message that is the text of a JSON object, the host would take the members for properties of the message: with a
dequeueCount of "many" no function would ever be called, and such a message would come back for ever."""
ANY_METHOD = tuple(func.HttpMethod)  # a wrong one gets a reason, not the host's bare 404

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
parts = Parts(os.environ, Path(__file__).parent)


@app.timer_trigger(arg_name="timer", schedule=parts.poll_schedule, run_on_startup=False, use_monitor=False)
def poll_cdr(timer: func.TimerRequest) -> None:
    """Queue the calls that ended since the last poll. A failed poll has logged why; the next tick tries again."""
    from cdr.intake.poll import poll

    with suppress(PipelineError):
        poll(parts.poller)


@app.timer_trigger(arg_name="timer", schedule=parts.check_schedule, run_on_startup=False, use_monitor=False)
def check_call_groups(timer: func.TimerRequest) -> None:
    """Raise and resolve the alerts of call groups. A failed check has logged why; the next one tries again."""
    from cdr.groups.check import check

    with suppress(PipelineError):
        check(parts.watched_groups, parts.group_check)


@app.timer_trigger(arg_name="timer", schedule="0 17 3 * * *", run_on_startup=False)
def clean_ledger(timer: func.TimerRequest) -> None:
    """Once a day, remove old records from the ledger. What it raises is a failed run; the next day tries again."""
    from cdr.operations.retention import clean_ledger

    clean_ledger(parts.cleaner)


@app.timer_trigger(arg_name="timer", schedule="20 * * * * *", run_on_startup=False, use_monitor=False)
def learn_extensions(timer: func.TimerRequest) -> None:
    """Read the phone system's phone book when it is time, and replay the calls that it explains."""
    from cdr.operations.learn_addresses import learn

    with suppress(PipelineError):
        learn(parts.learner)


@app.timer_trigger(arg_name="timer", schedule="40 */5 * * * *", run_on_startup=False, use_monitor=False)
def sum_up_calls(timer: func.TimerRequest) -> None:
    """Sum up what was counted, and count what earlier versions left. A failed run has logged why; the next goes on."""
    from cdr.operations.sum_up import sum_up

    with suppress(PipelineError):
        sum_up(parts.bookkeeper)


@app.timer_trigger(arg_name="timer", schedule=parts.reconcile_schedule, run_on_startup=False)
def reconcile_calls(timer: func.TimerRequest) -> None:
    """Bring in what is missing of the last days. A failed run has logged why; the next one tries again."""
    from cdr.operations.reconcile import reconcile_last_days

    with suppress(PipelineError):
        if (days := parts.days_to_reconcile) is not None:
            reconcile_last_days(parts.timed_reconciler, days)


@app.queue_trigger(arg_name="message", queue_name=CALL_QUEUE, connection=STORAGE, data_type=AS_BYTES)
def submit_call(message: func.QueueMessage) -> None:
    """Submit one message's calls. What it raises sends the message back to the queue, see host.json."""
    from cdr.calls.message import letters_of, text_of_body
    from cdr.submission.submit import submit

    for letter in letters_of(text_of_body(message.get_body())):
        try:
            worker = parts.worker
        except (InvalidConfig, StorageUnavailable):  # it waits until that is mended; ten deliveries would give it up
            parts.queue.send_later(letter, parts.times.unconfigured_delay)
        else:
            submit(letter, worker, deliveries=message.dequeue_count or 1)


@app.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection=STORAGE, data_type=AS_BYTES)
def keep_poisoned(message: func.QueueMessage) -> None:
    """Record what the host gave up on."""
    from cdr.calls.message import letters_of, text_of_body
    from cdr.submission.poison import keep_poisoned

    for letter in letters_of(text_of_body(message.get_body())):
        keep_poisoned(letter, parts.poison_keeper)


@app.route(route="health", methods=ANY_METHOD, auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.health(req, parts)


@app.route(route="page", methods=ANY_METHOD, auth_level=func.AuthLevel.ANONYMOUS)
def page(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.page(req, parts)


@app.route(route="status", methods=ANY_METHOD)
def status(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.status(req, parts)


@app.route(route="openapi.json", methods=ANY_METHOD)
def openapi(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.openapi(req, parts)


@app.route(route="trigger/poll", methods=ANY_METHOD)
def trigger_poll(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.trigger_poll(req, parts)


@app.route(route="trigger/start-over", methods=ANY_METHOD)
def trigger_start_over(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.trigger_start_over(req, parts)


@app.route(route="trigger/alerts", methods=ANY_METHOD)
def trigger_alerts(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.trigger_alerts(req, parts)


@app.route(route="rejected", methods=ANY_METHOD)
def rejected(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.rejected(req, parts)


@app.route(route="calls", methods=ANY_METHOD)
def calls(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.calls(req, parts)


@app.route(route="trigger/replay", methods=ANY_METHOD)
def trigger_replay(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.trigger_replay(req, parts)


@app.route(route="preview", methods=ANY_METHOD)
def preview(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.preview(req, parts)


@app.route(route="reconcile", methods=ANY_METHOD)
def reconcile(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.reconcile(req, parts)


@app.route(route="trigger/reconcile", methods=ANY_METHOD)
def trigger_reconcile(req: func.HttpRequest) -> func.HttpResponse:
    from cdr.web import routes

    return routes.trigger_reconcile(req, parts)
