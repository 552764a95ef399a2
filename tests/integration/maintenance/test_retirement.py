"""Months go whole, hold nobody up on their way, and a kill at any point loses nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from tapi_agent.adapters.postgres.partitions import ensure_month
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAINTAINER: Final = Path(__file__).with_name("maintainer.py")
JANUARY: Final = datetime(2026, 1, 10, tzinfo=UTC)
BEFORE: Final = datetime(2026, 2, 5, tzinfo=UTC)
"""January has ended, February has not."""
LEAVING: Final = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhdetachpending"
SEEN: Final = """
INSERT INTO telemetry_events (tenant_id, camera_id, occurred_at, event_type, source_id)
VALUES ('t', 'c', %s, 'custom', '')
"""
WAITS: Final = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND query ~ 'DETACH' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


def two_months(rig: Any, parent: str) -> None:
    rig.month(parent, "2026-01-01", "2026-02-01")
    rig.month(parent, "2026-02-01", "2026-03-01")


async def until(rig: Any, condition: str) -> None:
    """Wait until the query has a row."""
    async with asyncio.timeout(30):
        while not rig.query(condition):
            await asyncio.sleep(0.01)


async def kill_while_detaching(rig: Any) -> None:
    """A process takes January of telemetry away, and is killed while it waits for a reader; the reader then ends."""
    command = (sys.executable, MAINTAINER, rig.dsn, "retire_telemetry", BEFORE.isoformat())
    with psycopg.connect(rig.dsn) as reader:
        reader.execute("SELECT count(*) FROM telemetry_events")
        process = await asyncio.create_subprocess_exec(*command)
        await until(rig, WAITS)
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        await until(rig, f"SELECT WHERE NOT EXISTS ({WAITS})")
    assert [row["relname"] for row in rig.query(LEAVING)] == ["telemetry_events_2026_01"]


async def test_a_month_of_telemetry_goes_with_all_its_rows_once_it_is_old_enough(every_rig: Any) -> None:
    two_months(every_rig, "telemetry_events")
    every_rig.execute(SEEN, [JANUARY])
    assert await every_rig.upkeep.retire_telemetry(datetime(2026, 1, 31, tzinfo=UTC)) == []
    assert await every_rig.upkeep.retire_telemetry(BEFORE) == ["telemetry_events_2026_01"]
    assert every_rig.months("telemetry_events") == ["telemetry_events_2026_02"]
    assert await every_rig.upkeep.retire_telemetry(BEFORE) == []


async def test_a_month_of_usage_goes_only_when_it_is_empty(every_rig: Any) -> None:
    two_months(every_rig, "usage_events")
    kept = every_rig.event(datetime(2026, 6, 15, 12, tzinfo=UTC) - JANUARY, "pending")
    assert await every_rig.upkeep.retire_usage(BEFORE) == []
    assert every_rig.events() == {kept}
    every_rig.execute("DELETE FROM usage_events")
    assert await every_rig.upkeep.retire_usage(BEFORE) == ["usage_events_2026_01"]
    assert every_rig.months("usage_events") == ["usage_events_2026_02"]


async def test_an_interrupted_detachment_is_finished(every_rig: Any) -> None:
    two_months(every_rig, "telemetry_events")
    await kill_while_detaching(every_rig)
    assert await every_rig.upkeep.retire_telemetry(BEFORE) == ["telemetry_events_2026_01"]
    assert every_rig.months("telemetry_events") == ["telemetry_events_2026_02"]


async def test_what_an_interrupted_detachment_hides_comes_back_when_it_is_to_be_kept(rig: Any) -> None:
    two_months(rig, "telemetry_events")
    rig.execute(SEEN, [JANUARY])
    await kill_while_detaching(rig)
    assert rig.value("SELECT count(*) FROM telemetry_events") == 0
    assert await rig.upkeep.retire_telemetry(datetime(2025, 1, 1, tzinfo=UTC)) == []
    assert rig.value("SELECT count(*) FROM telemetry_events") == 1
    assert rig.value("SELECT obj_description('telemetry_events_2026_01'::regclass)") is None


async def test_nobody_makes_a_month_that_is_half_gone(rig: Any) -> None:
    two_months(rig, "telemetry_events")
    await kill_while_detaching(rig)
    with pytest.raises(UnavailableError, match="telemetry_events_2026_01 is just being taken away"):
        async with rig.database.connection() as connection:
            await ensure_month(connection, "telemetry_events", JANUARY)
    await rig.upkeep.retire_telemetry(BEFORE)
    async with rig.database.connection() as connection:
        await ensure_month(connection, "telemetry_events", JANUARY)
    rig.execute(SEEN, [JANUARY])


@asynccontextmanager
async def detaching(rig: Any) -> AsyncIterator[asyncio.Task[list[str]]]:
    """January of usage events is being detached, and waits for a transaction that lasts as long as the block."""
    with psycopg.connect(rig.dsn) as slow:
        slow.execute("SELECT count(*) FROM usage_events")
        task = asyncio.create_task(rig.upkeep.retire_usage(BEFORE))
        await until(rig, WAITS)
        yield task
        slow.rollback()


async def test_readers_and_writers_of_other_months_do_not_wait_for_a_detachment(rig: Any) -> None:
    two_months(rig, "usage_events")
    async with detaching(rig) as task:
        rig.execute("SET statement_timeout = '2s'")
        kept = rig.event(datetime(2026, 6, 15, 12, tzinfo=UTC) - BEFORE)
        async with rig.database.connection() as connection:
            await ensure_month(connection, "usage_events", datetime(2026, 3, 1, tzinfo=UTC))
        assert rig.events() == {kept}
        with pytest.raises(UnavailableError, match="usage_events_2026_01 is just being taken away"):
            async with rig.database.connection() as connection:
                await ensure_month(connection, "usage_events", JANUARY)
    assert await task == ["usage_events_2026_01"]


async def test_an_agent_that_stops_lets_go_at_once(rig: Any) -> None:
    two_months(rig, "usage_events")
    async with detaching(rig) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(5):
                await task
    assert await rig.upkeep.retire_usage(BEFORE) == ["usage_events_2026_01"]


async def test_a_row_that_came_in_at_the_last_moment_brings_the_month_back(rig: Any) -> None:
    two_months(rig, "usage_events")
    with psycopg.connect(rig.dsn, autocommit=True) as other:
        async with detaching(rig) as task:
            # The session that has not looked at the table for long may still know the month.
            name = "usage_events_2026_01"
            other.execute(f"INSERT INTO {name} SELECT * FROM usage_events LIMIT 0")  # noqa: S608 - ours
            late = insert_into(other, name)
    assert await task == []
    assert rig.events() == {late}
    assert rig.value("SELECT count(*) FROM usage_events WHERE recorded_at < '2026-02-01Z'") == 1


def insert_into(connection: psycopg.Connection, month: str) -> Any:
    """An event of January straight into the month's table."""
    row = connection.execute(
        f"""INSERT INTO {month} (event_id, recorded_at, stream, seq, tenant_id, device_id, camera_id, event_type,
            resource_id, resource_type, quantity, unit, billable, event_time, canonical, state)
        SELECT id, usage_id_time(id), id, 1, 't', 'd', '', 'api_call', '', '', 1, 'calls', true, now(), '', 'pending'
        FROM (VALUES ('019ba7d8-0000-7000-8000-000000000000'::uuid)) AS one (id) RETURNING event_id"""  # noqa: S608 - ours
    ).fetchone()
    assert row
    return row[0]


