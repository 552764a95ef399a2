"""Trusted time on a real file and a real PostgreSQL: either may be lost, hang, or belong to another device."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from structlog.testing import capture_logs
from tests.conftest import MIGRATIONS

from tapi_agent.adapters.files import FileMark
from tapi_agent.adapters.postgres.marks import PostgresMark
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.trusted_time import BUILT
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import START, FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Server

Y1970 = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Box:
    """Starts timekeepers on the same stores."""

    def __init__(self, file: Path, database: Database) -> None:
        self.file = file
        self.machine = FakeClock()
        self._database = database

    async def start(self, key: DeviceKey | None = None) -> Timekeeper:
        key = key or DeviceKey(bytes(32))
        timekeeper = Timekeeper(
            clock=self.machine,
            store=FileMark(self.file, key=key),
            others=[PostgresMark(database=self._database, device_id=DeviceId("box"), key=key)],
        )
        await timekeeper.start()
        return timekeeper

    async def leave_marks(self) -> None:
        timekeeper = await self.start()
        await timekeeper.consult()
        await timekeeper.persist()
        assert held(timekeeper) == [True, True]
        self.machine.reboot(wall=Y1970)


@pytest.fixture
async def box(database_dsn: str, tmp_path: Path) -> AsyncIterator[Box]:
    database = Database(dsn=database_dsn)
    await database.open()
    yield Box(tmp_path / "clock.mark", database)
    await database.close()


def held(timekeeper: Timekeeper) -> list[bool | None]:
    return [mark.held for mark in timekeeper.describe().marks]


async def test_a_lost_state_directory(box: Box) -> None:
    await box.leave_marks()
    box.file.unlink()
    timekeeper = await box.start()
    assert timekeeper.now() == BUILT
    await timekeeper.consult()
    assert timekeeper.now() == START


async def test_an_emptied_database(box: Box, database_dsn: str) -> None:
    await box.leave_marks()
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE trusted_time")
    timekeeper = await box.start()
    await timekeeper.consult()
    assert (timekeeper.now(), held(timekeeper)) == (START, [True, True])
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT device_id, at FROM trusted_time").fetchall() == [("box", START)]


async def test_a_new_device_key_makes_both_worthless_and_is_told(box: Box) -> None:
    await box.leave_marks()
    timekeeper = await box.start(DeviceKey(b"\x01" * 32))
    with capture_logs() as logs:
        await timekeeper.consult()
    assert timekeeper.now() == BUILT
    assert [entry["event"] for entry in logs] == ["clock.mark_lost"]
    assert "not sealed by this device's key" in timekeeper.describe().marks[0].problem
    await timekeeper.persist()
    assert held(timekeeper) == [True, True]


async def test_a_postgresql_that_hangs_keeps_the_file_waiting_for_nothing(
    private_postgres: Server, tmp_path: Path
) -> None:
    dsn = private_postgres.address
    await Migrator(dsn=dsn, directory=MIGRATIONS, agent_version="0").up()
    database = Database(dsn=dsn)
    await database.open()
    box = Box(tmp_path / "clock.mark", database)
    timekeeper = await box.start()
    await timekeeper.consult()
    await timekeeper.persist()
    private_postgres.freeze()
    box.machine.advance(HOUR)
    async with asyncio.timeout(30):
        await timekeeper.persist()
    assert held(timekeeper) == [True, False]
    assert (await box.start()).now() == START + HOUR
    private_postgres.thaw()
    async with asyncio.timeout(30):
        while held(timekeeper) != [True, True]:
            await timekeeper.consult()
            await timekeeper.persist()
    await database.close()
