"""Two benches with the same switches: the fake, and the real client in front of a sandbox process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from typing_extensions import override

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.delivery import WireBatch
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, LicenseStatus, Subject
from tapi_agent.ports.billing import FeatureReply
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.billing import GOOD, FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tapi_agent.ports.billing import BillingService

IMPATIENT: Final = timedelta(seconds=1)
"""How long a call of either bench waits once the service is slow."""
_TENANTS: Final = count(1)


class Bench(ABC):
    """A billing service with its client, and a hand on its switches."""

    billing: BillingService
    tenant: TenantId

    def subject(self, camera_id: str) -> Subject:
        return Subject(device_id=DeviceId("device-1"), tenant_id=self.tenant, camera_id=CameraId(camera_id))

    @abstractmethod
    async def offline(self) -> None: ...

    @abstractmethod
    async def slow(self) -> None: ...

    @abstractmethod
    async def online(self) -> None: ...

    @abstractmethod
    async def classic(self) -> None: ...

    @abstractmethod
    async def sign(self) -> None: ...

    @abstractmethod
    async def offer_no_report(self) -> None: ...

    @abstractmethod
    async def lose_next_reply(self) -> None: ...

    @abstractmethod
    async def sell(
        self, camera_id: str, *, mode: str = "base", status: str = "active", until: str | None = None, **terms: Any
    ) -> None: ...

    @abstractmethod
    async def overrule(self, feature: str, *, enabled: bool) -> None: ...

    @abstractmethod
    async def limit(self, feature: str, *, left: int) -> None: ...

    @abstractmethod
    async def times_billed(self) -> Counter[str]: ...


class FakeBench(Bench):
    def __init__(self) -> None:
        self.billing = self._fake = FakeBilling(timeout=IMPATIENT)
        self._fake.offer_report()
        self.tenant = TenantId("tenant")

    @override
    async def offline(self) -> None:
        self._fake.offline()

    @override
    async def slow(self) -> None:
        self._fake.slow()

    @override
    async def online(self) -> None:
        self._fake.online()

    @override
    async def classic(self) -> None:
        self._fake.classic()

    @override
    async def sign(self) -> None:
        self._fake.sign(lambda *_: "-----BEGIN MACHINE FILE-----\n")

    @override
    async def offer_no_report(self) -> None:
        self._fake.offer_no_report()

    @override
    async def lose_next_reply(self) -> None:
        self._fake.lose_next_reply()

    @override
    async def sell(
        self, camera_id: str, *, mode: str = "base", status: str = "active", until: str | None = None, **terms: Any
    ) -> None:
        if status in {"revoked", "suspended"}:
            self._fake.deny(CameraId(camera_id), LicenseStatus(status))
            return
        reply = replace(
            GOOD,
            is_valid=mode != "unlicensed",
            mode=LicenseMode(mode),
            status=LicenseStatus(status),
            valid_until=until and datetime.fromisoformat(until),
            packs=tuple(terms.get("packs", ())),
            cameras_allowed=terms.get("cameras_allowed"),
        )
        self._fake.answer(CameraId(camera_id), reply)

    @override
    async def overrule(self, feature: str, *, enabled: bool) -> None:
        self._fake.answer_feature(feature, FeatureReply(is_enabled=enabled, quota_remaining=Decimal(-1)))

    @override
    async def limit(self, feature: str, *, left: int) -> None:
        self._fake.answer_feature(feature, FeatureReply(is_enabled=True, quota_remaining=Decimal(left)))

    @override
    async def times_billed(self) -> Counter[str]:
        return Counter(str(event["event_id"]) for event in self._fake.billed)


class SandboxBench(Bench):
    def __init__(self, sandbox: SandboxProcess, tenant: TenantId, trust: ssl.SSLContext) -> None:
        self.tenant = tenant
        self._sandbox = sandbox
        self._trust = trust
        self._running = True
        self._patient = self._client(timedelta(seconds=20))
        self._impatient = self._client(IMPATIENT)
        self.billing = self._patient

    def _client(self, timeout: timedelta) -> HttpBilling:
        return HttpBilling(
            base_url=f"{self._sandbox.url}/api/v1",
            api_key=f"key-of-{self.tenant}",
            device_id=DeviceId("device-1"),
            timeout=timeout,
            retries=1,
            dialect="auto",
            agent_version="1.2.3",
            verify=self._trust,
        )

    async def close(self) -> None:
        await self.online()
        self._sandbox.admin.clear_faults()
        await self._patient.close()
        await self._impatient.close()

    @override
    async def offline(self) -> None:
        await asyncio.to_thread(self._sandbox.stop)
        self._running = False

    @override
    async def slow(self) -> None:
        self._sandbox.pause()
        self.billing = self._impatient

    @override
    async def online(self) -> None:
        if self._running:
            self._sandbox.resume()
        else:
            await asyncio.to_thread(self._sandbox.start)
        self._running = True
        self.billing = self._patient

    @override
    async def classic(self) -> None:
        await self._faults({"action": "classic_only"})

    @override
    async def sign(self) -> None:
        await asyncio.to_thread(self._sandbox.admin.leases, self.tenant)

    @override
    async def offer_no_report(self) -> None:
        await self._faults({"action": "status", "status": 404, "path": "*/billing/license/*"})

    @override
    async def lose_next_reply(self) -> None:
        await self._faults({"action": "drop_reply", "path": "*/usage/batch", "times": 1})

    @override
    async def sell(
        self, camera_id: str, *, mode: str = "base", status: str = "active", until: str | None = None, **terms: Any
    ) -> None:
        terms |= {"camera_id": camera_id, "mode": mode, "status": status, "valid_until": until}
        await asyncio.to_thread(self._sandbox.admin.subscribe, self.tenant, **terms)

    @override
    async def overrule(self, feature: str, *, enabled: bool) -> None:
        await asyncio.to_thread(self._sandbox.admin.feature, self.tenant, feature, is_enabled=enabled)

    @override
    async def limit(self, feature: str, *, left: int) -> None:
        terms = {"meter": "api_call", "monthly_limit": left}
        await asyncio.to_thread(self._sandbox.admin.quota, self.tenant, feature, **terms)

    @override
    async def times_billed(self) -> Counter[str]:
        lines = await asyncio.to_thread(self._sandbox.admin.ledger)
        return Counter(line["event_id"] for line in lines if line["account"] == self.tenant)

    async def _faults(self, *rules: dict[str, object]) -> None:
        await asyncio.to_thread(self._sandbox.admin.faults, *rules)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One process for all tests of a worker; each test has a tenant of its own."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.db") as process:
        yield process


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture(params=["fake", "sandbox"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Every test of the contract runs once with each."""
    if request.param == "fake":
        yield FakeBench()
        return
    process: SandboxProcess = request.getfixturevalue("sandbox")
    tenant = TenantId(f"tenant-{next(_TENANTS)}")
    process.admin.add_tenant(tenant, f"key-of-{tenant}")
    process.admin.subscribe(tenant)
    found = SandboxBench(process, tenant, request.getfixturevalue("trust"))
    yield found
    await found.close()


