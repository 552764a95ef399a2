"""A box that asks a sandbox about single features: real client, sockets and sealed file; time is the test's."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.adapters.files import FileOverrides
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.overrides import Overrides

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from decimal import Decimal
    from pathlib import Path

    from tapi_agent.ports.quotas import Asked

FRESH: Final = timedelta(minutes=5)
_TENANTS: Final = count(1)


@dataclass
class Now:
    """Implements ``ports.clock.TrustedClock``."""

    at: datetime = datetime(2027, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class NoQuotas:
    """Implements ``ports.quotas.QuotaWords`` where nothing is limited."""

    async def asking(self, _meter: str) -> Asked | None:
        return None

    async def told(self, _asked: Asked, _remaining: Decimal) -> None:
        raise AssertionError("nothing was asked")


@dataclass(kw_only=True)
class Box:
    """``process`` is one life of the agent on the state of the last one."""

    sandbox: SandboxProcess
    tenant: TenantId
    state: Path
    trust: ssl.SSLContext
    clock: Now = field(default_factory=Now)
    down: bool = False

    @asynccontextmanager
    async def process(
        self, *features: str, patience: timedelta = timedelta(seconds=20), fresh: timedelta = FRESH
    ) -> AsyncIterator[Overrides]:
        billing = self._client(patience)
        self.connectivity = Connectivity(clock=self.clock, billing=billing)
        overrides = Overrides(
            asks=True,
            tenant_id=self.tenant,
            billing=billing,
            connectivity=self.connectivity,
            clock=self.clock,
            store=FileOverrides(self.state, key=DeviceKey(bytes(KEY_BYTES)), tenant_id=self.tenant),
            quotas=NoQuotas(),
            in_force=lambda: True,
            meter_of=lambda _feature: None,
            fresh=fresh,
            entropy=os.urandom,
        )
        await overrides.start()
        for feature in features:
            overrides.interested(feature)
        yield overrides
        await billing.close()

    def _client(self, patience: timedelta) -> HttpBilling:
        return HttpBilling(
            base_url=f"{self.sandbox.url}/api/v1",
            api_key=f"key-of-{self.tenant}",
            device_id=DeviceId("box"),
            timeout=patience,
            retries=0,
            dialect="auto",
            agent_version="1.2.3",
            verify=self.trust,
        )

    async def says(self, feature: str, *, enabled: bool | None) -> None:
        """Let the service say this of a feature; ``None``: what the packs say."""
        await asyncio.to_thread(self.sandbox.admin.feature, self.tenant, feature, is_enabled=enabled)

    async def sells(self, camera_id: str = "", **terms: object) -> None:
        await asyncio.to_thread(self.sandbox.admin.subscribe, self.tenant, camera_id=camera_id, **terms)

    async def fails(self, rule: dict[str, object]) -> None:
        await asyncio.to_thread(self.sandbox.admin.faults, rule)

    async def mends(self) -> None:
        await asyncio.to_thread(self.sandbox.admin.clear_faults)

    async def stops(self) -> None:
        await asyncio.to_thread(self.sandbox.stop)
        self.down = True

    async def starts(self) -> None:
        await asyncio.to_thread(self.sandbox.start)
        self.down = False

    async def questions(self) -> int:
        """How often this sandbox was asked about a feature."""
        found = await asyncio.to_thread(self.sandbox.admin.requests)
        return int(found["counts"].get("POST /api/v1/entitlements/check", 0))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.db") as process:
        yield process


@pytest.fixture(scope="module")
def trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def box(sandbox: SandboxProcess, trust: ssl.SSLContext, tmp_path: Path) -> AsyncIterator[Box]:
    tenant = TenantId(f"tenant-{next(_TENANTS)}")
    sandbox.admin.add_tenant(tenant, f"key-of-{tenant}")
    box = Box(sandbox=sandbox, tenant=tenant, state=tmp_path / "overrides.sealed", trust=trust)
    await box.sells(valid_until="2199-01-01T00:00:00Z")
    yield box
    await asyncio.to_thread(sandbox.restart if box.down else sandbox.admin.clear_faults)
