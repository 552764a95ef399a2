"""A rig with the real spool, the real database and a billing service of the test's choice."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.integration.usage.oracle import Service

from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.postgres.usage_batches import PostgresBatches
from tapi_agent.adapters.postgres.usage_doubts import PostgresDoubts, PostgresServiceMemory
from tapi_agent.adapters.postgres.usage_roots import PostgresRoots
from tapi_agent.adapters.postgres.usage_sealing import BatchIds
from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.usage import Meter, UsageEvent
from tapi_agent.domain.usage_draft import Intake, read_draft
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.delivery import Delivery, DeliveryTerms, UsageStores
from tapi_agent.services.metering import Metering
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.space import AlwaysRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tapi_agent.ports.billing import BillingService

DEVICE: Final = DeviceId("device-1")
TENANT: Final = TenantId("tenant-1")
METERS: Final = {
    key: Meter(key=key, unit=unit)
    for key, unit in {
        "api_call": "calls",
        "llm_tokens": "tokens",
        "storage_gb_days": "gb_days",
        "sms_sent": "count",
        "email_sent": "count",
    }.items()
}
_POOL_WAIT: Final = 5.0
TO_FORMAT_1: Final = """
    CREATE TABLE old AS SELECT only_row, stream, drained_seq, newest_ms, dedupe_floor FROM spool;
    DROP TABLE spool;
    ALTER TABLE old RENAME TO spool;
    DROP TABLE sums;
    PRAGMA user_version = 1;
"""
"""A spool file as it was before it kept sums and knew its home."""


class Ticking:
    """Trusted time that moves a millisecond with every look, so that events have a span."""

    def __init__(self, machine: FakeClock | None = None) -> None:
        self.machine = machine or FakeClock()

    def now(self) -> Any:
        self.machine.advance(timedelta(milliseconds=1))
        return self.machine.wall()

    def latest(self) -> Any:
        return self.machine.wall()


async def eventually(condition: Callable[[], object], within: float = 20) -> None:
    """Wait for it; ``TimeoutError`` after ``within`` seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass(kw_only=True)
