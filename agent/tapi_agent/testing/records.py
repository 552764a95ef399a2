"""What is written down for people, in memory: stand-ins for PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.settlement import ServiceMemory
from tapi_agent.ports.records import RecordedDecision
from tapi_agent.ports.usage import SyncStatus
from tapi_agent.testing.licenses import Switch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tapi_agent.domain.decision import Decision
    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
    from tapi_agent.ports.records import DeviceRecord
    from tapi_agent.ports.usage import SyncRound


class MemoryDecisions(Switch):
    """Implements ``ports.records.DecisionRecords``; ``calls`` counts the writes."""

    def __init__(self, *, device_id: DeviceId, tenant_id: TenantId) -> None:
        super().__init__()
        self._device = device_id
        self._tenant = tenant_id
        self.kept: dict[CameraId, dict[str, RecordedDecision]] = {}
        self.calls = 0

    async def record(
        self,
        decisions: Sequence[Decision],
        cameras: Mapping[CameraId, datetime | None],
        *,
        decided_at: datetime,
    ) -> None:
        """Keep them in place of what was kept of these cameras; what says the same is left alone."""
        self.check()
        self.calls += 1
        for camera_id, until in cameras.items():
            known = self.kept.get(camera_id, {})
            new = {one.feature: _recorded(one, self._device, decided_at, until) for one in decisions}
            self.kept[camera_id] = {
                feature: known[feature] if feature in known and _same(known[feature], one) else one
                for feature, one in new.items()
            }

    async def retain(self, cameras: Collection[CameraId]) -> None:
        """Forget the others."""
        self.check()
        self.kept = {camera_id: kept for camera_id, kept in self.kept.items() if camera_id in cameras}

    async def decisions(self, tenant_id: TenantId, camera_id: CameraId) -> Sequence[RecordedDecision]:
        """What is kept of a camera."""
        self.check()
        kept = self.kept.get(camera_id, {}) if tenant_id == self._tenant else {}
        return [kept[feature] for feature in sorted(kept)]


def _recorded(decision: Decision, device: DeviceId, at: datetime, until: datetime | None) -> RecordedDecision:
    return RecordedDecision(
        device_id=device,
        feature=decision.feature,
        allowed=decision.allowed,
        reason=decision.reason,
        state=decision.state,
        license_reason=decision.license_reason,
        source_pack=decision.source_pack,
        packs=decision.packs,
        decided_at=at,
        holds_until=until,
    )


def _same(one: RecordedDecision, other: RecordedDecision) -> bool:
    return replace(one, decided_at=other.decided_at) == other


class MemoryDevice(Switch):
    """Implements ``ports.records.DeviceRecords``."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: DeviceRecord | None = None

    async def save(self, record: DeviceRecord) -> None:
        """Keep it; what is ``None`` stays as it was."""
        self.check()
        before = self.kept or record
        self.kept = replace(
            record,
            heartbeat_at=record.heartbeat_at or before.heartbeat_at,
            heartbeat_interval=record.heartbeat_interval or before.heartbeat_interval,
        )

    async def load(self) -> DeviceRecord | None:
        """What is kept."""
        self.check()
        return self.kept


class MemoryServices(Switch):
    """Implements ``ports.usage.Memory``; every look at its clock is a second after the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, ServiceMemory] = {}
        self._status: dict[str, SyncStatus] = {}
        self._now = datetime(2027, 3, 1, tzinfo=UTC)

    async def recall(self, service: str) -> ServiceMemory:
        """What is known of a service."""
        self.check()
        return self._known.get(service, ServiceMemory())

    async def remember(self, service: str, memory: ServiceMemory) -> None:
        """Keep it."""
        self.check()
        self._known[service] = memory
        self._status.setdefault(service, _NOTHING_YET)

    async def note(self, service: str, done: SyncRound) -> None:
        """Add a round."""
        self.check()
        if not service:
            return
        self._now += timedelta(seconds=1)
        before = self._status.get(service, _NOTHING_YET)
        self._status[service] = SyncStatus(
            attempts=before.attempts + 1,
            errors=before.errors + bool(done.error),
            events_synced=before.events_synced + done.synced,
            last_attempt_at=self._now,
            last_success_at=before.last_success_at if done.error else self._now,
            last_duration=done.took,
            total_duration=before.total_duration + done.took,
            last_error=done.error,
        )

    async def status(self, service: str) -> SyncStatus | None:
        """How sending has gone so far."""
        self.check()
        return self._status.get(service)


_NOTHING_YET = SyncStatus(
    attempts=0,
    errors=0,
    events_synced=0,
    last_attempt_at=None,
    last_success_at=None,
    last_duration=None,
    total_duration=timedelta(0),
    last_error="",
)
