"""What requests, urllib3 and the system raise when an exchange fails, and what may be said of it."""

from __future__ import annotations

import re
from http.client import BadStatusLine, HTTPException, IncompleteRead, UnknownProtocol

from requests import RequestException
from requests.exceptions import InvalidProxyURL, InvalidSchema, InvalidURL
from urllib3.exceptions import HTTPError, LocationParseError

FOREIGN = (RequestException, HTTPError, HTTPException, OSError, ValueError)
"""Whatever requests, urllib3, http.client, ssl and the codec of host names raise."""

IN_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((BadStatusLine, UnknownProtocol), "what answers does not speak HTTP; check scheme and port"),
    ((IncompleteRead,), "the answer broke off"),
    ((InvalidSchema,), "a proxy of a kind that is not supported; check HTTP_PROXY and HTTPS_PROXY"),
    ((InvalidProxyURL, InvalidURL, LocationParseError), "the address, or that of a proxy in the environment, is none"),
)
"""Of the libraries' errors those that tell a person what to look at."""


def root_of(error: BaseException) -> BaseException:
    """What was raised first, from within the exceptions that the libraries wrapped it in."""
    wrapped = (error.__cause__, getattr(error, "reason", None), getattr(error, "original_error", None), *error.args)
    inner = next((each for each in wrapped if isinstance(each, BaseException)), None)
    return root_of(inner) if inner else error


def reason_of(root: BaseException) -> str:
    """The system's words, in which there is no address; of a library, whose words may hold one, ours or the error's
    name."""
    if not isinstance(root, OSError) or isinstance(root, RequestException):
        return next((words for kinds, words in IN_WORDS if isinstance(root, kinds)), type(root).__name__)
    words = getattr(root, "verify_message", None) or root.strerror or str(root)
    return re.sub(r"\s+", " ", words)[:200] or type(root).__name__
