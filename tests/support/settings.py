"""Settings out of a text, as the app has them out of its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.config.judging import settings_of
from shared.config.settings import Settings
from shared.config.written import read_file
from shared.config.yaml_text import read_yaml


def load_settings(path: Path, environment: Mapping[str, str], root: Path) -> Settings:
    return settings_of(read_file(path), environment, root)


def parse_settings(text: str, environment: Mapping[str, str], root: Path = Path()) -> Settings:
    return settings_of(read_yaml(text), environment, root)
