"""The answer to a transaction is taken apart as the table service and its emulator write it."""

from __future__ import annotations

import pytest
from azure.core.rest import HttpRequest
from urllib3 import HTTPHeaderDict

from cdr.edges.azure_answer import AzureAnswer
from cdr.edges.storage.transaction_answers import answers_in, code_in

MIXED = "multipart/mixed; boundary=batchresponse_1"
DONE = 'HTTP/1.1 204 No Content\nContent-ID: {}\nETag: W/"{}"\nDataServiceVersion: 1.0;\n\n'
REFUSED = (
    "HTTP/1.1 409 Conflict\nContent-ID: 2\nContent-Type: application/json; charset=utf-8\nContent-Length: 30\n\n"
    '{"odata.error":"--changeset é"}\n'
)


def answer(text: str, content_type: str = MIXED) -> AzureAnswer:
    body = text.replace("\n", "\r\n").encode()
    return AzureAnswer(
        HttpRequest("POST", "http://x"), 202, "Accepted", HTTPHeaderDict({"content-type": content_type}), body
    )


def parts(whole: AzureAnswer) -> list[AzureAnswer]:
    return [AzureAnswer(whole.request, *part) for part in answers_in(whole.content, whole.content_type or "")]


def transaction(*answers: str) -> AzureAnswer:
    head = "Content-Type: application/http\nContent-Transfer-Encoding: binary\n\n"
    parts = "".join(f"--changesetresponse_2\n{head}{each}\n" for each in answers)
    changes = "Content-Type: multipart/mixed; boundary=changesetresponse_2\n\n"
    return answer(f"--batchresponse_1\n{changes}{parts}--changesetresponse_2--\n--batchresponse_1--\n")


def test_each_operation_has_its_answer_in_order() -> None:
    done = parts(transaction(*(DONE.format(n, f"v{n}") for n in range(3))))
    assert [(each.status_code, each.reason, each.headers["etag"], each.text()) for each in done] == [
        (204, "No Content", f'W/"v{n}"', "") for n in range(3)
    ]


def test_what_is_refused_has_one_answer_with_its_reason() -> None:
    (refused,) = parts(transaction(REFUSED))
    assert (refused.status_code, refused.reason, refused.content_type) == (
        409,
        "Conflict",
        "application/json; charset=utf-8",
    )
    assert refused.json() == {"odata.error": "--changeset é"}


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed", ""])
def test_another_answer_is_none_to_a_transaction(content_type: str) -> None:
    with pytest.raises(ValueError, match="is no multipart message"):
        parts(answer("{}", content_type))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"odata.error":{"code":"TableNotFound","message":{"lang":"en-US","value":"The table"}}}', "TableNotFound"),
        ('<?xml version="1.0"?><m:error xmlns:m="x"><m:code>ServerBusy</m:code></m:error>', "ServerBusy"),
        ("<Error><Code>AuthenticationFailed</Code></Error>", "AuthenticationFailed"),
        ("<html>Bad Gateway</html>", ""),
        ("", ""),
    ],
)
def test_an_answer_says_what_is_wrong_in_a_word(text: str, code: str) -> None:
    assert code_in(answer(text)) == code