@pytest.fixture
def batch_of(bench: Bench) -> Callable[..., WireBatch]:
    """``batch_of(7, n, dialect=…, **changed)``: a batch whose id is made of 7, with events whose ids are made of n."""

    def make(
        number: int, *events: int, dialect: Dialect = Dialect.EXTENDED, tenant: str | None = None, **changed: object
    ) -> WireBatch:
        listed = ",".join(_event(tenant or bench.tenant, event, changed) for event in events)
        seal = {
            "batch_id": str(UUID(int=number)),
            "device_id": "device-1",
            "stream": str(UUID(int=1)),
            "first_seq": min(events),
            "last_seq": max(events),
            "count": len(events),
            "sha256": hashlib.sha256(f"[{listed}]".encode()).hexdigest(),
            "prev_sha256": None,
        }
        head = json.dumps(seal)[1:-1] + "," if dialect is Dialect.EXTENDED else ""
        body = f'{{{head}"events":[{listed}]}}'.encode()
        return WireBatch(batch_id=BatchId(UUID(int=number)), body=body, dialect=dialect)

    return make


def _event(tenant: str, number: int, changed: dict[str, object]) -> str:
    event = {
        "event_id": str(UUID(int=number)),
        "tenant_id": tenant,
        "device_id": "device-1",
        "camera_id": "cam-1",
        "seq": number,
        "event_type": "api_call",
        "resource_id": "r",
        "quantity": 1,
        "unit": "calls",
        "event_time": "2027-03-01T12:00:00Z",
        "metadata": {},
    }
    return json.dumps(event | changed)
