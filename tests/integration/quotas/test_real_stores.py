"""Quotas on the real spool and the real PostgreSQL: what the fakes stand for."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import psycopg
from tests.conftest import MIGRATIONS

from tapi_agent.adapters.billing.absent import AbsentBilling
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.quotas import PostgresQuotaLedger
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.adapters.spool.spool import SqliteSpool
from tapi_agent.domain.holder import Holder
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.quota import QuotaRule
from tapi_agent.domain.usage import Meter
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.delivery.drainer import Drainer
from tapi_agent.services.metering import Metering
from tapi_agent.services.quotas import DenialReason, Grant, Quotas, ReserveRequest
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.space import AlwaysRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conftest import Server

    from tapi_agent.services.quotas import Denial

ACME: Final = TenantId("acme")
TOKENS: Final = "llm_tokens"
METERS: Final = {TOKENS: Meter(key=TOKENS, unit="tokens")}


class Trusted:
    """Trusted time as the wall clock of a machine that is moved by hand."""

    def __init__(self, machine: FakeClock) -> None:
        self._machine = machine

    def now(self) -> datetime:
        return self._machine.wall()

    def latest(self) -> datetime:
        return self._machine.wall()


@dataclass(kw_only=True)
class Agent:
    """One agent's quotas."""

    quotas: Quotas
    metering: Metering
    drainer: Drainer
    machine: FakeClock

    async def reserve(self, amount: int) -> Grant | Denial:
        return await self.quotas.reserve(ReserveRequest(meter=TOKENS, amount=Decimal(amount)))

    async def look(self, *, after: int = 2) -> None:
        self.machine.advance(timedelta(seconds=after))
        await self.quotas.look()

    def remaining(self) -> Decimal:
        (status,) = self.quotas.statuses()
        return status.remaining


@asynccontextmanager
async def agent(dsn: str, path: Path, name: str, *, limit: int = 1000) -> AsyncIterator[Agent]:
    machine = FakeClock()
    clock, device = Trusted(machine), DeviceId(name)
    database = Database(dsn=dsn)
    spool = SqliteSpool(path / f"{name}.db", floor=datetime(2026, 1, 1, tzinfo=UTC))
    ledger = PostgresLedger(database=database, device_id=device)
    await database.open()
    await spool.open()
    metering = Metering(
        admission=AlwaysRoom(),
        spool=spool,
        ledger=ledger,
        meters=METERS,
        clock=clock,
        device_id=device,
        default_tenant=ACME,
        entropy=os.urandom,
    )
    quotas = Quotas(
        tenant_id=ACME,
        holder=Holder,
        metering=metering,
        spool=spool,
        ledger=PostgresQuotaLedger(database=database, device_id=device),
        cache=FakeSharedCache(machine),
        seal=DeviceKey(name.encode().ljust(32)),
        connectivity=Connectivity(clock=clock, billing=AbsentBilling()),
        clock=clock,
        machine=machine,
        entropy=os.urandom,
    )
    quotas.apply([QuotaRule(meter=TOKENS, limit=limit)], METERS)
    metering.on_recorded(quotas.recorded)
    try:
        yield Agent(quotas=quotas, metering=metering, drainer=Drainer(spool=spool, ledger=ledger), machine=machine)
    finally:
        await spool.close()
        await database.close()


async def test_two_agents_under_load_never_grant_more_than_there_is(database_dsn: str, tmp_path: Path) -> None:
    async with agent(database_dsn, tmp_path, "one") as one, agent(database_dsn, tmp_path, "two") as two:
        answers = await asyncio.gather(*(each.reserve(7) for _ in range(100) for each in (one, two)))
        granted = [answer for answer in answers if isinstance(answer, Grant)]
        assert 1000 - 2 * 50 <= 7 * len(granted) <= 1000
        assert {answer.reason for answer in answers if not isinstance(answer, Grant)} == {DenialReason.QUOTA_EXCEEDED}


async def test_what_is_committed_drained_and_looked_at_is_what_is_used(database_dsn: str, tmp_path: Path) -> None:
    async with agent(database_dsn, tmp_path, "one") as one, agent(database_dsn, tmp_path, "two") as two:
        for each in (one, two):
            grants = [await each.reserve(20) for _ in range(10)]
            for grant in grants:
                assert isinstance(grant, Grant)
                await each.quotas.commit(grant.reservation_id, Decimal(15))
            await each.metering.record({"event_type": TOKENS, "quantity": 100})
        for each in (one, two):
            await each.drainer.drain()
            await each.look()
        await one.look(after=31)
        assert [each.remaining() for each in (one, two)] == [500, 500]


async def test_a_commit_is_one_event_in_the_database_after_a_restart_too(database_dsn: str, tmp_path: Path) -> None:
    async with agent(database_dsn, tmp_path, "one") as one:
        grant = await one.reserve(20)
        assert isinstance(grant, Grant)
        first = await one.quotas.commit(grant.reservation_id, Decimal(15))
        await one.drainer.drain()
    async with agent(database_dsn, tmp_path, "one") as again:
        repeat = await again.quotas.commit(grant.reservation_id, Decimal(15))
        assert (repeat.event_id, repeat.seq) == (first.event_id, 2)
        await again.drainer.drain()
        await again.look(after=601)
        await again.look()
        assert again.remaining() == 985


async def test_six_thousand_events_under_way_are_not_forgotten_when_the_word_comes(
    database_dsn: str, tmp_path: Path
) -> None:
    async with agent(database_dsn, tmp_path, "one", limit=50_000) as one:
        draft = {"event_type": TOKENS, "quantity": 1}
        for _ in range(6):
            await one.metering.record_many([draft] * 1000)
        await one.drainer.drain()
        await one.metering.record(draft | {"quantity": 500})
        asked = await one.quotas.asking(TOKENS)
        assert asked is not None
        await one.quotas.told(asked, Decimal(50_000))
        await one.look()
        assert one.remaining() == 50_000 - 6000 - 500


async def test_people_see_how_a_quota_stands(database_dsn: str, tmp_path: Path) -> None:
    async with agent(database_dsn, tmp_path, "one") as one:
        await one.metering.record({"event_type": TOKENS, "quantity": 40})
        await one.drainer.drain()
        await one.look()
        await one.reserve(30)
        await one.quotas.close()
    with psycopg.connect(database_dsn) as connection:
        (counter,) = connection.execute("SELECT quota_limit, soft, used, granted FROM quota_counters").fetchall()
        (stake,) = connection.execute("SELECT device_id, outstanding, reserved FROM quota_stakes").fetchall()
    assert (counter, stake) == ((1000, False, 40, 30), ("one", 30, 30))


async def test_without_postgresql_an_agent_grants_what_it_holds(private_postgres: Server, tmp_path: Path) -> None:
    await Migrator(dsn=private_postgres.address, directory=MIGRATIONS, agent_version="0").up()
    async with agent(private_postgres.address, tmp_path, "one") as one:
        await one.quotas.look()
        assert isinstance(await one.reserve(1), Grant)
        await asyncio.to_thread(private_postgres.kill)
        assert isinstance(await one.reserve(49), Grant)
        denial = await one.reserve(1)
        assert not isinstance(denial, Grant)
        assert (denial.reason, denial.retryable) == (DenialReason.QUOTA_UNAVAILABLE, True)
        assert not one.quotas.statuses()[0].complete
