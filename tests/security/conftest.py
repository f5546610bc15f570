"""The functions between real parts, and real databases: what the other folders' tests use, used against us."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.functions.conftest import app, call_logger, config_file, phone_system, storage, storage_account
from tests.functions.loaded_app import LoadedApp
from tests.functions.surroundings import write_config
from tests.systems.phone_systems import SqlPhoneSystem

__all__ = ["app", "call_logger", "config_file", "phone_system", "storage", "storage_account"]


@pytest.fixture
def app_on(storage, config_file, call_logger) -> Callable[[SqlPhoneSystem], LoadedApp]:
    """Loads the functions with this phone system in the configuration."""

    def load(system: SqlPhoneSystem) -> LoadedApp:
        write_config(config_file, system.settings(), call_logger.base_url)
        return LoadedApp()

    return load
