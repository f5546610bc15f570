"""What is wrong with the whole of a setting, told together with what is wrong within it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, LiteralString

from pydantic import ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


def mistake(at: tuple[int | str, ...], value: Any, message: LiteralString, **words: str) -> InitErrorDetails:
    """``words`` are what the message has in braces."""
    return {"type": PydanticCustomError("together", message, dict(words)), "loc": at, "input": value}


def with_those_within(mistakes: Iterable[InitErrorDetails], value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """What the handler makes of the value.

    :raises ValidationError: with these mistakes and its own
    """
    found = list(mistakes)
    try:
        made = handler(value)
    except ValidationError as exc:
        found += [_again(error) for error in exc.errors(include_url=False)]
    if found:
        raise ValidationError.from_exception_data("together", found)
    return made


def _again(error: ErrorDetails) -> InitErrorDetails:
    return {"type": error["type"], "loc": error["loc"], "input": error["input"], "ctx": error.get("ctx", {})}
