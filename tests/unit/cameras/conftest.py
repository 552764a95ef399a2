from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.services.cameras import Cameras
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.cameras import MemoryCameras
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.leases import no_leases
from tapi_agent.testing.licenses import (
    Announcements,
    MemoryEvidence,
    MemoryLicenseLog,
    MemoryMark,
    MemoryRequest,
    MemoryRoster,
)

BOX = DeviceId("box")


@dataclass(kw_only=True)
class Stage:
    """The cameras of one box, real licensing behind them, stores in memory; ``boot`` starts a new process on these."""

    machine: FakeClock = field(default_factory=FakeClock)
    store: MemoryCameras = field(default_factory=lambda: MemoryCameras(BOX))
    roster: MemoryRoster = field(default_factory=MemoryRoster)
    mark: MemoryMark = field(default_factory=MemoryMark)
    tenant: Subject = field(default=Subject(device_id=BOX, tenant_id=TenantId("acme"), camera_id=TENANT))

    async def boot(self) -> Cameras:
        billing, clock = FakeBilling(), Timekeeper(clock=self.machine, store=self.mark)
        self.licensing = Licensing(
            around=Surroundings(
                tenant=self.tenant,
                policy=LicensePolicy(),
                billing=billing,
                connectivity=Connectivity(clock=clock, billing=billing),
                clock=clock,
                machine=self.machine,
                leases=no_leases(self.tenant),
                entropy=bytes,
            ),
            tiers=[MemoryEvidence("file")],
            sealer=DeviceSealer(DeviceKey(bytes(32))),
            roster=self.roster,
            requests=MemoryRequest(),
            edge_log=MemoryLicenseLog(),
            publisher=Announcements(),
        )
        await self.licensing.start()
        self.cameras = Cameras(store=self.store, licensing=self.licensing, clock=clock, tenant=self.tenant)
        return self.cameras

    def registered(self) -> dict[CameraId, object]:
        return {camera.camera_id: camera.registered_at for camera in self.licensing.roster()}

    def kept(self) -> dict[CameraId, object]:
        return {setup.camera_id: setup.registered_at for setup in self.store.kept.values()}


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.boot()
    return stage
