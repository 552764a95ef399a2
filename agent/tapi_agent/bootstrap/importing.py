"""An import from old SQLite files, put together for the command: no agent needs to run, and one may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.device import device_id
from tapi_agent.adapters.engines import EmbeddedPostgres
from tapi_agent.adapters.files import keep_first
from tapi_agent.adapters.legacy.folder import LegacyFolder
from tapi_agent.adapters.postgres.imports import PostgresImports
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.bootstrap.core import VERSION
from tapi_agent.bootstrap.stores import with_migrator
from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.services.importing import DryRun, Importing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tapi_agent.adapters.postgres.migrator import Migrator
    from tapi_agent.settings import Settings

Result = TypeVar("Result")

_CONNECTIONS: Final = 2
"""One for the rows of a file, one for the months they need."""
_PATIENCE: Final = timedelta(minutes=5)
"""For one statement over one chunk of rows, on a box whose disk is busy otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """From where and for whom; ``None``: the settings' own."""

    folder: Path
    tenant: str | None = None
    device: str | None = None


def dry_run(folder: Path) -> Importing:
    """An import that needs no database and writes nothing."""
    return Importing(folder=LegacyFolder(folder), store=DryRun(), clock=SystemClock())


async def with_importing(
    settings: Settings, wanted: Import, action: Callable[[Importing], Awaitable[Result]]
) -> Result:
    """Do something with an import into the configured database, brought to this version's schema first."""
    tenant, device = _tenant(settings, wanted.tenant), _device(settings, wanted.device)

    async def migrated(migrator: Migrator) -> Result:
        await migrator.up()
        database = _database(settings)
        await database.open()
        store = PostgresImports(database=database, tenant_id=tenant, device_id=device, agent_version=VERSION)
        try:
            return await action(Importing(folder=LegacyFolder(wanted.folder), store=store, clock=SystemClock()))
        finally:
            await database.close()

    return await with_migrator(settings, migrated)


def _tenant(settings: Settings, given: str | None) -> TenantId:
    if tenant := given or settings.tenant_id:
        return TenantId(tenant)
    raise ConfigurationError("nobody to import for: TENANT_ID is not set", fix="set TENANT_ID, or use --tenant")


def _device(settings: Settings, given: str | None) -> DeviceId:
    """As the agent finds its own."""
    return (
        DeviceId(given)
        if given
        else device_id(settings.edge_device_id, kept=settings.tapi_state_dir / "device.id", keep=keep_first)
    )


def _database(settings: Settings) -> Database:
    site = settings.postgres_conninfo
    return Database(
        dsn=site.get_secret_value() if site else EmbeddedPostgres(settings.tapi_state_dir).dsn,
        size=_CONNECTIONS,
        connect_timeout=settings.postgres_connection_timeout,
        statement_timeout=_PATIENCE,
    )
