"""Judges what the configuration file says: its values, those of the environment, and all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from shared.config.mistakes import may_be_secret, mistakes_in, name_of
from shared.config.settings import Settings
from shared.config.variables import fill_in, reference_in, unresolved
from shared.config.written import ENVIRONMENT
from shared.config.yaml_text import Plain
from shared.errors import InvalidConfig

READ_BESIDE_THE_FILE = ("AzureWebJobsStorage", "AZURE_CLIENT_", "AZURE_TENANT_ID")
"""How variables begin that the clients of Azure read themselves."""


def settings_of(written: Plain, environment: Mapping[str, str], root: Path) -> Settings:
    """The settings of what was read, which stays as it is; paths in it are relative to ``root``.

    :raises InvalidConfig: with a line for every mistake in it
    """
    filled = fill_in(written, environment, may_be_secret)
    data = filled.data
    if not isinstance(data, dict):
        raise InvalidConfig(["the configuration file is empty or no mapping; it needs the sections 3cx and api"])
    _fill_from_environment(data, environment)
    refused = {**filled.refused, **dict(unresolved(data))}
    mistakes = [f"{name_of(path)}: {problem}" for path, problem in refused.items()]
    beside = ((name, reference_in(value)) for name, value in environment.items())
    mistakes += [f"{name}: {problem}" for name, problem in beside if problem and name.startswith(READ_BESIDE_THE_FILE)]
    try:
        settings = Settings.model_validate(data, context={"root": root})
    except ValidationError as exc:
        mistakes += mistakes_in(exc, data, variables=ENVIRONMENT, unset=filled.unset, told=refused)
        raise InvalidConfig(mistakes) from None
    if mistakes:
        raise InvalidConfig(mistakes)
    return settings


def _fill_from_environment(data: dict[str, Plain], environment: Mapping[str, str]) -> None:
    for path, name in ENVIRONMENT.items():
        if value := environment.get(name):
            _put(data, path, value)


def _put(data: dict[str, Plain], path: tuple[str, ...], value: str) -> None:
    """Where nothing stands; a section that is something else than one is named as a mistake later."""
    section: Plain = data
    for key in path[:-1]:
        if not isinstance(section, dict):
            return
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
    if isinstance(section, dict) and section.get(path[-1]) is None:
        section[path[-1]] = value
