from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.errors import DatabaseRejected
from tapi_agent.adapters.postgres.partitions import ensure_month, ensure_months, month_name, months
from tapi_agent.adapters.postgres.pool import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MARCH = datetime(2026, 3, 15, 12, tzinfo=UTC)
PARENT = """
CREATE TABLE readings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    value numeric NOT NULL CONSTRAINT positive CHECK (value > 0),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX readings_by_time ON readings (at)
"""
CHILDREN = """
SELECT child.relname AS name, pg_get_expr(child.relpartbound, child.oid) AS bounds
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'readings'::regclass ORDER BY child.relname
"""


@pytest.fixture
async def database(every_empty_dsn: str) -> AsyncIterator[Database]:
    with psycopg.connect(every_empty_dsn) as connection:
        connection.execute(PARENT)
    database = Database(dsn=every_empty_dsn)
    await database.open()
    yield database
    await database.close()


async def ensure(database: Database, first: datetime, last: datetime | None = None) -> None:
    async with database.connection() as connection:
        await ensure_months(connection, "readings", first, last or first)


async def children(database: Database) -> dict[str, str]:
    async with database.connection() as connection:
        cursor = await connection.execute(CHILDREN)
        return {row["name"]: row["bounds"] async for row in cursor}


async def insert(database: Database, at: datetime, value: int = 1) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO readings (at, value) VALUES (%s, %s)", [at, value])


async def test_a_row_without_its_month_is_refused_and_then_accepted(database: Database) -> None:
    with pytest.raises(DatabaseRejected) as error:
        await insert(database, MARCH)
    assert (error.value.sqlstate, error.value.constraint) == ("23514", None)
    async with database.connection() as connection:
        await ensure_month(connection, "readings", MARCH)
    await insert(database, MARCH)


async def test_months_are_whole_utc_months(database: Database) -> None:
    await ensure(database, datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert await children(database) == {
        "readings_2025_12": "FOR VALUES FROM ('2025-12-01 00:00:00+00') TO ('2026-01-01 00:00:00+00')",
        "readings_2026_01": "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')",
        "readings_2026_02": "FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00')",
    }


async def test_the_first_and_the_last_instant_of_a_month_have_a_place(database: Database) -> None:
    await ensure(database, MARCH)
    await insert(database, datetime(2026, 3, 1, tzinfo=UTC))
    await insert(database, datetime(2026, 4, 1, tzinfo=UTC) - timedelta(microseconds=1))
    with pytest.raises(DatabaseRejected):
        await insert(database, datetime(2026, 4, 1, tzinfo=UTC))


async def test_a_month_has_the_parents_constraints_and_indexes(database: Database) -> None:
    await ensure(database, MARCH)
    with pytest.raises(DatabaseRejected) as error:
        await insert(database, MARCH, value=0)
    assert (error.value.sqlstate, error.value.constraint) == ("23514", "positive")
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM pg_indexes WHERE tablename = 'readings_2026_03'")
        assert await cursor.fetchone() == {"n": 2}


async def test_asking_again_changes_nothing(database: Database) -> None:
    await ensure(database, MARCH)
    await insert(database, MARCH)
    await ensure(database, MARCH, MARCH + timedelta(days=31))
    assert set(await children(database)) == {"readings_2026_03", "readings_2026_04"}


async def test_a_detached_month_is_taken_back_with_its_rows(database: Database) -> None:
    await ensure(database, MARCH)
    await insert(database, MARCH)
    async with database.connection() as connection:
        await connection.execute("ALTER TABLE readings DETACH PARTITION readings_2026_03")
    await ensure(database, MARCH)
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS n FROM readings")
        assert await cursor.fetchone() == {"n": 1}


async def test_many_who_need_the_same_months_at_once_all_get_them(database: Database) -> None:
    year = MARCH, MARCH + timedelta(days=365)
    await asyncio.gather(*(ensure(database, *year) for _ in range(8)))
    assert len(await children(database)) == 13


async def test_a_reader_in_the_middle_of_a_transaction_blocks_nobody(database: Database) -> None:
    await ensure(database, MARCH)
    async with database.connection() as reader:
        await reader.execute("SELECT * FROM readings")
        await ensure(database, MARCH + timedelta(days=31))
        await insert(database, MARCH + timedelta(days=31))


async def test_a_rolled_back_month_can_be_made_again(database: Database, every_empty_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(every_empty_dsn, row_factory=dict_row) as connection:
        await ensure_month(connection, "readings", MARCH)
        await connection.rollback()
    assert await children(database) == {}
    await ensure(database, MARCH)
    await insert(database, MARCH)


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        pytest.param(MARCH, MARCH, ["t_2026_03"], id="one"),
        pytest.param(MARCH, MARCH - timedelta(days=40), [], id="backwards"),
        pytest.param(
            datetime(2026, 4, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 3, 31, 22, tzinfo=timezone(timedelta(hours=-3))),
            ["t_2026_03", "t_2026_04"],
            id="other time zones",
        ),
    ],
)
def test_months_are_counted_in_utc(first: datetime, last: datetime, names: list[str]) -> None:
    assert [month_name("t", start) for start, _ in months(first, last)] == names
