"""One suite for every place that keeps evidence: memory, file, PostgreSQL, Redis."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.files import FileEvidence
from tapi_agent.adapters.postgres.licenses import PostgresEvidence
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Evidence, LicenseMode, Reason, Subject
from tapi_agent.ports.licenses import BulkTier, SealedEvidence
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.licenses import MemoryEvidence, MemoryMark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tapi_agent.ports.licenses import EvidenceTier

T = datetime(2027, 3, 1, tzinfo=UTC)
OWNER = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
PATIENT = timedelta(seconds=5)


def word(camera: str, **fields) -> Evidence:
    subject = Subject(**OWNER, camera_id=CameraId(camera))
    return replace(Evidence(subject=subject, mode=LicenseMode.BASE, verified_at=T), **fields)


@asynccontextmanager
async def memory(*, is_down: bool = False) -> AsyncIterator[MemoryEvidence]:
    tier = MemoryEvidence()
    tier.is_down = is_down
    yield tier


@asynccontextmanager
async def postgres(dsn: str) -> AsyncIterator[PostgresEvidence]:
    database = Database(dsn=dsn)
    await database.open()
    clock = Timekeeper(clock=FakeClock(), store=MemoryMark())
    yield PostgresEvidence(database=database, clock=clock, **OWNER)
    await database.close()


@asynccontextmanager
async def redis(url: str) -> AsyncIterator[RedisEvidence]:
    cache = RedisCache(url=url, timeout=PATIENT)
    yield RedisEvidence(cache=cache, ttl=timedelta(minutes=5), **OWNER)
    await cache.close()


@asynccontextmanager
async def file(path: Path) -> AsyncIterator[FileEvidence]:
    yield FileEvidence(path)


@pytest.fixture(params=["memory", "file", "postgres", "redis"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[EvidenceTier]:
    match request.param:
        case "memory":
            return memory()
        case "file":
            return file(tmp_path / "evidence.json")
        case "postgres":
            return postgres(request.getfixturevalue("database_dsn"))
        case _:
            return redis(request.getfixturevalue("valkey_url"))


@pytest.fixture
async def tier(opening: AbstractAsyncContextManager[EvidenceTier]) -> AsyncIterator[EvidenceTier]:
    async with opening as tier:
        yield tier


async def test_what_nobody_has_kept_is_a_miss(tier: EvidenceTier) -> None:
    assert await tier.load(word("gate").subject) is None
    assert await tier.load_all() == {}


@pytest.mark.parametrize("camera", [TENANT, "gate", "Tür 1/é", 'a", "b', "tapi:*?[x]", "%s %(x)s"], ids=str)
async def test_what_is_kept_comes_back(tier: EvidenceTier, camera: str) -> None:
    await tier.save(word(camera), 'v1 00 {"é": "\u2028"}')
    assert await tier.load(word(camera).subject) == 'v1 00 {"é": "\u2028"}'
    assert await tier.load_all() == {word(camera).subject: 'v1 00 {"é": "\u2028"}'}


async def test_newer_takes_the_place_of_older(tier: EvidenceTier) -> None:
    await tier.save(word("gate"), "older")
    await tier.save(word("gate", verified_at=T + PATIENT, denied=Reason.REVOKED), "newer")
    assert await tier.load_all() == {word("gate").subject: "newer"}


async def test_the_same_again_is_kept(tier: EvidenceTier) -> None:
    await tier.save(word("gate"), "first")
    await tier.save(word("gate", cameras_allowed=3), "second")
    assert await tier.load(word("gate").subject) == "second"


async def test_every_subject_has_its_own(tier: EvidenceTier) -> None:
    for camera in (TENANT, "gate", "yard"):
        await tier.save(word(camera), f"sealed {camera}")
    assert await tier.load(word("yard").subject) == "sealed yard"
    assert await tier.load_all() == {word(camera).subject: f"sealed {camera}" for camera in (TENANT, "gate", "yard")}


@pytest.fixture(params=["memory", "file", "postgres", "redis"])
async def down(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EvidenceTier]:
    """A tier out of order."""
    match request.param:
        case "memory":
            opening = memory(is_down=True)
        case "file":
            opening = file(tmp_path)
        case "postgres":
            opening = postgres(f"host={tmp_path}")
        case _:
            opening = redis(f"unix://{tmp_path}/nobody.sock")
    async with opening as tier:
        yield tier


async def test_down_is_unavailable_never_a_miss(down: EvidenceTier) -> None:
    with pytest.raises(UnavailableError):
        await down.load(word("gate").subject)
    with pytest.raises(UnavailableError):
        await down.load_all()
    with pytest.raises(UnavailableError):
        await down.save(word("gate"), "sealed")


def sealed(*cameras: str, text: str = "sealed") -> list[SealedEvidence]:
    return [SealedEvidence(evidence=word(camera), sealed=f"{text} {camera}", raw="{}") for camera in cameras]


@pytest.fixture(params=["file", "postgres"])
async def bulk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BulkTier]:
    """A tier that takes many at once."""
    opening = file(tmp_path / "evidence.json")
    if request.param == "postgres":
        opening = postgres(request.getfixturevalue("database_dsn"))
    async with opening as tier:
        assert isinstance(tier, BulkTier)
        yield tier


async def texts(tier: BulkTier) -> list[str]:
    return sorted((await tier.load_all()).values())


async def test_many_are_kept_at_once(bulk: BulkTier) -> None:
    await bulk.save_many(sealed("yard", TENANT, "gate"))
    assert await texts(bulk) == ["sealed ", "sealed gate", "sealed yard"]
    assert await bulk.load(word("gate").subject) == "sealed gate"


async def test_among_many_some_may_be_kept_already(bulk: BulkTier) -> None:
    await bulk.save_many(sealed("gate", "yard"))
    await bulk.save_many(sealed("hall", "gate", text="again"))
    assert await texts(bulk) == ["again gate", "again hall", "sealed yard"]


async def test_none_is_many_too(bulk: BulkTier) -> None:
    await bulk.save_many([])
    assert await texts(bulk) == []
