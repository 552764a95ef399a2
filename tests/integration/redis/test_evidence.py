from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Evidence, LicenseMode, Subject

if TYPE_CHECKING:
    from tapi_agent.adapters.redis.cache import RedisCache
    from tapi_agent.ports.licenses import EvidenceTier

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def tier(cache: RedisCache, *, device: str = "box", tenant: str = "acme") -> EvidenceTier:
    return RedisEvidence(cache=cache, device_id=DeviceId(device), tenant_id=TenantId(tenant), ttl=HOUR)


def subject(camera: str = "cam", *, device: str = "box", tenant: str = "acme") -> Subject:
    return Subject(device_id=DeviceId(device), tenant_id=TenantId(tenant), camera_id=CameraId(camera))


def evidence(of: Subject) -> Evidence:
    return Evidence(subject=of, mode=LicenseMode.BASE, verified_at=NOW)


async def test_saved_evidence_is_loaded_and_replaced(cache: RedisCache) -> None:
    one = tier(cache)
    assert await one.load(subject()) is None
    await one.save(evidence(subject()), "sealed: älter")
    await one.save(evidence(subject()), "sealed: neu")
    assert await one.load(subject()) == "sealed: neu"
    assert one.name == "redis"


async def test_all_of_the_device_is_loaded_and_nothing_of_others(cache: RedisCache) -> None:
    await tier(cache).save(evidence(subject("")), "tenant")
    await tier(cache).save(evidence(subject("cam")), "camera")
    for other in (
        tier(cache, device="box2"),
        tier(cache, tenant="rival"),
        tier(cache, device="b*"),
        tier(cache, device=""),
    ):
        await other.save(evidence(subject("cam")), "foreign")
    assert await tier(cache).load_all() == {subject(""): "tenant", subject("cam"): "camera"}


async def test_all_of_a_device_without_evidence_is_nothing(cache: RedisCache) -> None:
    assert await tier(cache).load_all() == {}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        pytest.param(("a", "b:c"), ("a:evidence:b", "c"), id="colons"),
        pytest.param(("*", "box"), ("acme", "box"), id="star"),
        pytest.param(("a%3A", "box"), ("a:", "box"), id="already quoted"),
    ],
)
async def test_no_name_reaches_into_the_keys_of_another(
    cache: RedisCache, mine: tuple[str, str], theirs: tuple[str, str]
) -> None:
    foreign = tier(cache, tenant=theirs[0], device=theirs[1])
    await foreign.save(evidence(subject()), "theirs")
    own = tier(cache, tenant=mine[0], device=mine[1])
    assert await own.load_all() == {}
    assert await own.load(subject()) is None


async def test_it_is_kept_for_as_long_as_it_is_fresh(cache: RedisCache, valkey_url: str) -> None:
    await tier(cache).save(evidence(subject()), "sealed")
    with redis.Redis.from_url(valkey_url) as client:
        left = client.pttl("tapi:acme:evidence:box:cam")
    assert HOUR / 2 < timedelta(milliseconds=left) <= HOUR


async def test_bytes_that_are_no_text_come_as_text_that_will_not_verify(cache: RedisCache) -> None:
    await cache.set("tapi:acme:evidence:box:cam", b"\xff", ttl=HOUR)
    assert await tier(cache).load(subject()) == "�"
    assert await tier(cache).load_all() == {subject(): "�"}
