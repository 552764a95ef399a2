"""What the agent writes down for people and reports: what it decided, and on which box. It decides nothing by it.

Every call raises ``UnavailableError`` while the database gives no answer, and may be repeated unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from tapi_agent.domain.decision import Decision, DecisionReason
    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
    from tapi_agent.domain.license import LicenseState, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """A decision as the agent of ``device_id`` wrote it down.

    ``packs`` any one of which would turn a denial; ``decided_at`` and ``holds_until`` in trusted time: after the latter
    the decision of an agent that is silent is stale, ``None`` is no end.
    """

    device_id: DeviceId
    feature: str
    allowed: bool
    reason: DecisionReason
    state: LicenseState
    license_reason: Reason
    source_pack: str | None
    packs: tuple[str, ...]
    decided_at: datetime
    holds_until: datetime | None


class DecisionRecords(Protocol):
    """feature_entitlements: every decision of this device, in place of the one before."""

    async def record(
        self,
        decisions: Sequence[Decision],
        cameras: Mapping[CameraId, datetime | None],
        *,
        decided_at: datetime,
    ) -> None:
        """These decisions, on all features there are, hold for each of the cameras until the instant beside it.

        Features that are no longer among them go; what stands there already is left as it is.
        """
        ...

    async def retain(self, cameras: Collection[CameraId]) -> None:
        """Forget all cameras of this device but these; the empty id is the tenant."""
        ...

    async def decisions(self, tenant_id: TenantId, camera_id: CameraId) -> Sequence[RecordedDecision]:
        """What every device of the site has decided for a camera, by feature and device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """What is written down of the box itself.

    ``heartbeat_at``: when the billing service last answered one, trusted time, ``heartbeat_interval`` until the next
    one; both ``None`` when there was none since the start. ``hardware`` and ``network``: plain JSON objects.
    """

    heartbeat_at: datetime | None = None
    heartbeat_interval: timedelta | None = None
    hardware: Mapping[str, object] = field(default_factory=dict)
    network: Mapping[str, object] = field(default_factory=dict)


class DeviceRecords(Protocol):
    """The row of this device in edge_devices."""

    async def save(self, record: DeviceRecord) -> None:
        """Write it; what is ``None`` leaves what was written before."""
        ...

    async def load(self) -> DeviceRecord | None:
        """What is written; ``None`` before the first time."""
        ...
