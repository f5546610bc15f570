"""What requests, urllib3 and the system raise when an exchange fails, and what may be said of it."""

from __future__ import annotations

import re
from http.client import HTTPException

from requests import RequestException
from urllib3.exceptions import HTTPError

FOREIGN = (RequestException, HTTPError, HTTPException, OSError, ValueError)
"""Whatever requests, urllib3, http.client, ssl and the codec of host names raise."""


def root_of(error: BaseException) -> BaseException:
    """What was raised first, from within the exceptions that the libraries wrapped it in."""
    wrapped = (error.__cause__, getattr(error, "reason", None), getattr(error, "original_error", None), *error.args)
    inner = next((each for each in wrapped if isinstance(each, BaseException)), None)
    return root_of(inner) if inner else error


def reason_of(root: BaseException) -> str:
    """The system's words, in which there is no address; of a library, whose words may hold one, the error's name."""
    if not isinstance(root, OSError) or isinstance(root, RequestException):
        return type(root).__name__
    words = getattr(root, "verify_message", None) or root.strerror or str(root)
    return re.sub(r"\s+", " ", words)[:200] or type(root).__name__
