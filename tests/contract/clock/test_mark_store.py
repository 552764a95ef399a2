"""One suite for the stores of the mark of trusted time: memory, the file, PostgreSQL."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import fresh_database

from tapi_agent.adapters.files import FileMark
from tapi_agent.adapters.postgres.marks import PostgresMark
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.domain.errors import IntegrityError, UnavailableError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.mark_form import PURPOSE
from tapi_agent.domain.trusted_time import Mark
from tapi_agent.testing.licenses import MemoryMark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tapi_agent.ports.clock import MarkStore

BOX = DeviceId("box")
KEY, OTHER_KEY = DeviceKey(bytes(32)), DeviceKey(b"\x01" * 32)
MARK = Mark(
    at=datetime(2027, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC),
    boot_id="c6a2b6ff-2a8d-4c30-8f51-7a4d6e1a0b11",
    boottime=timedelta(days=40, microseconds=1),
    raised=timedelta(hours=23, microseconds=999_999),
    confirmed_in="first",
    settled_in="second",
    resets=3,
)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with opened(database_dsn) as database:
        yield database


@pytest.fixture(params=["memory", "file", "PostgreSQL 18", "PostgreSQL 15"])
def where(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the store is, or the DSN of its database."""
    match request.param:
        case "PostgreSQL 18":
            yield request.getfixturevalue("database_dsn")
        case "PostgreSQL 15":
            with fresh_database(request.getfixturevalue("migrated_15"), template="migrated") as dsn:
                yield dsn
        case kind:
            yield kind


@pytest.fixture
async def store(where: str, tmp_path: Path) -> AsyncIterator[MarkStore]:
    match where:
        case "memory":
            yield MemoryMark()
        case "file":
            yield FileMark(tmp_path / "clock.mark", key=KEY)
        case dsn:
            async with opened(dsn) as database:
                yield PostgresMark(database=database, device_id=BOX, key=KEY)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn=dsn)
    await database.open()
    yield database
    await database.close()


async def test_at_first_there_is_none(store: MarkStore) -> None:
    assert await store.load() is None


async def test_it_comes_back_as_it_was(store: MarkStore) -> None:
    await store.save(MARK)
    assert await store.load() == MARK


async def test_the_latest_counts_even_when_it_is_earlier(store: MarkStore) -> None:
    await store.save(MARK)
    lowered = replace(MARK, at=MARK.at - timedelta(days=400), resets=4)
    await store.save(lowered)
    assert await store.load() == lowered


async def test_each_device_has_its_own(database: Database) -> None:
    one, two = (PostgresMark(database=database, device_id=DeviceId(name), key=KEY) for name in ("one", "two"))
    await one.save(MARK)
    assert await two.load() is None
    await two.save(replace(MARK, resets=9))
    assert await one.load() == MARK


async def test_people_can_read_when_it_was(database: Database) -> None:
    await PostgresMark(database=database, device_id=BOX, key=KEY).save(MARK)
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT at FROM trusted_time")).fetchone()
    assert row["at"] == MARK.at


@pytest.mark.parametrize("payload", ["", "{}", "[]", '{"at": "yesterday"}'])
async def test_a_sealed_mark_of_another_form_counts_as_lost(database: Database, payload: str) -> None:
    store = PostgresMark(database=database, device_id=BOX, key=KEY)
    await write(database, KEY.seal(payload, purpose=PURPOSE))
    with pytest.raises(IntegrityError, match="fails verification"):
        await store.load()


async def test_the_mark_of_another_key_counts_as_lost_until_it_is_written_over(database: Database) -> None:
    await PostgresMark(database=database, device_id=BOX, key=OTHER_KEY).save(MARK)
    store = PostgresMark(database=database, device_id=BOX, key=KEY)
    with pytest.raises(IntegrityError, match="not sealed by this device's key"):
        await store.load()
    await store.save(MARK)
    assert await store.load() == MARK


async def test_a_mark_changed_by_hand_counts_as_lost(database: Database) -> None:
    store = PostgresMark(database=database, device_id=BOX, key=KEY)
    await store.save(MARK)
    async with database.connection() as connection:
        await connection.execute("UPDATE trusted_time SET mark = replace(mark, '2027', '2026')")
    with pytest.raises(IntegrityError):
        await store.load()


async def test_a_file_of_the_first_release_has_seen_no_reset(tmp_path: Path) -> None:
    payload = '{"at":"2027-03-01T12:00:00+00:00","boot_id":"b","boottime_us":1,"raised_us":0,'
    payload += '"confirmed_in":"","settled_in":""}'
    (tmp_path / "clock.mark").write_text(KEY.seal(payload, purpose=PURPOSE))
    mark = await FileMark(tmp_path / "clock.mark", key=KEY).load()
    assert (mark.resets, mark.boot_id) == (0, "b")


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "clock.mark").write_bytes(b"\xff")
    store = FileMark(tmp_path / "clock.mark", key=KEY)
    with pytest.raises(IntegrityError):
        await store.load()
    assert await store.load() is None
    assert (tmp_path / "clock.mark.corrupt").read_bytes() == b"\xff"


async def test_a_store_that_is_closed_is_unavailable(database: Database) -> None:
    store = PostgresMark(database=database, device_id=BOX, key=KEY)
    await database.close()
    with pytest.raises(UnavailableError):
        await store.load()
    with pytest.raises(UnavailableError):
        await store.save(MARK)


async def write(database: Database, sealed: str) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO trusted_time (device_id, mark, at) VALUES (%s, %s, now())", (str(BOX), sealed)
        )
