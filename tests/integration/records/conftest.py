from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.pool import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn=database_dsn)
    await database.open()
    yield database
    await database.close()
