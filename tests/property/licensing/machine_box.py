"""The box under test: the real licensing service, and everything around it in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from machine_model import SUBJECT, TIERS

from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.leases import FakeLeases, FakeMachine
from tapi_agent.testing.licenses import (
    Announcements,
    MemoryEvidence,
    MemoryLicenseLog,
    MemoryMark,
    MemoryRequest,
    MemoryRoster,
)


@dataclass
class Box:
    """Everything around the service: what outlives a process, and the clocks of the machine."""

    machine: FakeClock = field(default_factory=FakeClock)
    mark: MemoryMark = field(default_factory=MemoryMark)
    billing: FakeBilling = field(default_factory=FakeBilling)
    tiers: dict[str, MemoryEvidence] = field(default_factory=lambda: {name: MemoryEvidence(name) for name in TIERS})
    roster: MemoryRoster = field(default_factory=MemoryRoster)
    request: MemoryRequest = field(default_factory=MemoryRequest)
    log: MemoryLicenseLog = field(default_factory=MemoryLicenseLog)
    heard: Announcements = field(default_factory=Announcements)
    leases: FakeLeases = field(default_factory=FakeLeases)
    policy: LicensePolicy = field(default_factory=LicensePolicy)

    async def boot(self) -> None:
        """A new process on the same stores."""
        self.clock = Timekeeper(clock=self.machine, store=self.mark)
        self.connectivity = Connectivity(clock=self.clock, billing=self.billing)
        self.licensing = Licensing(
            around=Surroundings(
                tenant=SUBJECT,
                policy=self.policy,
                billing=self.billing,
                connectivity=self.connectivity,
                clock=self.clock,
                machine=self.machine,
                leases=Leases(reader=self.leases, machine=FakeMachine(), tenant=SUBJECT),
                entropy=bytes,
            ),
            tiers=list(self.tiers.values()),
            sealer=DeviceSealer(DeviceKey(bytes(32))),
            roster=self.roster,
            requests=self.request,
            edge_log=self.log,
            publisher=self.heard,
        )
        await self.clock.start()
        await self.licensing.start()

    def up(self) -> list[str]:
        return [name for name, tier in self.tiers.items() if not tier.is_down]

    def views(self) -> list[object]:
        """All that a reader of the licenses can tell, but for the instants of what comes next."""
        views = (self.licensing.view(camera) for camera in self.licensing.cameras())
        return [(v.camera_id, v.standing.state, v.standing.reason, v.standing.flags, v.evidence) for v in views]
