from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind, evidence_of
from tapi_agent.domain.license import Evidence, LicenseMode, LicenseState, Reason, Subject
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START, FakeClock
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
    from collections.abc import AsyncIterator, Callable

T = datetime(2027, 3, 1, 12, tzinfo=UTC)
MONTH = timedelta(days=30)


@pytest.fixture
def subject() -> Subject:
    return Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("gate"))


@pytest.fixture
def evidence(subject: Subject) -> Evidence:
    """A plain yes, heard at noon on 1 March 2027."""
    return Evidence(subject=subject, mode=LicenseMode.BASE, verified_at=T)


def longest_wait(size: int) -> bytes:
    return b"\xff" * size


@dataclass(kw_only=True)
class Stage:
    """A licensing service with everything around it in memory; ``boot`` starts a new one on the same stores."""

    machine: FakeClock = field(default_factory=FakeClock)
    mark: MemoryMark = field(default_factory=MemoryMark)
    billing: FakeBilling = field(default_factory=FakeBilling)
    file: MemoryEvidence = field(default_factory=lambda: MemoryEvidence("file"))
    redis: MemoryEvidence = field(default_factory=lambda: MemoryEvidence("redis"))
    postgres: MemoryEvidence = field(default_factory=lambda: MemoryEvidence("postgres"))
    roster: MemoryRoster = field(default_factory=MemoryRoster)
    request: MemoryRequest = field(default_factory=MemoryRequest)
    leases: FakeLeases = field(default_factory=FakeLeases)
    parts: FakeMachine = field(default_factory=FakeMachine)
    log: MemoryLicenseLog = field(default_factory=MemoryLicenseLog)
    heard: Announcements = field(default_factory=Announcements)
    policy: LicensePolicy = field(default_factory=lambda: LicensePolicy(tick=timedelta(milliseconds=1)))
    tenant: Subject = field(
        default_factory=lambda: Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
    )
    sealer: DeviceSealer = field(default_factory=lambda: DeviceSealer(DeviceKey(bytes(32))))

    def __post_init__(self) -> None:
        self.build()

    def build(self, **policy: object) -> Licensing:
        """A new process: memory is empty, the stores are what they were."""
        self.policy = replace(self.policy, **policy)
        self.clock = Timekeeper(clock=self.machine, store=self.mark)
        self.connectivity = Connectivity(clock=self.clock, billing=self.billing)
        self.licensing = Licensing(
            around=Surroundings(
                tenant=self.tenant,
                policy=self.policy,
                billing=self.billing,
                connectivity=self.connectivity,
                clock=self.clock,
                machine=self.machine,
                leases=Leases(reader=self.leases, machine=self.parts, tenant=self.tenant),
                entropy=longest_wait,
            ),
            tiers=[self.file, self.redis, self.postgres],
            sealer=self.sealer,
            roster=self.roster,
            requests=self.request,
            edge_log=self.log,
            publisher=self.heard,
        )
        return self.licensing

    async def boot(self, *cameras: str, **policy: object) -> Licensing:
        """A new process that has started and knows these cameras too."""
        self.build(**policy)
        await self.clock.start()
        await self.licensing.start()
        for camera in cameras:
            self.licensing.register(CameraId(camera))
        return self.licensing

    async def settled(self, *cameras: str) -> Licensing:
        """Booted, every camera asked for and everything written down."""
        await self.boot(*cameras)
        await self.licensing.refresh()
        await self.licensing.stop()
        return self.licensing

    async def pass_time(self, passing: timedelta) -> None:
        """Time passes; licensing looks again."""
        self.machine.advance(passing)
        await self.licensing.reevaluate()

    def keep(self, tier: MemoryEvidence, evidence: Evidence) -> None:
        """Let a tier have evidence, as if it had been stored before."""
        tier.kept[evidence.subject] = evidence, self.sealer.seal(evidence)

    def lease(self, camera: str = "", *, key_id: str = "k1", issued: datetime = START, **contents: object) -> Lease:
        """What a lease of this box says; its key is trusted from the next start on."""
        if key_id not in self.leases.key_ids:
            self.leases.key_ids = (*self.leases.key_ids, key_id)
        made_for = {"tenant_id": self.tenant.tenant_id, "device_id": self.tenant.device_id, "expiry": START + MONTH}
        return Lease(
            **{"kind": LeaseKind.MACHINE, **made_for, **contents},
            camera_id=CameraId(camera),
            key_id=key_id,
            issued=issued,
        )

    def keep_lease(self, tier: MemoryEvidence, lease: Lease) -> str:
        """Let a tier have a lease file, as if it had been stored before; its text."""
        text = self.leases.issue(lease)
        evidence = evidence_of(lease, tenant=self.tenant)
        tier.kept[evidence.subject] = evidence, text
        return text

    def state(self, camera: str) -> LicenseState:
        return self.licensing.view(CameraId(camera)).standing.state

    def reason(self, camera: str) -> Reason:
        return self.licensing.view(CameraId(camera)).standing.reason

    def edges(self, camera: str) -> list[str]:
        """The edges of a camera that were published, as ``old>new``."""
        return [f"{edge.old}>{edge.new}" for edge in self.heard.changes if edge.subject.camera_id == camera]

    def asked(self) -> list[str]:
        return [subject.camera_id for subject in self.billing.asked]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The loops run."""
        task = asyncio.create_task(self.licensing.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], object]:
    """Wait for a condition, ten seconds at most."""
    return eventually


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.billing.online()
    await stage.licensing.stop()
