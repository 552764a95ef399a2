"""What every service is given: who we are, the clocks, the billing service, the links."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.billing.absent import AbsentBilling
from tapi_agent.adapters.billing.client import HttpBilling
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.device import device_id
from tapi_agent.adapters.files import FileMark, keep_first
from tapi_agent.adapters.postgres.marks import PostgresMark
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey
from tapi_agent.domain.ids import CameraId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.timekeeping import Timekeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId
    from tapi_agent.settings import Settings

    Tasks = Mapping[str, Callable[[], Coroutine[object, object, object]]]

VERSION: Final = version("tapi-agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What every service is given."""

    subject: Subject
    machine: SystemClock
    clock: Timekeeper
    billing: HttpBilling | AbsentBilling
    connectivity: Connectivity
    key: DeviceKey


def core(settings: Settings, database: Database) -> Core:
    """The core for these settings; makes the device key at the first start."""
    state = settings.tapi_state_dir
    machine = SystemClock()
    key = DeviceKey(keep_first(state / "device.key", lambda: secrets.token_bytes(KEY_BYTES)))
    device = device_id(settings.edge_device_id, kept=state / "device.id", keep=keep_first)
    clock = Timekeeper(
        clock=machine,
        store=FileMark(state / "clock.mark", key=key),
        others=[PostgresMark(database=database, device_id=device, key=key)],
    )
    billing = _billing(settings, device)
    subject = Subject(device_id=device, tenant_id=TenantId(settings.tenant_id or ""), camera_id=CameraId(""))
    connectivity = Connectivity(clock=clock, billing=billing)
    return Core(subject=subject, machine=machine, clock=clock, billing=billing, connectivity=connectivity, key=key)


def _billing(settings: Settings, device: DeviceId) -> HttpBilling | AbsentBilling:
    if not settings.billing_service_url:
        return AbsentBilling()
    return HttpBilling(
        base_url=settings.billing_service_url,
        api_key=settings.billing_api_key.get_secret_value() if settings.billing_api_key else "",
        device_id=device,
        timeout=settings.billing_timeout,
        retries=settings.billing_max_retries,
        dialect=settings.billing_dialect,
        agent_version=VERSION,
    )
