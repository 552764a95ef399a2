"""Databases for suites that run against a fake and against every version of PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.conftest import MIGRATIONS, fresh_database

from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def migrated_15(postgres_15: str) -> str:
    """DSN of a PostgreSQL 15 with a database ``migrated`` to clone from."""
    with psycopg.connect(postgres_15, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    migrator = Migrator(dsn=make_conninfo(postgres_15, dbname="migrated"), directory=MIGRATIONS, agent_version="0")
    asyncio.run(migrator.up())
    return postgres_15


@pytest.fixture(params=["memory", "PostgreSQL 18", "PostgreSQL 15"])
def store_dsn(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """DSN of a database of the test's own; ``None`` where the fake is meant."""
    match request.param:
        case "memory":
            yield None
        case "PostgreSQL 18":
            yield request.getfixturevalue("database_dsn")
        case _:
            with fresh_database(request.getfixturevalue("migrated_15"), template="migrated") as dsn:
                yield dsn


@pytest.fixture
async def store_database(store_dsn: str | None) -> AsyncIterator[Database | None]:
    """The database behind ``store_dsn``."""
    if store_dsn is None:
        yield None
        return
    database = Database(dsn=store_dsn)
    await database.open()
    yield database
    await database.close()
