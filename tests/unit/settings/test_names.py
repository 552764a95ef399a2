"""The names: those of the old tAPI work unchanged, and each stands for one thing everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.settings.model import GROUPS, Settings
from tapi_agent.settings.values import as_text
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place

OLD = {
    "BILLING_SERVICE_URL": "http://localhost:8081/api/v1",
    "BILLING_API_KEY": "old-key",
    "BILLING_TIMEOUT_MS": 4000,
    "BILLING_MAX_RETRIES": 2,
    "EDGE_DEVICE_ID": "box-1",
    "TENANT_ID": "9f1c",
    "MANAGEMENT_TIER": "managed",
    "POSTGRES_HOST": "localhost",
    "POSTGRES_PORT": 5433,
    "POSTGRES_DATABASE": "tapi_edge",
    "POSTGRES_USER": "tapi_user",
    "POSTGRES_PASSWORD": "old-password",
    "POSTGRES_POOL_SIZE": 12,
    "POSTGRES_CONNECTION_TIMEOUT_MS": 5000,
    "REDIS_HOST": "redis.local",
    "REDIS_PORT": 6380,
    "REDIS_PASSWORD": "old-redis",
    "REDIS_MAX_MEMORY_MB": 256,
    "REDIS_CONNECTION_TIMEOUT_MS": 1000,
    "LICENSE_CACHE_TTL_SECONDS": 1800,
    "ENTITLEMENT_CACHE_TTL_SECONDS": 120,
    "ENABLE_OFFLINE_MODE": False,
    "OFFLINE_GRACE_PERIOD_HOURS": 12,
    "USAGE_BATCH_SIZE": 500,
    "USAGE_SYNC_INTERVAL_MINUTES": 10,
    "TRACK_API_CALLS": False,
    "TRACK_LLM_TOKENS": False,
    "TRACK_STORAGE": False,
    "TRACK_AGENT_EXECUTIONS": False,
    "TRACK_SMS": False,
    "ENABLE_LICENSE_VALIDATION": False,
    "ENABLE_USAGE_TRACKING": False,
    "ENABLE_HEARTBEAT": False,
    "HEARTBEAT_INTERVAL_MINUTES": 30,
    "BYPASS_LICENSE_CHECK": False,
    "API_PORT": 8080,
    "API_THREADS": 8,
    "API_ENABLE_CORS": True,
    "LOG_LEVEL": "debug",
    "LOG_TO_FILE": True,
    "LOG_FILE_PATH": "/var/log/tapi/agent.log",
    "LOG_MAX_FILE_SIZE_MB": 50,
    "LOG_MAX_FILES": 7,
    "DEBUG_MODE": True,
}
DEFAULTS = {
    "BILLING_TIMEOUT_MS": 5000,
    "BILLING_MAX_RETRIES": 3,
    "EDGE_DEVICE_ID": "auto",
    "POSTGRES_POOL_SIZE": 10,
    "LICENSE_CACHE_TTL_SECONDS": 3600,
    "ENTITLEMENT_CACHE_TTL_SECONDS": 300,
    "OFFLINE_GRACE_PERIOD_HOURS": 24,
    "LICENSE_OFFLINE_GRACE_HOURS": 168,
    "LICENSE_GRACE_HOURS": 336,
    "LEASE_MAX_OFFLINE_HOURS": None,
    "USAGE_BATCH_SIZE": 1000,
    "USAGE_SYNC_INTERVAL_MINUTES": 5,
    "HEARTBEAT_INTERVAL_MINUTES": 15,
    "CONNECTIVITY_PROBE_SECONDS": 15,
    "USAGE_KEEP_DAYS": 30,
    "USAGE_DB_MAX_BYTES": 20 * 1024**3,
    "SPOOL_SHED_FREE_BYTES": 1024**3,
    "SPOOL_SLOW_FREE_BYTES": 512 * 1024**2,
    "SPOOL_MIN_FREE_BYTES": 256 * 1024**2,
    "SPOOL_BALLAST_BYTES": 64 * 1024**2,
    "BILLING_DIALECT": "auto",
    "BILLING_CLASSIC_UNKNOWN": "hold",
    "TAPI_ENV": "production",
    "TAPI_SOCKET_GROUP": "tapi",
    "API_PORT": None,
}


def _plain(value: object) -> str:
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else as_text(value)


@pytest.mark.parametrize("name", OLD)
def test_an_old_env_file_works_unchanged(place: Place, name: str) -> None:
    place.env(*(f"{old}={as_text(value)}" for old, value in OLD.items()))
    settings = place.load()
    assert _plain(getattr(settings, name.lower())) == as_text(OLD[name])
    assert settings.origin(name.lower()) == ".env"
    assert settings.unknown == ()


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(place: Place, name: str) -> None:
    assert getattr(place.load(), name.lower()) == DEFAULTS[name]


def test_one_flat_namespace_of_at_least_66() -> None:
    assert len(VARIABLES) >= 66
    assert set(VARIABLES) == set(Settings.model_fields)
    assert sum(len(group.model_fields) for group in GROUPS) == len(VARIABLES)


@pytest.mark.parametrize("field", VARIABLES)
def test_every_variable_is_explained(field: str) -> None:
    variable = VARIABLES[field]
    assert variable.description.endswith(".")
    assert variable.allowed
    assert variable.group.__doc__


def test_settings_cannot_be_changed(place: Place) -> None:
    settings = place.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.api_port = 1