async def test_a_table_left_detached_by_a_kill_is_dropped_and_somebodys_own_is_not(rig: Any) -> None:
    two_months(rig, "telemetry_events")
    rig.execute("CREATE TABLE telemetry_events_2025_12 (LIKE telemetry_events)")
    rig.execute("COMMENT ON TABLE telemetry_events_2026_01 IS 'tapi-agent is taking it away'")
    rig.execute("ALTER TABLE telemetry_events DETACH PARTITION telemetry_events_2026_01")
    assert await rig.upkeep.retire_telemetry(BEFORE) == ["telemetry_events_2026_01"]
    assert rig.months("telemetry_events") == ["telemetry_events_2025_12", "telemetry_events_2026_02"]


async def test_nobody_makes_a_month_that_another_agent_has_in_hand(rig: Any) -> None:
    with psycopg.connect(rig.dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('tapi-agent months'), hashtext('usage_events_2026_01'))")
        with pytest.raises(UnavailableError, match="usage_events_2026_01 is just being taken away"):
            async with rig.database.connection() as connection:
                await ensure_month(connection, "usage_events", JANUARY)
    async with rig.database.connection() as connection:
        await ensure_month(connection, "usage_events", JANUARY)
    assert rig.months("usage_events") == ["usage_events_2026_01"]


async def test_a_month_that_somebody_is_making_is_left_alone(rig: Any) -> None:
    two_months(rig, "telemetry_events")
    with psycopg.connect(rig.dsn) as maker:
        maker.execute(
            "SELECT pg_advisory_xact_lock(hashtext('tapi-agent months'), hashtext('telemetry_events_2026_01'))"
        )
        assert await rig.upkeep.retire_telemetry(BEFORE) == []
    assert await rig.upkeep.retire_telemetry(BEFORE) == ["telemetry_events_2026_01"]


async def test_two_agents_at_once_take_each_month_away_once(every_rig: Any) -> None:
    for number in range(1, 9):
        every_rig.month("telemetry_events", f"2025-0{number}-01", f"2025-{number + 1:02}-01")
    runs = await asyncio.gather(*(every_rig.upkeep.retire_telemetry(BEFORE) for _ in range(2)))
    names = sorted(name for run in runs for name in run)
    assert len(names) == len(set(names)) == 8
    assert every_rig.months("telemetry_events") == []


async def test_rows_of_the_month_of_the_line_itself_stay(rig: Any) -> None:
    two_months(rig, "telemetry_events")
    rig.execute(SEEN, [BEFORE - timedelta(days=1)])
    await rig.upkeep.retire_telemetry(BEFORE)
    assert rig.value("SELECT count(*) FROM telemetry_events") == 1
