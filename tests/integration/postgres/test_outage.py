"""PostgreSQL killed, frozen, restarted: no caller hangs, and the pool heals by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Server

STATEMENT = timedelta(seconds=1)
PATIENCE = 2.0
MARGIN = 0.5


@pytest.fixture
async def database(private_postgres: Server) -> AsyncIterator[Database]:
    database = Database(dsn=private_postgres.address, statement_timeout=STATEMENT)
    await database.open()
    await database.ping()
    yield database
    await database.close()


async def seconds_of(statement: str, database: Database) -> float:
    """How long a statement took that got no answer."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(UnavailableError):
        async with database.connection() as connection:
            await connection.execute(statement)
    return loop.time() - start


async def nap(database: Database) -> None:
    """Keep a connection for a moment, so that callers at the same time need others."""
    async with database.connection() as connection:
        await connection.execute("SELECT pg_sleep(0.1)")


async def first_success(database: Database) -> float:
    """Call until it works; the loop's time then."""
    while True:
        with suppress(UnavailableError):
            await database.ping()
            return asyncio.get_running_loop().time()


@pytest.mark.parametrize("pause", [0.0, 0.7, 1.6, 2.9], ids="down for {:.1f} s and more".format)
async def test_after_a_kill_the_first_statement_succeeds_within_a_second(
    database: Database, private_postgres: Server, pause: float
) -> None:
    private_postgres.kill()
    calling = asyncio.ensure_future(first_success(database))
    await asyncio.wait([calling], timeout=pause)
    await asyncio.to_thread(private_postgres.start)
    back = asyncio.get_running_loop().time()
    assert await calling - back < 1.0


async def test_a_kill_in_the_middle_of_a_statement_is_unavailable_at_once(
    database: Database, private_postgres: Server
) -> None:
    running = asyncio.ensure_future(seconds_of("SELECT pg_sleep(60)", database))
    await asyncio.wait([running], timeout=0.2)
    private_postgres.kill()
    assert await running < 0.2 + MARGIN


async def test_a_restart_that_nobody_saw_costs_nobody_an_error(database: Database, private_postgres: Server) -> None:
    await asyncio.gather(*(nap(database) for _ in range(10)))
    private_postgres.kill()
    await asyncio.to_thread(private_postgres.start)
    await asyncio.gather(*(nap(database) for _ in range(10)))


async def test_connections_cut_by_the_server_are_replaced_unseen(database: Database) -> None:
    async with database.connection() as other:
        others = "usename = 'tapi' AND pid <> pg_backend_pid()"
        await other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608 - ours
    assert await database.ping() is None


async def test_a_freeze_ends_a_running_statement_in_bounded_time(database: Database, private_postgres: Server) -> None:
    running = asyncio.ensure_future(seconds_of("SELECT pg_sleep(60)", database))
    await asyncio.wait([running], timeout=0.2)
    private_postgres.freeze()
    assert PATIENCE - MARGIN < await running < PATIENCE + MARGIN
    private_postgres.thaw()
    assert await first_success(database)


async def test_a_frozen_server_turns_callers_away_within_a_second(database: Database, private_postgres: Server) -> None:
    private_postgres.freeze()
    assert max(await asyncio.gather(*(seconds_of("SELECT 1", database) for _ in range(5)))) < 1.0 + MARGIN
    private_postgres.thaw()
    assert await first_success(database)


async def test_a_canceled_statement_is_canceled_on_the_server_too(database: Database) -> None:
    running = asyncio.ensure_future(seconds_of("SELECT pg_sleep(60)", database))
    await asyncio.wait([running], timeout=0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%sleep(60)'")
        assert await cursor.fetchone() == {"n": 0}


async def test_a_caller_canceled_during_a_freeze_gets_away(database: Database, private_postgres: Server) -> None:
    running = asyncio.ensure_future(seconds_of("SELECT pg_sleep(60)", database))
    await asyncio.wait([running], timeout=0.2)
    private_postgres.freeze()
    running.cancel()
    await asyncio.wait([running], timeout=10)
    assert running.cancelled()
    private_postgres.thaw()
    assert await first_success(database)
