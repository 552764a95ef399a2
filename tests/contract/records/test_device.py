"""One suite for the device's own row: the fake and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.devices import PostgresDevices
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.ports.records import DeviceRecord
from tapi_agent.testing.records import MemoryDevice

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.records import DeviceRecords

T = datetime(2027, 3, 1, 12, tzinfo=UTC)
BOX = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
RECORD = DeviceRecord(
    heartbeat_at=T,
    heartbeat_interval=timedelta(minutes=15),
    hardware={"machine": "aarch64", "cpus": 4, "memory_bytes": 2**33, "model": "Jetson \u2028 'é\""},
    network={"hostname": "box", "addresses": {"eth0": ["192.0.2.1", "2001:db8::1"], "eth1": []}},
)


@pytest.fixture
def devices(store_database: Database | None) -> DeviceRecords:
    if store_database is None:
        return MemoryDevice()
    return PostgresDevices(database=store_database, subject=BOX, tier="managed", agent_version="0.1.0")


async def test_before_the_first_time_there_is_nothing(devices: DeviceRecords) -> None:
    assert await devices.load() is None


@pytest.mark.parametrize("record", [RECORD, DeviceRecord()], ids=["all", "nothing known"])
async def test_it_comes_back_as_it_was(devices: DeviceRecords, record: DeviceRecord) -> None:
    await devices.save(record)
    assert await devices.load() == record


async def test_a_restart_does_not_lose_the_last_heartbeat(devices: DeviceRecords) -> None:
    await devices.save(RECORD)
    changed = replace(RECORD, network={"hostname": "renamed"}, heartbeat_at=None, heartbeat_interval=None)
    await devices.save(changed)
    assert await devices.load() == replace(RECORD, network={"hostname": "renamed"})


async def test_a_later_heartbeat_takes_the_place_of_the_earlier(devices: DeviceRecords) -> None:
    later = replace(RECORD, heartbeat_at=T + timedelta(days=1), heartbeat_interval=timedelta(minutes=1))
    await devices.save(RECORD)
    await devices.save(later)
    assert await devices.load() == later
