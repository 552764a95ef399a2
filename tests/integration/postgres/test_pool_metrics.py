"""What the pool counts is in the exposition, read at the moment of the scrape; a transaction can have its own limit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tapi_agent import telemetry
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.telemetry.pool import PoolCollector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Database]:
    """A pool of two connections, watched."""
    database = Database(dsn=database_dsn, size=2, statement_timeout=timedelta(milliseconds=500))
    telemetry.POSTGRES_POOL.watch(database.statistics)
    await database.open()
    yield database
    await database.close()


def scrape() -> dict[str, float]:
    """The pool's metrics without what their names have in common."""
    families = text_string_to_metric_families(telemetry.exposition().decode())
    samples = [sample for family in families for sample in family.samples]
    prefix = "tapi_postgres_pool_"
    return {one.name.removeprefix(prefix): one.value for one in samples if one.name.startswith(prefix)}


async def test_connections_are_told_as_they_are(pool: Database) -> None:
    await pool.ping()
    async with asyncio.timeout(10):
        while scrape()["available"] < 2:
            await pool.ping()
    assert (scrape()["limit"], scrape()["size"]) == (2, 2)
    async with pool.connection(), pool.connection():
        assert scrape()["available"] == 0
        waiting = asyncio.create_task(pool.ping())
        await asyncio.sleep(0)
        assert scrape()["waiting"] == 1
    await waiting
    assert scrape()["waiting"] == 0


async def test_requests_are_counted_with_the_time_they_took(pool: Database) -> None:
    await pool.ping()
    before = scrape()
    async with pool.connection() as first, pool.connection() as second:
        with suppress(UnavailableError):
            await pool.ping()
        await asyncio.gather(first.execute("SELECT pg_sleep(0.02)"), second.execute("SELECT pg_sleep(0.02)"))
    grown = {name: value - before[name] for name, value in scrape().items()}
    assert (grown["requests_total"], grown["request_errors_total"]) == (3, 1)
    assert grown["requests_queued_total"] >= 1
    assert 0.9 < grown["wait_seconds_total"] < 5
    assert 2 < grown["use_seconds_total"] < 10


async def test_attempts_that_fail_are_counted() -> None:
    nowhere = Database(dsn="host=/nonexistent")
    telemetry.POSTGRES_POOL.watch(nowhere.statistics)
    await nowhere.open()
    with pytest.raises(UnavailableError):
        await nowhere.ping()
    counted = scrape()
    await nowhere.close()
    assert counted["connections_total"] >= counted["connection_errors_total"] >= 1
    assert (counted["size"], counted["available"]) == (counted["size"], 0)


def test_before_there_is_a_pool_nothing_is_told() -> None:
    assert list(PoolCollector().collect()) == []


SLOW = "SELECT pg_sleep(1.7)"
"""Longer than the pool's limit and its patience."""


@pytest.mark.parametrize("limit", [None, timedelta(milliseconds=100)])
async def test_a_statement_ends_at_its_limit(pool: Database, limit: timedelta | None) -> None:
    with pytest.raises(UnavailableError, match="statement timeout"):
        async with pool.connection(statement_timeout=limit) as connection:
            await connection.execute(SLOW)


async def test_a_transaction_may_bring_a_longer_limit(pool: Database) -> None:
    async with pool.connection(statement_timeout=timedelta(minutes=1)) as connection:
        assert (await connection.execute(SLOW)).rowcount == 1


async def test_the_limit_of_one_transaction_is_not_that_of_the_next(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, size=1)
    await database.open()
    asked = "SELECT current_setting('statement_timeout') AS value"
    for limit, shown in ((timedelta(minutes=1), "1min"), (None, "5s")):
        async with database.connection(statement_timeout=limit) as connection:
            assert await (await connection.execute(asked)).fetchone() == {"value": shown}
            assert connection.patience == (limit or timedelta(seconds=5)) + timedelta(seconds=1)
    await database.close()


async def test_a_busy_pool_says_what_to_do(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, size=1)
    await database.open()
    async with database.connection():
        with pytest.raises(UnavailableError, match="all are in use") as error:
            await database.ping()
    assert "raise POSTGRES_POOL_SIZE" in error.value.fix
    await database.close()
