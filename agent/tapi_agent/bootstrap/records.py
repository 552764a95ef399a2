"""What is written into PostgreSQL for people and reports, and on whose word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters import machine
from tapi_agent.adapters.postgres.devices import PostgresDevices
from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.bootstrap.core import VERSION
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.records import DecisionRecorder, DeviceRecorder

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core, Tasks
    from tapi_agent.bootstrap.entitlements import Deciding
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.services.heartbeat import Heartbeat
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.settings import Settings


def recorders(
    settings: Settings,
    core: Core,
    stores: Stores,
    licensing: Licensing,
    decided: Deciding,
    heartbeat: Heartbeat,
) -> Tasks:
    """Their tasks; none without a TENANT_ID, which every row must have."""
    if not core.subject.tenant_id:
        return {}
    return {
        "decision records": _decisions(core, stores, licensing, decided).run,
        "device record": _device(settings, core, stores, heartbeat).run,
    }


def _decisions(core: Core, stores: Stores, licensing: Licensing, decided: Deciding) -> DecisionRecorder:
    device, tenant = core.subject.device_id, core.subject.tenant_id
    recorder = DecisionRecorder(
        entitlements=decided.entitlements,
        licenses=licensing,
        records=PostgresDecisions(database=stores.database, device_id=device, tenant_id=tenant),
        connectivity=core.connectivity,
        clock=core.clock,
    )
    licensing.on_change(recorder.wake)
    decided.overrides.on_change(recorder.wake)
    core.connectivity.on_recovery(POSTGRES, recorder.start_over)
    return recorder


def _device(settings: Settings, core: Core, stores: Stores, heartbeat: Heartbeat) -> DeviceRecorder:
    tier = settings.management_tier
    recorder = DeviceRecorder(
        records=PostgresDevices(database=stores.database, subject=core.subject, tier=tier, agent_version=VERSION),
        connectivity=core.connectivity,
        clock=core.clock,
        hardware=machine.hardware,
        network=machine.network,
    )
    heartbeat.on_answer(recorder.heartbeat_answered)
    core.connectivity.on_recovery(POSTGRES, recorder.wake)
    return recorder
