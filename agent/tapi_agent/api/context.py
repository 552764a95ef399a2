"""What the API may call: the services, handed over by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tapi_agent.api.peer import LevelTable, level_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tapi_agent.domain.ids import DeviceId, TenantId
    from tapi_agent.ports.plugins import PluginReport
    from tapi_agent.services.cameras import Cameras
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.costs import Costs
    from tapi_agent.services.delivery import Delivery
    from tapi_agent.services.doctor import Doctor
    from tapi_agent.services.entitlements import Entitlements
    from tapi_agent.services.heartbeat import Heartbeat
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.services.losses import Losses
    from tapi_agent.services.metering import Metering
    from tapi_agent.services.proof import Proof
    from tapi_agent.services.quotas import Quotas
    from tapi_agent.services.space import Space
    from tapi_agent.services.timekeeping import Timekeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One agent, as its local API sees it.

    ``reload`` loads plugins anew. ``problems`` are sentences for the operator; ``token`` opens the TCP port, ``cors``
    opens it to web pages too.
    """

    version: str
    device_id: DeviceId
    tenant_id: TenantId
    licensing: Licensing
    entitlements: Entitlements
    metering: Metering
    delivery: Delivery
    proof: Proof
    space: Space
    losses: Losses
    quotas: Quotas
    costs: Costs
    cameras: Cameras
    connectivity: Connectivity
    heartbeat: Heartbeat
    clock: Timekeeper
    plugins: Callable[[], Sequence[PluginReport]]
    reload: Callable[[], Awaitable[object]]
    doctor: Doctor
    problems: Sequence[str] = ()
    token: str | None = None
    cors: bool = False
    levels: LevelTable = field(default_factory=partial(level_table, socket_group="tapi"))
