"""One suite for license_validation_log: the fake and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tapi_agent.adapters.postgres.licenses import PostgresLicenseLog
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Reason, Subject
from tapi_agent.testing.licenses import MemoryLicenseLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.ports.licenses import LicenseLog

OWNER = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
EDGES = [
    LicenseChanged(
        edge_id=UUID(int=9 - number),
        subject=Subject(**OWNER, camera_id=CameraId(f"Tür {number}")),
        old=LicenseState.VALID,
        new=LicenseState.EXPIRED,
        reason=Reason.REVOKED,
        at=datetime(2027, 3, 1, microsecond=number, tzinfo=UTC),
    )
    for number in range(4)
]


@pytest.fixture(params=["memory", "postgres"])
def dsn(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("database_dsn")


@pytest.fixture
async def log(dsn: str | None) -> AsyncIterator[LicenseLog]:
    if dsn is None:
        yield MemoryLicenseLog()
        return
    database = Database(dsn=dsn)
    await database.open()
    yield PostgresLicenseLog(database=database, **OWNER)
    await database.close()


async def test_edges_come_back_as_they_were_in_the_order_they_were_written(log: LicenseLog) -> None:
    await log.append(EDGES[1:3])
    await log.append([EDGES[0], EDGES[3]])
    assert list(await log.unpublished()) == [EDGES[1], EDGES[2], EDGES[0], EDGES[3]]


async def test_an_edge_is_written_once(log: LicenseLog) -> None:
    await log.append(EDGES[:2])
    await log.append([EDGES[1], replace(EDGES[0], reason=Reason.SUSPENDED), EDGES[2]])
    assert list(await log.unpublished()) == EDGES[:3]


async def test_what_was_published_is_not_offered_again(log: LicenseLog) -> None:
    await log.append(EDGES)
    await log.mark_published(EDGES[1:3])
    await log.mark_published(EDGES[1:2])
    assert list(await log.unpublished()) == [EDGES[0], EDGES[3]]
    await log.append(EDGES)
    assert list(await log.unpublished()) == [EDGES[0], EDGES[3]]


async def test_nothing_is_nothing(log: LicenseLog) -> None:
    await log.append([])
    await log.mark_published([])
    assert list(await log.unpublished()) == []


def edge(number: int, camera: str = "gate", *, seconds: int | None = None) -> LicenseChanged:
    subject = Subject(**OWNER, camera_id=CameraId(camera))
    at = EDGES[0].at + timedelta(seconds=number if seconds is None else seconds)
    return replace(EDGES[0], edge_id=UUID(int=number), subject=subject, at=at)


async def test_the_history_of_a_camera_begins_with_the_newest(log: LicenseLog) -> None:
    await log.append([edge(1), edge(2, "yard"), edge(3), edge(4)])
    await log.mark_published([edge(3)])
    assert list(await log.history(CameraId("gate"), limit=10)) == [edge(4), edge(3), edge(1)]
    assert list(await log.history(CameraId("gate"), limit=2)) == [edge(4), edge(3)]
    assert list(await log.history(CameraId("nobody"), limit=2)) == []
    assert list(await log.history(None, limit=1)) == [edge(4)]


async def test_of_edges_at_the_same_instant_the_one_written_last_is_the_newest(log: LicenseLog) -> None:
    edges = [edge(number, seconds=0) for number in (7, 3, 5)]
    await log.append(edges)
    assert list(await log.history(CameraId("gate"), limit=3)) == edges[::-1]
