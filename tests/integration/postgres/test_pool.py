from __future__ import annotations

import asyncio
import logging
import select
import time
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from tapi_agent.adapters.postgres.errors import DatabaseRejected
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEVICE = "INSERT INTO edge_devices (device_id, tenant_id) VALUES (%s, 'acme')"


@pytest.fixture
async def nowhere() -> AsyncIterator[Database]:
    """A database whose server does not exist."""
    database = Database(dsn="host=/nonexistent password=s3cret user=tapi")
    await database.open()
    yield database
    await database.close()


async def devices(database: Database) -> list[object]:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT device_id FROM edge_devices ORDER BY device_id")
        return [row["device_id"] async for row in cursor]


async def test_a_block_is_one_transaction_committed_at_its_end(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(DEVICE, ["a"])
        await connection.execute(DEVICE, ["b"])
    assert await devices(database) == ["a", "b"]


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.connection() as connection:
            await connection.execute(DEVICE, ["a"])
            raise EOFError

    with pytest.raises(EOFError):
        await fail()
    assert await devices(database) == []


async def test_a_refusal_carries_sqlstate_constraint_and_cause(database: Database) -> None:
    with pytest.raises(DatabaseRejected, match="edge_devices_device_id_check") as error:
        async with database.connection() as connection:
            await connection.execute(DEVICE, [""])
    assert (error.value.sqlstate, error.value.constraint) == ("23514", "edge_devices_device_id_check")
    assert isinstance(error.value.__cause__, psycopg.errors.CheckViolation)


async def test_a_missing_table_means_not_migrated_yet(empty_database_dsn: str) -> None:
    database = Database(dsn=empty_database_dsn)
    await database.open()
    with pytest.raises(UnavailableError, match="schema not migrated yet"):
        await devices(database)
    await database.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TimeZone", "UTC"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "tapi-agent"),
        ("search_path", "public"),
    ],
)
async def test_every_session_has_its_settings(database_dsn: str, setting: str, value: str) -> None:
    database = Database(dsn=f"{database_dsn} options='-c search_path=public -c TimeZone=Asia/Tokyo'")
    await database.open()
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT current_setting(%s) AS value", [setting])
        assert await cursor.fetchone() == {"value": value}
    await database.close()


async def test_a_slow_statement_ends_at_its_timeout(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, statement_timeout=timedelta(milliseconds=100))
    await database.open()
    with pytest.raises(UnavailableError, match="statement timeout"):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(60)")
    await database.ping()
    await database.close()


async def test_no_caller_waits_more_than_a_second_for_a_busy_pool(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, size=1)
    await database.open()
    async with database.connection():
        start = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError, match="all are in use"):
            await database.ping()
        assert asyncio.get_running_loop().time() - start < 1.5
    await database.ping()
    await database.close()


async def test_a_crowd_is_turned_away_at_once(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, size=1)
    await database.open()
    async with database.connection():
        outcomes = await asyncio.gather(*(database.ping() for _ in range(70)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {UnavailableError}
    assert sum("already 64 requests waiting" in str(outcome) for outcome in outcomes) == 70 - 64
    await database.close()


async def test_without_a_server_opening_is_instant_and_a_call_says_why(nowhere: Database) -> None:
    with pytest.raises(UnavailableError, match=r"PostgreSQL is unreachable: .*/nonexistent/") as error:
        await nowhere.ping()
    assert "s3cret" not in f"{error.value} {error.value.fix} {error.value.__cause__}"


async def test_an_outage_is_not_logged_by_the_pool(nowhere: Database, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await nowhere.ping()
    assert [record for record in caplog.records if record.name.startswith("psycopg")] == []


async def test_a_closed_database_is_unavailable(database_dsn: str) -> None:
    database = Database(dsn=database_dsn)
    await database.open()
    await database.close()
    with pytest.raises(UnavailableError, match="closed"):
        await database.ping()


@pytest.mark.parametrize(
    "dsn",
    [
        pytest.param("s3cret", id="no key"),
        pytest.param("nonsense=s3cret", id="unknown key"),
        pytest.param("postgresql://u:s3cret@[::1/d", id="broken URL"),
        pytest.param("postgresql://u:s3cret@h:port/d", id="port that is no number"),
        pytest.param("postgresql://u:p@s3cret@h/d", id="unquoted @ in the password"),
        pytest.param("postgresql://u:s3cret/word@h/d", id="unquoted / in the password"),
    ],
)
def test_a_malformed_dsn_is_a_configuration_error_that_does_not_quote_it(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="DSN") as error:
        Database(dsn=dsn)
    assert "s3cret" not in "".join([*traceback.format_exception(error.value), error.value.fix])


async def test_an_answer_that_waited_for_us_is_no_silence(database: Database) -> None:
    """The process stood still (a stopped machine, a busy one) while PostgreSQL answered in time."""
    async with database.connection() as connection:
        connection.patience = timedelta(milliseconds=50)
        answer = asyncio.ensure_future(connection.execute("SELECT 7 AS n FROM pg_sleep(0.01)"))
        await asyncio.sleep(0)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            select.select([connection.pgconn.socket], [], [], 0.2)
        assert await (await answer).fetchall() == [{"n": 7}]
        await connection.execute("SELECT")
