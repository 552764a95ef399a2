from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.ids import DeviceId, TenantId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A migrated database of the test's own, open."""
    database = Database(dsn=database_dsn)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> PostgresCameras:
    """The cameras of a box in it."""
    return PostgresCameras(database=database, device_id=DeviceId("box"), tenant_id=TenantId("acme"))
