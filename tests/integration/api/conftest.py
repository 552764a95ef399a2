"""A whole agent behind its real sockets, in this process: real services, a billing service and license tiers in memory.

It lives in an event loop of its own thread, so that blocking clients (the client library, the CLI) can speak to it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
import pytest

from tapi_agent.adapters.files import FileLosses, StateDisk
from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.quotas import PostgresQuotaLedger
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.postgres.usage_batches import PostgresBatches
from tapi_agent.adapters.postgres.usage_deliveries import PostgresDeliveries
from tapi_agent.adapters.postgres.usage_doubts import PostgresDoubts, PostgresServiceMemory
from tapi_agent.adapters.postgres.usage_letters import PostgresLetters
from tapi_agent.adapters.postgres.usage_proof import PostgresProof
from tapi_agent.adapters.postgres.usage_roots import PostgresRoots
from tapi_agent.adapters.postgres.usage_sealing import BatchIds
from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.adapters.spool.spool import SqliteSpool
from tapi_agent.api.app import create_app
from tapi_agent.api.context import Context
from tapi_agent.api.listen import bind_tcp, bind_unix
from tapi_agent.api.server import LocalServer
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.features import Tier
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.domain.pricing import PackPrice, PriceList
from tapi_agent.domain.space import SpaceTerms
from tapi_agent.plugin.host import PluginHost
from tapi_agent.services.cameras import Cameras
from tapi_agent.services.connectivity import POSTGRES, Connectivity
from tapi_agent.services.costs import Costs
from tapi_agent.services.delivery import Delivery, DeliveryTerms, UsageStores
from tapi_agent.services.doctor import Doctor
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.heartbeat import Heartbeat
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.losses import Losses
from tapi_agent.services.metering import Metering
from tapi_agent.services.proof import Proof
from tapi_agent.services.proof.letters import LetterBox
from tapi_agent.services.proof.reconcile import Reconciliation
from tapi_agent.services.proof.service_facts import ServiceFacts
from tapi_agent.services.proof.verdicts import Verdicts
from tapi_agent.services.proof.verify import Verification
from tapi_agent.services.quotas import Quotas
from tapi_agent.services.space import Space
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.entitlements import FakeWords
from tapi_agent.testing.leases import FakeLeases, FakeMachine
from tapi_agent.testing.licenses import (
    Announcements,
    MemoryEvidence,
    MemoryLicenseLog,
    MemoryMark,
    MemoryRequest,
    MemoryRoster,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractContextManager

    from starlette.types import ASGIApp

TOKEN: Final = "t0ken"
SERVICE: Final = "http://billing.example/api/v1"
DEVICE: Final = DeviceId("box-1")
ACME: Final = TenantId("acme")
NO_DATABASE: Final = "host=/nonexistent connect_timeout=1"
TIERS: Final = {
    LicenseMode.TRIAL: Tier.PROFESSIONAL,
    LicenseMode.BASE: Tier.PROFESSIONAL,
    LicenseMode.ENTERPRISE: Tier.PROFESSIONAL,
    LicenseMode.UNLICENSED: Tier.BASIC,
}
PRICES: Final = PriceList(packs={"base": PackPrice(price=Decimal(60))})
T = TypeVar("T")


@dataclass(kw_only=True)
class LiveAgent:
    """The agent and what a test may do to it: turn its clock, speak to its services inside ``run``."""

    socket: Path
    port: int
    loop: asyncio.AbstractEventLoop
    context: Context
    billing: FakeBilling
    machine: FakeClock
    leases: FakeLeases
    spool: SqliteSpool
    server: LocalServer

    def lease(self, camera: str = "", *, key_id: str = "k1", **contents: object) -> str:
        """The text of a lease for this box; from now on ``k1`` is a trusted key."""
        self.leases.key_ids = ("k1",)
        ours = {"tenant_id": ACME, "device_id": DEVICE, "issued": START, "expiry": START + timedelta(days=30)}
        lease = Lease(kind=LeaseKind.MACHINE, key_id=key_id, camera_id=CameraId(camera), **(ours | contents))
        return self.leases.issue(lease)

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do something in the agent's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def http(self) -> httpx.Client:
        """HTTP over the Unix socket."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://localhost", timeout=10
        )

    def raw(self, request: bytes) -> bytes:
        """Bytes to the Unix socket and back, until the agent hangs up."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@asynccontextmanager
async def serving(app: ASGIApp, *sockets: socket.socket) -> AsyncIterator[LocalServer]:
    server = LocalServer(app)
    task = asyncio.create_task(server.serve(sockets=list(sockets)))
    try:
        while not server.started:
            await asyncio.sleep(0)
        yield server
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def agent_in(  # noqa: PLR0915 - a whole agent, part by part
    folder: Path, dsn: str, *, spool_name: str, default_tenant: TenantId | None, settings: dict[str, object]
) -> AsyncIterator[LiveAgent]:
    machine, billing, leases = FakeClock(), FakeBilling(), FakeLeases()
    tenant = Subject(device_id=DEVICE, tenant_id=ACME, camera_id=TENANT)
    clock = Timekeeper(clock=machine, store=MemoryMark())
    connectivity = Connectivity(clock=clock, billing=billing)
    plugins = PluginHost()
    declared = plugins.load()
    licensing = Licensing(
        around=Surroundings(
            tenant=tenant,
            policy=LicensePolicy(),
            billing=billing,
            connectivity=connectivity,
            clock=clock,
            machine=machine,
            leases=Leases(reader=leases, machine=FakeMachine(), tenant=tenant),
            entropy=os.urandom,
        ),
        tiers=[MemoryEvidence("file")],
        sealer=DeviceSealer(DeviceKey(bytes(32))),
        roster=MemoryRoster(),
        requests=MemoryRequest(),
        edge_log=MemoryLicenseLog(),
        publisher=Announcements(),
    )
    database = Database(dsn=dsn, connect_timeout=timedelta(seconds=3))
    spool = SqliteSpool(folder / spool_name, floor=START - timedelta(days=30))
    ids = BatchIds(clock=clock, entropy=os.urandom)
    ledger = PostgresLedger(database=database, device_id=DEVICE)
    losses = Losses(ledger=FileLosses(folder / "losses"), clock=clock)
    space = Space(
        disk=StateDisk(folder / "ballast", size=0),
        terms=SpaceTerms(shed=3, slow=2, least=1, ballast=0),
        losses=losses,
        on_relief=connectivity.report,
    )
    metering = Metering(
        admission=space,
        spool=spool,
        ledger=ledger,
        meters=declared.meters,
        clock=clock,
        device_id=DEVICE,
        default_tenant=default_tenant,
        entropy=os.urandom,
    )
    quotas = Quotas(
        tenant_id=ACME,
        holder=lambda: context.entitlements.holder(TENANT),
        metering=metering,
        spool=spool,
        ledger=PostgresQuotaLedger(database=database, device_id=DEVICE),
        cache=FakeSharedCache(machine),
        seal=DeviceKey(bytes(32)),
        connectivity=connectivity,
        clock=clock,
        machine=machine,
        entropy=os.urandom,
    )
    quotas.apply(declared.quotas, declared.meters)
    metering.on_recorded(quotas.recorded)
    entitlements = Entitlements(
        catalog=declared.catalog,
        licensing=licensing,
        words=FakeWords(),
        quotas=quotas,
        clock=clock,
        monotonic=machine.monotonic,
        tiers=TIERS,
    )
    usage_stores = UsageStores(
        spool=spool,
        ledger=ledger,
        batches=PostgresBatches(database=database, device_id=DEVICE, ids=ids),
        roots=PostgresRoots(database=database, ids=ids),
        doubts=PostgresDoubts(database=database),
        memory=PostgresServiceMemory(database=database),
    )
    delivery = Delivery(
        stores=usage_stores,
        billing=billing,
        connectivity=connectivity,
        clock=clock,
        monotonic=machine.monotonic,
        entropy=os.urandom,
        device_id=DEVICE,
        terms=DeliveryTerms(service=SERVICE),
    )
    letters = PostgresLetters(database=database)
    facts = ServiceFacts(memory=usage_stores.memory, service=SERVICE, dialect=None)
    context = Context(
        version="1.2.3",
        device_id=DEVICE,
        tenant_id=ACME,
        licensing=licensing,
        entitlements=entitlements,
        metering=metering,
        space=space,
        losses=losses,
        quotas=quotas,
        costs=Costs(prices=PRICES, entitlements=entitlements, cameras=licensing.cameras, quotas=quotas.statuses),
        delivery=delivery,
        proof=Proof(
            verification=Verification(spool=spool, store=PostgresProof(database=database)),
            reconciliation=Reconciliation(
                deliveries=PostgresDeliveries(database=database), billing=billing, facts=facts, wake=delivery.wake
            ),
            letters=LetterBox(letters=letters, billing=billing, facts=facts, wake=delivery.wake),
            verdicts=Verdicts(
                letters=letters, batches=usage_stores.batches, doubts=usage_stores.doubts, wake=delivery.wake
            ),
        ),
        cameras=Cameras(
            store=PostgresCameras(database=database, device_id=DEVICE, tenant_id=ACME),
            licensing=licensing,
            clock=clock,
            tenant=tenant,
        ),
        connectivity=connectivity,
        heartbeat=Heartbeat(
            billing=billing,
            connectivity=connectivity,
            tenant_id=ACME,
            tier="basic",
            cameras=licensing.cameras,
            interval=timedelta(minutes=15),
            entropy=os.urandom,
        ),
        clock=clock,
        plugins=plugins.report,
        reload=plugins.reload,
        doctor=Doctor(
            plugins=plugins,
            connectivity=connectivity,
            clock=clock,
            space=space,
            losses=losses,
            backlog=delivery.backlog,
            unknown_packs=entitlements.unknown_packs,
            problems=["TENANT_ID is too nice"],
        ),
        problems=["TENANT_ID is too nice"],
        token=TOKEN,
    )
    context = replace(context, **settings)
    await licensing.start()
    await database.open()
    await spool.open()
    counting = asyncio.create_task(quotas.run())
    if dsn == NO_DATABASE:
        connectivity.failed(POSTGRES, UnavailableError("no PostgreSQL in this test", fix="none"))
    tcp = bind_tcp(0)
    port = tcp.getsockname()[1]
    async with serving(create_app(context), bind_unix(folder / "s", group=None), tcp) as server:
        yield LiveAgent(
            socket=folder / "s",
            port=port,
            loop=asyncio.get_running_loop(),
            context=context,
            billing=billing,
            machine=machine,
            leases=leases,
            spool=spool,
            server=server,
        )
    counting.cancel()
    billing.online()
    await licensing.stop()
    await spool.close()
    await database.close()
    plugins.close()


@contextmanager
def agent_in_thread(
    dsn: str = NO_DATABASE, *, spool: str = "usage.db", default_tenant: TenantId | None = ACME, **settings: object
) -> Iterator[LiveAgent]:
    """A ``LiveAgent`` while the block lasts; ``settings`` replace those of its ``Context``."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder, asyncio.Runner() as runner:
        stage = agent_in(Path(folder), dsn, spool_name=spool, default_tenant=default_tenant, settings=settings)
        live = runner.run(stage.__aenter__())
        thread = threading.Thread(target=live.loop.run_forever, name="agent")
        thread.start()
        try:
            yield live
        finally:
            live.loop.call_soon_threadsafe(live.loop.stop)
            thread.join()
            runner.run(stage.__aexit__(None, None, None))


@pytest.fixture
def living() -> Callable[..., AbstractContextManager[LiveAgent]]:
    """Start an agent of the test's own making."""
    return agent_in_thread


@pytest.fixture
def live() -> Iterator[LiveAgent]:
    """An agent whose PostgreSQL is down."""
    with agent_in_thread() as agent:
        yield agent


@pytest.fixture
def full(database_dsn: str) -> Iterator[LiveAgent]:
    """An agent with everything up."""
    with agent_in_thread(database_dsn) as agent:
        yield agent


@pytest.fixture
def http(live: LiveAgent) -> Iterator[httpx.Client]:
    """HTTP to ``live``."""
    with live.http() as client:
        yield client


@pytest.fixture(scope="module")
def steady() -> Iterator[LiveAgent]:
    """An agent for tests that must leave it as it was."""
    with agent_in_thread() as agent:
        yield agent


@pytest.fixture
def ask(steady: LiveAgent) -> Iterator[httpx.Client]:
    """HTTP to ``steady``."""
    with steady.http() as client:
        yield client
