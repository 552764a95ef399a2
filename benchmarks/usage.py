"""How fast usage is recorded, drained and delivered; each figure is a median of rounds of one run, beside its floor.

Acknowledgements are durable (fsync). Run by hand, on an idle machine: needs the embedded engines, starts a PostgreSQL,
a sandbox and an agent of its own.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from typing_extensions import override

from tapi_agent import collector
from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.postgres.usage_batches import PostgresBatches
from tapi_agent.adapters.postgres.usage_doubts import PostgresDoubts, PostgresServiceMemory
from tapi_agent.adapters.postgres.usage_roots import PostgresRoots
from tapi_agent.adapters.postgres.usage_sealing import BatchIds
from tapi_agent.adapters.spool import SqliteSpool
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.trusted_time import BUILT
from tapi_agent.domain.usage import Meter
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.delivery import Delivery, DeliveryTerms, UsageStores
from tapi_agent.services.metering import Metering
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.agent import AgentProcess
from tapi_agent.testing.engines import running_engines
from tapi_agent.testing.licenses import MemoryMark
from tapi_agent.testing.space import AlwaysRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROUNDS = 5
CALLERS = 64
AT_ONCE = 500
EVENTS = 20_000
DEVICE = DeviceId("box")
MIGRATIONS = Path(__file__).parents[1] / "migrations"
METERS = {"api_call": Meter(key="api_call", unit="calls")}
ALONE = {
    "TENANT_ID": "acme",
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "1",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "1",
}
"""An agent that has only its spool."""


def event(number: int) -> dict[str, object]:
    """What an application sends for each of its calls."""
    return {
        "event_type": "api_call",
        "quantity": 1,
        "resource_id": f"/api/detections/{number % 7}",
        "metadata": {"status": 200, "route": "detections"},
    }


class Pipeline:
    """Recording, draining and delivery of one box, without API and licenses."""

    def __init__(self, spool: SqliteSpool, ledger: PostgresLedger, clock: Timekeeper) -> None:
        self.spool = spool
        self.metering = Metering(
            spool=spool,
            admission=AlwaysRoom(),
            ledger=ledger,
            meters=METERS,
            clock=clock,
            device_id=DEVICE,
            default_tenant=TenantId("acme"),
            entropy=os.urandom,
        )

    async def record(self, events: int) -> None:
        """So many, in lists."""
        for start in range(0, events, AT_ONCE):
            await self.metering.record_many([event(number) for number in range(start, start + AT_ONCE)])


@asynccontextmanager
async def pipeline(database: Database) -> AsyncIterator[Pipeline]:
    """On a spool of its own."""
    clock = Timekeeper(clock=SystemClock(), store=MemoryMark())
    await clock.start()
    with tempfile.TemporaryDirectory(prefix="ta-") as folder:
        spool = SqliteSpool(Path(folder) / "usage.db", floor=BUILT - timedelta(days=30))
        await spool.open()
        yield Pipeline(spool, PostgresLedger(database=database, device_id=DEVICE), clock)
        await spool.close()


async def acknowledgements(one: Pipeline, seconds: float = 2) -> tuple[float, float, float]:
    """Per second, and the median and 99th percentile of one call in milliseconds."""
    took: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while (start := time.perf_counter()) < began + seconds:
            await one.metering.record(event(0))
            took.append(time.perf_counter() - start)

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())
    took.sort()
    rate = len(took) / (time.perf_counter() - began)
    return rate, took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000


def bare_commits(seconds: float = 1) -> float:
    """Rows per second of SQLite alone, as many to a commit as there are callers."""
    text = json.dumps(event(0) | {"filler": "x" * 250})
    with (
        tempfile.TemporaryDirectory(prefix="ta-") as folder,
        closing(sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)) as connection,
    ):
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE events (t TEXT)")
        rows, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO events VALUES (?)", [(text,)] * CALLERS)
            connection.execute("COMMIT")
            rows += CALLERS
        return rows / (time.perf_counter() - began)


class _Local(http.client.HTTPConnection):
    """HTTP over the agent's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def send_for(path: str, seconds: float) -> None:
    """A client's whole life: print how many events were acknowledged."""
    body = json.dumps([event(number) for number in range(AT_ONCE)]).encode()
    connection, sent = _Local(path), 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        connection.request("POST", "/api/v1/usage/events", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        if reply.status != http.client.OK:
            raise SystemExit(f"the agent answered {reply.status}")
        sent += AT_ONCE
    print(sent)


def through_the_socket(seconds: float = 3, clients: int = 2) -> float:
    """Events per second that an agent process acknowledges to clients in processes of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder,
        AgentProcess(Path(folder) / "agent", ALONE) as agent,
    ):
        command = [sys.executable, __file__, str(agent.socket), str(seconds)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
        return sum(int(client.communicate()[0]) for client in running) / seconds


def copied(dsn: str) -> float:
    """Seconds to COPY what the ledger has into the same table with its indexes, and nothing else."""
    with psycopg.connect(dsn) as connection:
        with connection.cursor().copy("COPY (SELECT * FROM usage_events) TO STDOUT") as copy:
            rows = b"".join(copy)
        connection.execute("TRUNCATE usage_events")
        connection.commit()
        began = time.perf_counter()
        with connection.cursor().copy("COPY usage_events FROM STDIN") as copy:
            copy.write(rows)
        connection.commit()
        return time.perf_counter() - began


async def drained(one: Pipeline, delivery: Delivery) -> float:
    """Seconds from a full spool to an empty one."""
    await one.record(EVENTS)
    began = time.perf_counter()
    await delivery.drain()
    return time.perf_counter() - began


async def delivered(delivery: Delivery) -> float:
    """Events per second from the database to the service."""
    began = time.perf_counter()
    report = await delivery.sync()
    if report.synced != EVENTS:
        raise SystemExit(f"only {report.synced} were delivered: {report.trouble or report.paused}")
    return report.synced / (time.perf_counter() - began)


def link(sandbox: SandboxProcess) -> HttpBilling:
    """To the sandbox."""
    return HttpBilling(
        base_url=f"{sandbox.url}/api/v1",
        api_key=sandbox.api_key,
        device_id=DEVICE,
        timeout=timedelta(seconds=30),
        retries=0,
        dialect="auto",
        agent_version="1",
        verify=ssl.create_default_context(),
    )


def delivering(one: Pipeline, database: Database, billing: HttpBilling) -> Delivery:
    """What the pipeline records, over that link."""
    clock = SystemClock()
    trusted = Timekeeper(clock=clock, store=MemoryMark())
    ids = BatchIds(clock=trusted, entropy=os.urandom)
    return Delivery(
        stores=UsageStores(
            spool=one.spool,
            ledger=PostgresLedger(database=database, device_id=DEVICE),
            batches=PostgresBatches(database=database, device_id=DEVICE, ids=ids),
            roots=PostgresRoots(database=database, ids=ids),
            doubts=PostgresDoubts(database=database),
            memory=PostgresServiceMemory(database=database),
        ),
        billing=billing,
        connectivity=Connectivity(clock=trusted, billing=billing),
        clock=trusted,
        monotonic=clock.monotonic,
        entropy=os.urandom,
        device_id=DEVICE,
        terms=DeliveryTerms(service="sandbox"),
    )


async def with_database(dsn: str, sandbox: SandboxProcess) -> None:
    """Everything but the socket."""
    await Migrator(dsn=dsn, directory=MIGRATIONS, agent_version="0").up()
    database = Database(dsn=dsn)
    await database.open()
    await database.ping()
    async with pipeline(database) as one:
        rates = [(await acknowledgements(one), bare_commits()) for _ in range(ROUNDS)]
        show("durable acknowledgements/s, 64 callers", [rate for (rate, _, _), _ in rates])
        show("  median of a call, ms", [median for (_, median, _), _ in rates], digits=2)
        show("  99th percentile, ms", [worst for (_, _, worst), _ in rates], digits=2)
        show("  floor: rows/s of bare SQLite", [bare for _, bare in rates])
    async with pipeline(database) as one:
        billing = link(sandbox)
        delivery = delivering(one, database, billing)
        drains, copies, deliveries = [], [], []
        for _ in range(ROUNDS):
            drains.append(await drained(one, delivery))
            deliveries.append(await delivered(delivery))
            copies.append(await asyncio.to_thread(copied, dsn))
            await asyncio.to_thread(_empty, dsn)
        show("spool to PostgreSQL, events/s", [EVENTS / took for took in drains])
        show("  floor: COPY of the same rows, rows/s", [EVENTS / took for took in copies])
        print(f"  of that floor: {statistics.median(copies) / statistics.median(drains):.0%}")
        show("delivered to the sandbox, events/s", deliveries)
        await billing.close()
    await database.close()


def _empty(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE usage_events, usage_batches")


def show(what: str, figures: list[float], *, digits: int = 0) -> None:
    """A median with its range."""
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    print(f"{what:42} {middle:10,.{digits}f}   ({low:,.{digits}f} to {high:,.{digits}f})")


def main(measure: Callable[[], float] = through_the_socket) -> None:
    """Print medians and ranges."""
    collector.spare()  # as the agent does
    print(f"{ROUNDS} rounds, load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    show(f"through the socket by {AT_ONCE}, events/s", [measure() for _ in range(ROUNDS)])
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        with running_engines(Path(folder)) as engines, SandboxProcess(Path(folder) / "ledger.db") as sandbox:
            asyncio.run(with_database(engines.dsn, sandbox))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        send_for(sys.argv[1], float(sys.argv[2]))
    else:
        main()
