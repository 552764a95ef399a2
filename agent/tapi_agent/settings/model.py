"""All settings in one flat, frozen object; what in them contradicts, and what is missing for the agent's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, PrivateAttr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tapi_agent.settings.agent import Agent, Files, Identity, LocalApi, Logging, Plugins
from tapi_agent.settings.layer import Layer
from tapi_agent.settings.licensing import Billing, Licensing
from tapi_agent.settings.stores import Postgres, Redis, Telemetry
from tapi_agent.settings.usage import Delivery, Metering, Space
from tapi_agent.settings.values import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

DEFAULT: Final = "default"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LEVELS: Final = {"trace": "debug", "warn": "warning"}


class Settings(
    Identity,
    Billing,
    Licensing,
    Postgres,
    Redis,
    Metering,
    Delivery,
    Space,
    Telemetry,
    Agent,
    LocalApi,
    Plugins,
    Logging,
    Files,
    BaseSettings,
):
    """Every variable under its name in lower case. Made by ``load``, which is the only door."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    _layers: tuple[Layer, ...] = PrivateAttr(())

    def __init__(self, *layers: Layer) -> None:
        super().__init__(_build_sources=(layers, {}))
        self._layers = layers

    def origin(self, name: str) -> str:
        """The place that decided the field ``name``."""
        return next((layer.origin for layer in self._layers if name in layer.values), DEFAULT)

    @property
    def level(self) -> str:
        """LOG_LEVEL by its standard name; debug in DEBUG_MODE."""
        return "debug" if self.debug_mode else _LEVELS.get(self.log_level, self.log_level)

    @property
    def log_path(self) -> Path:
        """Where the log file is, if there is one."""
        return self.log_file_path or self.tapi_state_dir / "log" / "agent.log"

    @property
    def unknown(self) -> tuple[str, ...]:
        """Remarks on names in .env that look like ours and are not."""
        return tuple(remark for layer in self._layers for remark in layer.unknown)

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps the agent from its work although it can run: each a sentence that says what to do."""
        risks = (layer.risk for layer in self._layers if layer.risk)
        return (*_missing(self), *_doubtful(self), *risks)


GROUPS: Final = cast("tuple[type[BaseModel], ...]", Settings.__bases__[:-1])
"""In the order in which the templates and the documentation show them."""


def _missing(settings: Settings) -> Iterator[str]:
    if not settings.tenant_id:
        yield "TENANT_ID is not set: set it to the tenant this device belongs to, as the billing service knows it"
    if not (settings.enable_license_validation or settings.enable_usage_tracking or settings.enable_heartbeat):
        return
    if not settings.billing_service_url:
        yield "BILLING_SERVICE_URL is not set: set it to the billing service, such as https://billing.example/api/v1"
    if not settings.billing_api_key:
        yield "BILLING_API_KEY is not set: set it, or give the systemd unit LoadCredential=api-key:FILE"


def _doubtful(settings: Settings) -> Iterator[str]:
    url = urlsplit(settings.billing_service_url or "")
    if url.scheme == "http" and url.hostname not in _LOOPBACK:
        yield "BILLING_SERVICE_URL uses http: the API key can be read on the way; use https"
    if settings.bypass_license_check:
        yield "BYPASS_LICENSE_CHECK is on: every feature is allowed without a license; switch it off"
    if settings.postgres_dsn and settings.postgres_host:
        yield "POSTGRES_DSN and POSTGRES_HOST are both set: the DSN is used; remove one of them"
    if settings.redis_url and settings.redis_host:
        yield "REDIS_URL and REDIS_HOST are both set: the URL is used; remove one of them"


def contradictions(settings: Settings) -> Iterator[str]:
    """Why values that are each allowed cannot stand together; each sentence names the variables."""
    allowance = settings.offline_allowance
    if settings.enable_offline_mode and settings.freshness > allowance / 2:
        yield (
            f"LICENSE_CACHE_TTL_SECONDS is {_seconds(settings.freshness)}, more than half of the offline allowance, "
            f"OFFLINE_GRACE_PERIOD_HOURS ({_seconds(allowance)} seconds); allowed: at most {_seconds(allowance / 2)}, "
            "or ENABLE_OFFLINE_MODE=false"
        )
    if settings.bypass_license_check and settings.tapi_env != "development":
        yield f"BYPASS_LICENSE_CHECK is true while TAPI_ENV is {settings.tapi_env}; allowed: with TAPI_ENV=development"
    if not settings.spool_min_free_bytes < settings.spool_slow_free_bytes < settings.spool_shed_free_bytes:
        given = (settings.spool_min_free_bytes, settings.spool_slow_free_bytes, settings.spool_shed_free_bytes)
        yield (
            f"SPOOL_MIN_FREE_BYTES, SPOOL_SLOW_FREE_BYTES and SPOOL_SHED_FREE_BYTES are "
            f"{', '.join(map(as_text, given))}; allowed: each greater than the one before"
        )


def _seconds(duration: timedelta) -> str:
    return as_text(duration.total_seconds())
