"""Short ways from a setting's path and value to the settings, or to the mistakes in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from shared.config.settings import Settings
from shared.errors import InvalidConfig
from tests.support.factories import CONFIG
from tests.support.settings import parse_settings

SHORTEST = json.dumps(yaml.safe_load(CONFIG))
ATTRIBUTES = {"3cx": "three_cx", "schema": "schema_"}


def text_with(*settings: tuple[str, Any]) -> str:
    """The shortest configuration with these settings, each by its path, in it or in place of its own. JSON is YAML."""
    config = json.loads(SHORTEST)
    for path, value in settings:
        section = config
        *sections, key = path.split(".")
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return json.dumps(config)


def read(path: str, value: Any) -> Any:
    """What a setting holds after this was written for it."""
    return at(parse_settings(text_with((path, value)), {}), path)


def at(settings: Settings, path: str) -> Any:
    found: Any = settings
    for key in path.split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, ATTRIBUTES.get(key, key))
    return found


def mistakes(text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        parse_settings(text, environment or {})
    assert str(caught.value) == "; ".join(caught.value.mistakes)
    return list(caught.value.mistakes)


def mistake(text: str, environment: Mapping[str, str] | None = None) -> str:
    (only,) = mistakes(text, environment)
    return only