class Rig:
    """One agent's usage pipeline."""

    clock: Ticking
    database: Database
    dsn: str
    spool: SqliteSpool
    stores: UsageStores
    metering: Metering
    billing: BillingService
    delivery: Delivery
    recorded: list[str] = field(default_factory=list)

    async def record(self, count: int = 1, **fields: object) -> list[str]:
        """Record ``count`` events; returns their ids."""
        draft = {"event_type": "api_call", "quantity": 1} | fields
        ids = [
            str(one.event_id)
            for one in await self.metering.record_many([draft | {"resource_id": f"r{n}"} for n in range(count)])
        ]
        self.recorded += ids
        return ids

    def query(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    async def heal(self) -> None:
        """Return when the database answers again."""
        await connected(self.database)

    async def until(self, condition: Callable[[], object], *, within: float = 20) -> None:
        """Let time pass and do what the schedule does, until ``condition`` holds."""
        async with asyncio.timeout(within):
            while not condition():
                self.clock.machine.advance(timedelta(seconds=1))
                await self.delivery.drain()
                await self.delivery.sync()
                await asyncio.sleep(0.002)

    def states(self) -> dict[str, int]:
        """Events by state."""
        return Counter(row["state"] for row in self.query("SELECT state FROM usage_events"))

    def batches(self) -> list[dict[str, Any]]:
        return self.query("SELECT * FROM usage_batches ORDER BY sealed_at, first_seq")

    def dead(self) -> dict[str, str]:
        """Codes by event id."""
        return {
            str(row["event_id"]): row["code"] for row in self.query("SELECT event_id, code FROM usage_dead_letters")
        }


@asynccontextmanager
async def rig(
    dsn: str,
    path: Path,
    billing: BillingService,
    *,
    device: DeviceId = DEVICE,
    entropy: Callable[[int], bytes] = os.urandom,
    machine: FakeClock | None = None,
    **terms: Any,
) -> AsyncIterator[Rig]:
    """A pipeline that is closed with the block; waits after failures are short unless ``terms`` say otherwise."""
    clock = Ticking(machine)
    database = Database(dsn=dsn)
    await database.open()
    await connected(database)
    spool = SqliteSpool(path, floor=clock.now() - timedelta(days=400))
    await spool.open()
    ids = BatchIds(clock=clock, entropy=os.urandom)
    stores = UsageStores(
        spool=spool,
        ledger=PostgresLedger(database=database, device_id=device),
        batches=PostgresBatches(database=database, device_id=device, ids=ids),
        roots=PostgresRoots(database=database, ids=ids),
        doubts=PostgresDoubts(database=database),
        memory=PostgresServiceMemory(database=database),
    )
    at_once = {
        "first_wait": timedelta(milliseconds=1),
        "longest_wait": timedelta(milliseconds=5),
        "quiet": timedelta(0),
    }
    delivery = Delivery(
        stores=stores,
        billing=billing,
        connectivity=Connectivity(clock=clock, billing=billing),
        clock=clock,
        monotonic=clock.machine.monotonic,
        entropy=entropy,
        device_id=device,
        terms=DeliveryTerms(service="http://billing.test/api/v1", **at_once | terms),
    )
    metering = Metering(
        admission=AlwaysRoom(),
        spool=spool,
        ledger=stores.ledger,
        meters=METERS,
        clock=clock,
        device_id=device,
        default_tenant=TENANT,
        entropy=os.urandom,
    )
    try:
        yield Rig(
            clock=clock,
            database=database,
            dsn=dsn,
            spool=spool,
            stores=stores,
            metering=metering,
            billing=billing,
            delivery=delivery,
        )
    finally:
        await delivery.close()
        await spool.close()
        await database.close()


async def connected(database: Database) -> None:
    """The pool opens in the background."""
    async with asyncio.timeout(_POOL_WAIT):
        while True:
            try:
                await database.ping()
            except Exception:  # noqa: BLE001 - whatever it is, the deadline tells
                await asyncio.sleep(0.01)
            else:
                return


@pytest.fixture
async def build(database_dsn: str, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """``build(billing, **terms)`` is a context manager with a rig on the test's database and spool."""
    return lambda billing, *, path=None, **terms: rig(database_dsn, path or tmp_path / "spool.db", billing, **terms)


@pytest.fixture
def build_on(tmp_path: Path) -> Callable[..., Any]:
    """``build_on(dsn, billing, **terms)`` is a context manager with a rig on that database."""

    @asynccontextmanager
    async def make(dsn: str, billing: BillingService, **terms: Any) -> AsyncIterator[Rig]:
        async with rig(dsn, tmp_path / "spool.db", billing, **terms) as made:
            yield made

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a spool may be made."""
    return tmp_path / "state" / "spool.db"


@pytest.fixture
def opened(path: Path) -> Callable[[], Any]:
    """``opened()`` is a context manager with the spool at ``path``."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[SqliteSpool]:
        spool = SqliteSpool(path, floor=START - timedelta(days=400))
        await spool.open()
        try:
            yield spool
        finally:
            await spool.close()

    return opening


@pytest.fixture
def event() -> Callable[..., UsageEvent]:
    """``event(7)`` is an event whose id is made of 7, ``size`` characters longer than it need be."""
    return make_event


@pytest.fixture
def events() -> Callable[..., list[UsageEvent]]:
    """``events(3, start=7)`` are the events 7, 8 and 9."""

    def several(count: int, *, start: int = 0, size: int = 0) -> list[UsageEvent]:
        return [make_event(number, size=size) for number in range(start, start + count)]

    return several


def make_event(number: int, *, size: int = 0, **fields: object) -> UsageEvent:
    now = START + timedelta(milliseconds=number)
    moment = Moment(now=now, latest=now, floor=START - timedelta(days=400), entropy=number.to_bytes(10))
    intake = Intake(meters=METERS, device_id=DEVICE, default_tenant=TENANT)
    metadata = {"n": number, "filler": "x" * size}
    return read_draft({"event_type": "api_call", "quantity": 1, "metadata": metadata} | fields, intake, moment)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.db") as process:
        yield process


@pytest.fixture
def service(sandbox: SandboxProcess) -> Service:
    return Service(sandbox)


@pytest.fixture
def agent(build: Callable[..., Any], service: Service) -> Callable[..., Any]:
    """``agent(**terms)`` is a context manager with a rig in front of the sandbox."""

    @asynccontextmanager
    async def make(**terms: Any) -> AsyncIterator[Any]:
        billing = service.client()
        try:
            async with build(billing, **terms) as rig:
                yield rig
        finally:
            await billing.close()

    return make
