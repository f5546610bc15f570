"""A way into the SDK's clients for requests that they have no method for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineContext, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import HTTPPolicy
from azure.core.pipeline.transport import HttpTransport
from azure.core.rest import HttpRequest, HttpResponse

from cdr.edges.azure_answer import AzureAnswer
from cdr.edges.storage.transaction import Request
from cdr.edges.storage.transaction_answers import answers_in, code_in

FOUND, ACCEPTED, NOT_FOUND, TOO_LARGE = 200, 202, 404, 413
WRITTEN = (201, 204)
"""What the service answers to a write, and nothing that stands between us and it."""
TABLE_GONE = "TableNotFound"


class Refused(HttpResponseError):
    """By the service, which says why."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__(response=answer)
        self.error_code = code_in(answer)


class Onward(HTTPPolicy[HttpRequest, HttpResponse]):
    """The first policy of a client, to be given to it when it is made. What is sent from here gets whatever the client
    does to its own requests: headers, a signature, another try."""

    def __init__(self, transport: HttpTransport[HttpRequest, HttpResponse]) -> None:
        """:param transport: the client's"""
        super().__init__()
        self._transport = transport

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        """One of the client's own."""
        return self.next.send(request)

    def write(self, asked: Request, always: Mapping[str, str]) -> str:
        """Send a write that is alone.

        :returns: the version of what was written
        :raises Refused: with the service's status and word for it
        :raises ValueError: there is no version, so it was not the service that said so
        """
        answer = self._answer(asked, always)
        if answer.status_code not in WRITTEN:
            raise Refused(answer)
        if not (version := answer.headers.get("ETag")):
            raise ValueError("what is to be written has no version")
        return version

    def is_there(self, asked: Request, always: Mapping[str, str]) -> bool:
        """:param asked: for an entity
        :raises Refused: with the service's status and word for it
        """
        answer = self._answer(asked, always)
        if answer.status_code == NOT_FOUND and code_in(answer) != TABLE_GONE:
            return False
        if answer.status_code != FOUND:
            raise Refused(answer)
        return True

    def transact(self, asked: Request, always: Mapping[str, str], writes: int) -> Sequence[str] | None:
        """Send a transaction of so many writes.

        :returns: the versions of what was written, in its order (of what has none: an empty text); None where one of
            the writes is refused, or all of them are too much at once
        :raises Refused: it is none of the writes that is at fault, or the table is gone
        :raises ValueError: what came does not say of each write what became of it
        """
        answer = self._answer(asked, always)
        if answer.status_code == TOO_LARGE:
            return None
        if answer.status_code != ACCEPTED:
            raise Refused(answer)
        found = answers_in(answer.content, answer.content_type or "")
        parts = [AzureAnswer(answer.request, *part) for part in found]
        refused = next((part for part in parts if part.status_code not in WRITTEN), None)
        if refused is None:
            if len(parts) != writes:
                raise ValueError(f"{len(parts)} answers to {writes} writes")
            return [part.headers.get("ETag", "") for part in parts]
        if code_in(refused) == TABLE_GONE:
            raise Refused(refused)
        return None

    def _answer(self, asked: Request, always: Mapping[str, str]) -> HttpResponse:
        headers = {**always, **asked.headers}
        request = HttpRequest(asked.method, asked.url, headers=headers, content=asked.content.encode())
        return self.next.send(PipelineRequest(request, PipelineContext(self._transport))).http_response
