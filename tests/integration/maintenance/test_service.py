"""The verbs of the jobs, on the real spool and the real database."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tapi_agent.adapters.postgres.maintenance import PostgresMaintenance
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.retention import PostgresRetention
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.retention import RetentionTerms
from tapi_agent.domain.usage import Meter
from tapi_agent.services.delivery.drainer import Drainer
from tapi_agent.services.maintenance import Maintenance
from tapi_agent.services.metering import Metering
from tapi_agent.testing.space import AlwaysRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOW: Final = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
SOON: Final = timedelta(minutes=1)
DEVICE: Final = DeviceId("device-1")
ROOMY: Final = RetentionTerms(usage=30 * DAY, usage_bytes=10**12, telemetry=None)
CROWDED: Final = RetentionTerms(usage=300 * DAY, usage_bytes=1, telemetry=None)


class Time:
    def __init__(self) -> None:
        self.at = NOW
        self.crowded = False

    def now(self) -> datetime:
        return self.at

    latest = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    time: Time
    spool: SqliteSpool
    metering: Metering
    drainer: Drainer
    maintenance: Maintenance

    async def record(self, key: str, age: timedelta) -> None:
        """An event under a key, that old by now."""
        draft = {"event_type": "api_call", "quantity": 1, "resource_id": key, "dedupe_key": key}
        await self.metering.record(draft | {"event_time": self.time.at - age})


@asynccontextmanager
async def agent(rig: Any, path: Path, terms: RetentionTerms = ROOMY) -> AsyncIterator[Agent]:
    time = Time()
    spool = SqliteSpool(path / "usage.db", floor=NOW - 400 * DAY)
    ledger = PostgresLedger(database=rig.database, device_id=DEVICE)
    await spool.open()
    yield Agent(
        time=time,
        spool=spool,
        metering=Metering(
            admission=AlwaysRoom(),
            spool=spool,
            ledger=ledger,
            meters={"api_call": Meter(key="api_call", unit="calls")},
            clock=time,
            device_id=DEVICE,
            default_tenant=TenantId("t"),
            entropy=os.urandom,
        ),
        drainer=Drainer(spool=spool, ledger=ledger),
        maintenance=Maintenance(
            upkeep=rig.upkeep,
            retention=PostgresRetention(database=rig.database, device_id=DEVICE),
            spool=spool,
            clock=time,
            terms=terms,
            is_crowded=lambda: time.crowded,
        ),
    )
    await spool.close()


def deliver(rig: Any) -> None:
    rig.execute("UPDATE usage_events SET state = 'synced', batch_id = gen_random_uuid() WHERE state = 'pending'")


async def test_while_the_disk_is_crowded_delivered_usage_goes_early_and_at_once(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("old", 3 * DAY)
        await one.record("new", timedelta(hours=1))
        await one.drainer.drain()
        deliver(rig)
        assert await one.maintenance.shed_usage() is None
        assert rig.value("SELECT count(*) FROM usage_events") == 2
        one.time.crowded = True
        assert await one.maintenance.shed_usage() is None
        assert rig.value("SELECT string_agg(resource_id, ' ') FROM usage_events") == "new"


async def test_what_is_forgotten_cannot_be_recorded_again(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("a", 29 * DAY)
        await one.drainer.drain()
        deliver(rig)
        one.time.at += 2 * DAY
        assert await one.maintenance.retain_usage() is None
        assert rig.events() == set()
        assert rig.months("usage_events") == ["usage_events_2026_05"]  # it ends after the line
        with pytest.raises(InvalidInputError) as refusal:
            await one.record("a", 31 * DAY)
        assert refusal.value.code == "TOO_OLD"
        await one.record("b", 29 * DAY)
    async with agent(rig, tmp_path) as again:
        assert again.spool.dedupe_floor == NOW - 29 * DAY + timedelta(milliseconds=1)
        assert rig.value("SELECT events FROM usage_totals") == 1


async def test_nothing_is_forgotten_while_a_repeat_of_it_may_be_on_its_way(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("a", 29 * DAY)
        await one.drainer.drain()
        deliver(rig)
        await one.record("a", 29 * DAY)  # its sender has not heard of the first
        one.time.at += 2 * DAY
        assert await one.maintenance.retain_usage() == SOON
        assert len(rig.events()) == 1
        await one.drainer.drain()
        assert rig.value("SELECT count(*) FROM usage_duplicates") == 1
        assert await one.maintenance.retain_usage() is None
        assert rig.events() == set()
        assert rig.value("SELECT events FROM usage_totals") == 1
        assert rig.value("SELECT count(*) FROM usage_duplicates") == 0


async def test_whatever_was_accepted_under_the_old_floor_comes_before_the_seq_that_is_waited_for(
    rig: Any, tmp_path: Path
) -> None:
    draft = {"event_type": "api_call", "quantity": 1, "resource_id": "r", "event_time": NOW - DAY}
    async with agent(rig, tmp_path) as one:
        queued = [asyncio.create_task(one.metering.record(draft)) for _ in range(2000)]
        await asyncio.sleep(0)
        through = await one.spool.raise_floor(NOW)
        seqs = [recorded.seq for recorded in await asyncio.gather(*queued)]
        assert len(set(seqs)) == 2000
        assert max(seqs) <= through
        with pytest.raises(InvalidInputError):
            await one.metering.record(draft)


async def test_what_was_recorded_since_the_floor_rose_is_not_waited_for(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("a", 29 * DAY)
        await one.drainer.drain()
        deliver(rig)
        await one.record("a", 29 * DAY)
        one.time.at += 2 * DAY
        assert await one.maintenance.retain_usage() == SOON
        await one.drainer.drain()
        await one.record("b", DAY)
        assert one.spool.depth == 1
        assert await one.maintenance.retain_usage() is None
        assert rig.events() == set()


async def test_another_spool_file_is_drained_first(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("a", 29 * DAY)
        await one.drainer.drain()
        deliver(rig)
        await one.record("a", 29 * DAY)
        one.time.at += 2 * DAY
        assert await one.maintenance.retain_usage() == SOON
        one.spool._place.mend(one.spool._place.file, EOFError())
        assert await one.maintenance.retain_usage() == SOON  # it has only just been opened
        assert await one.maintenance.retain_usage() == SOON
        assert len(rig.events()) == 1
        await one.drainer.drain()
        assert await one.maintenance.retain_usage() is None
        assert rig.value("SELECT events FROM usage_totals") == 1


async def test_a_clock_that_was_wrong_by_years_shuts_nothing_out(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        await one.record("a", DAY)
        await one.drainer.drain()
        deliver(rig)
        one.time.at += 3650 * DAY
        await one.maintenance.retain_usage()
        assert rig.events() == set()
        one.time.at = NOW
        await one.record("b", timedelta(0))
        with pytest.raises(InvalidInputError):
            await one.record("a", DAY)


async def test_too_large_a_past_month_goes_early_and_whole(rig: Any, tmp_path: Path) -> None:
    for start, end in (("03", "04"), ("04", "05"), ("06", "07")):
        rig.month("usage_events", f"2026-{start}-01", f"2026-{end}-01")
    april, june = rig.event(60 * DAY), rig.event(5 * DAY)
    rig.event(80 * DAY)
    async with agent(rig, tmp_path, CROWDED) as one:
        await one.maintenance.retain_usage()
        assert rig.events() == {april, june}
        assert one.spool.dedupe_floor == NOW - 80 * DAY + timedelta(milliseconds=1)
        assert rig.months("usage_events") == ["usage_events_2026_04", "usage_events_2026_06"]


async def test_too_large_a_present_month_keeps_its_last_day(rig: Any, tmp_path: Path) -> None:
    rig.month("usage_events", "2026-06-01", "2026-07-01")
    young, unfinished = rig.event(DAY / 2), rig.event(9 * DAY, "pending", tenant_id="u")
    rig.event(5 * DAY)
    async with agent(rig, tmp_path, CROWDED) as one:
        await one.maintenance.retain_usage()
        assert rig.events() == {young, unfinished}
        assert one.spool.dedupe_floor == NOW - 5 * DAY + timedelta(milliseconds=1)


async def test_with_nothing_to_let_go_of_the_floor_stays(rig: Any, tmp_path: Path) -> None:
    rig.month("usage_events", "2026-06-01", "2026-07-01")
    rig.event(9 * DAY, "pending")
    async with agent(rig, tmp_path, CROWDED) as one:
        await one.maintenance.retain_usage()
        assert one.spool.dedupe_floor == NOW - 400 * DAY


async def test_the_present_month_and_the_next_two_are_there(rig: Any, tmp_path: Path) -> None:
    async with agent(rig, tmp_path) as one:
        one.time.at = datetime(2030, 12, 31, 23, tzinfo=UTC)
        assert await one.maintenance.make_months() is None
        for parent in ("usage_events", "telemetry_events"):
            assert rig.months(parent) == [f"{parent}_{month}" for month in ("2030_12", "2031_01", "2031_02")]
        one.time.at = rig.value("SELECT now()")
        await one.maintenance.make_months()
        health = rig.query("SELECT usage_months_ahead, telemetry_months_ahead FROM database_health")
        assert health == [{"usage_months_ahead": 2, "telemetry_months_ahead": 2}]


async def test_history_goes_after_its_own_time(rig: Any, tmp_path: Path) -> None:
    rig.month("telemetry_events", "2026-01-01", "2026-02-01")
    rig.execute("INSERT INTO frames (tenant_id, camera_id, captured_at) VALUES ('t', 'c', '2026-01-05Z')")
    async with agent(rig, tmp_path) as one:
        await one.maintenance.retain_history()
        assert rig.months("telemetry_events") == ["telemetry_events_2026_01"]
        assert rig.value("SELECT count(*) FROM frames") == 1
    terms = RetentionTerms(usage=DAY, usage_bytes=1, telemetry=100 * DAY)
    async with agent(rig, tmp_path, terms) as one:
        assert await one.maintenance.retain_history() is None
        assert rig.months("telemetry_events") == []
        assert rig.value("SELECT count(*) FROM frames") == 0


@pytest.mark.parametrize("verb", ["make_months", "refresh_views", "retain_usage", "shed_usage", "retain_history"])
async def test_without_postgresql_it_is_tried_again_soon(tmp_path: Path, verb: str) -> None:
    nowhere = "host=/nonexistent"
    database = Database(dsn=nowhere)
    await database.open()
    spool = SqliteSpool(tmp_path / "usage.db", floor=NOW)
    maintenance = Maintenance(
        upkeep=PostgresMaintenance(dsn=nowhere, database=database),
        retention=PostgresRetention(database=database, device_id=DEVICE),
        spool=spool,
        clock=Time(),
        terms=ROOMY,
        is_crowded=lambda: True,
    )
    assert await getattr(maintenance, verb)() == SOON
    await spool.close()
    await database.close()
