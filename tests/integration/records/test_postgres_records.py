"""What only PostgreSQL does: rows that are left alone, devices that share a site, columns for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.devices import PostgresDevices
from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.decision import Decision, DecisionReason
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Reason, Subject
from tapi_agent.ports.records import DeviceRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

T = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOX = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
SUBJECT = Subject(**BOX, camera_id=TENANT)
GATE, YARD = CameraId("gate"), CameraId("yard")


def decisions(count: int, *, allowed: bool = True) -> Sequence[Decision]:
    return [
        Decision(
            feature=f"analytics.f{number:03d}",
            allowed=allowed,
            reason=DecisionReason.LICENSED if allowed else DecisionReason.EXPIRED,
            state=LicenseState.VALID,
            license_reason=Reason.OK,
        )
        for number in range(count)
    ]


def rows(dsn: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def records(database: Database) -> PostgresDecisions:
    return PostgresDecisions(database=database, **BOX)


async def test_rows_that_say_so_already_are_neither_written_nor_locked(records, database_dsn: str) -> None:
    touched = "SELECT camera_id, xmin, xmax FROM feature_entitlements ORDER BY camera_id, feature_key"
    await records.record(decisions(9), {GATE: T, YARD: T}, decided_at=T)
    before = rows(database_dsn, touched)
    await records.record(decisions(9), {GATE: T + HOUR, YARD: T}, decided_at=T + HOUR)
    after = rows(database_dsn, touched)
    assert after[9:] == before[9:]
    assert all(one["xmin"] != other["xmin"] for one, other in zip(before[:9], after[:9], strict=True))


async def test_devices_of_a_site_have_rows_of_their_own(records, database) -> None:
    neighbor = PostgresDecisions(database=database, **BOX | {"device_id": DeviceId("box 2")})
    stranger = PostgresDecisions(database=database, **BOX | {"tenant_id": TenantId("other")})
    for one in (records, neighbor, stranger):
        await one.record(decisions(1, allowed=one is not neighbor), {GATE: None}, decided_at=T)
    found = await records.decisions(BOX["tenant_id"], GATE)
    assert [(one.device_id, one.allowed) for one in found] == [("box", True), ("box 2", False)]
    await records.retain([])
    assert [one.device_id for one in await records.decisions(BOX["tenant_id"], GATE)] == ["box 2"]
    assert len(await stranger.decisions(TenantId("other"), GATE)) == 1


async def test_a_statement_is_all_or_nothing(records, database_dsn: str) -> None:
    nonsense = replace(decisions(1)[0], feature="no key")
    with pytest.raises(RejectedError, match="feature_key"):
        await records.record([*decisions(3), nonsense], {GATE: None}, decided_at=T)
    assert rows(database_dsn, "SELECT * FROM feature_entitlements") == []


async def test_five_thousand_rows_in_one_statement(records, database_dsn: str) -> None:
    cameras = {CameraId(f"camera {number}"): T for number in range(50)}
    await records.record(decisions(100), cameras, decided_at=T)
    (count,) = rows(database_dsn, "SELECT count(*), count(DISTINCT xmin::text) AS statements FROM feature_entitlements")
    assert count == {"count": 5000, "statements": 1}


async def test_the_device_row_says_who_it_is(database, database_dsn: str) -> None:
    device = PostgresDevices(database=database, subject=SUBJECT, tier="managed", agent_version="0.1.0")
    await device.save(DeviceRecord())
    (first,) = rows(database_dsn, "SELECT * FROM edge_devices")
    assert {name: first[name] for name in ("device_id", "tenant_id", "management_tier", "agent_version")} == {
        "device_id": "box",
        "tenant_id": "acme",
        "management_tier": "managed",
        "agent_version": "0.1.0",
    }
    later = PostgresDevices(database=database, subject=SUBJECT, tier="basic", agent_version="0.2.0")
    await later.save(DeviceRecord(heartbeat_at=T, heartbeat_interval=HOUR))
    (second,) = rows(database_dsn, "SELECT * FROM edge_devices")
    assert (second["management_tier"], second["agent_version"]) == ("basic", "0.2.0")
    assert (second["last_heartbeat_at"], second["heartbeat_interval"]) == (T, HOUR)
    assert second["created_at"] == first["created_at"]


async def test_before_the_migration_it_is_unavailable(empty_database_dsn: str) -> None:
    database = Database(dsn=empty_database_dsn)
    await database.open()
    with pytest.raises(UnavailableError, match="not migrated"):
        await PostgresDecisions(database=database, **BOX).retain([])
    with pytest.raises(UnavailableError, match="not migrated"):
        await PostgresDevices(database=database, subject=SUBJECT, tier="basic", agent_version="0").save(DeviceRecord())
    await database.close()
