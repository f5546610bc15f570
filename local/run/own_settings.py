"""Working for one's own database and Call Logger, as `local.settings.json` names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from local import azurite
from local.host.settings import apply_local_settings

SETTINGS_FILE = "local.settings.json"
STORAGE_FOLDER = ".local/storage"
# Where UseDevelopmentStorage=true looks.
STORAGE_PORTS = azurite.Ports(10000, 10001, 10002)


def own_environment(root: Path) -> dict[str, str]:
    """The environment with the file's values; what was in the environment before wins. Raises HostError."""
    environment = dict(os.environ)
    apply_local_settings(root, environment)
    return environment


def uses_azurite(settings: Mapping[str, str]) -> bool:
    return settings.get("AzureWebJobsStorage", "").replace(" ", "").rstrip(";").lower() == "usedevelopmentstorage=true"


def own_storage(root: Path, settings: Mapping[str, str]) -> AbstractContextManager[object]:
    """Azurite, keeping what is stored for the next time, where the settings want it; else nothing is started."""
    if not uses_azurite(settings):
        return nullcontext()
    return azurite.start(root / STORAGE_FOLDER, STORAGE_PORTS)
