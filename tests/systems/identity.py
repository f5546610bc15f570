"""The endpoint at which the platform hands an app the tokens of its managed identity, by App Service's protocol."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.systems import receiver as receiver_program
from tests.systems.receiver import Answer, Received, Receiver

PATH = "/msi/token"
SECRET = "identity-header-5f1e"
CLIENT_ID = "1f0c2f52-6d4e-4a7c-9a52-0d7d3a6a4a10"
API_VERSION = "2019-08-01"
ISSUER = "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/"


@dataclass
class Identity:
    """An identity that may have a token for each of these audiences. ``life_s`` is how long one is good for."""

    receiver: Receiver
    audiences: tuple[str, ...]
    life_s: float = 3600
    token_audience: str | None = None
    """For whom its tokens really are, if not for whom they were asked for."""
    asked: list[Mapping[str, str]] = field(default_factory=list)
    """The parameters of every request that came with the right header."""

    @property
    def environment(self) -> dict[str, str]:
        """What the platform sets for an app that has this identity."""
        url = self.receiver.url + PATH
        return {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": SECRET, "AZURE_CLIENT_ID": CLIENT_ID}

    def answer(self, request: Received) -> Answer:
        address = urlsplit(request.path)
        given = {name: values[0] for name, values in parse_qs(address.query).items()}
        if request.method != "GET" or address.path != PATH or request.headers.get("X-IDENTITY-HEADER") != SECRET:
            return Answer(401)
        self.asked.append(given)
        if given.get("api-version") != API_VERSION or given.get("client_id") != CLIENT_ID:
            return _refusal("no managed identity found for the specified client id")
        if (resource := given.get("resource", "")) not in self.audiences:
            return _refusal("the resource principal was not found")
        ends = int(time.time() + self.life_s)
        token = {
            "access_token": token_for(self.token_audience or resource, ends),
            "expires_on": str(ends),
            "resource": resource,
        }
        return Answer(200, json.dumps({**token, "token_type": "Bearer", "client_id": CLIENT_ID}), JSON)


JSON = {"Content-Type": "application/json"}


def _refusal(why: str) -> Answer:
    return Answer(400, json.dumps({"statusCode": 400, "message": why, "correlationId": "0"}), JSON)


def token_for(audience: str, ends: int) -> str:
    """A JSON Web Token that nobody has signed."""
    claims = {"aud": audience, "iss": ISSUER, "iat": ends - 3600, "nbf": ends - 3600, "exp": ends, "oid": CLIENT_ID}
    return ".".join((_encoded({"alg": "RS256", "typ": "JWT"}), _encoded(claims), "c2lnbmF0dXJl"))


def _encoded(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@contextmanager
def start(*audiences: str) -> Iterator[Identity]:
    with receiver_program.start() as receiver:
        identity = Identity(receiver, audiences)
        receiver.answer_with = identity.answer
        yield identity
