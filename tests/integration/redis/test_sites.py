"""Redis Sentinel and Redis Cluster, real ones: everything works as on one server, and a failover is followed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.integration.redis.conftest import ClusterSite, SentinelSite

    Eventually = Callable[..., Awaitable[None]]
    Opening = Callable[[str], RedisCache]

MINUTE = timedelta(minutes=1)
PATIENT = timedelta(seconds=5)
ONE_SECOND = timedelta(seconds=1)
KEYS = [f"key:{number}" for number in range(50)]
FAILOVER = 20.0


@pytest.fixture(params=["sentinel", "cluster"])
def site(request: pytest.FixtureRequest) -> SentinelSite | ClusterSite:
    return request.getfixturevalue(f"{request.param}_site")


@pytest.fixture
async def cache_of() -> AsyncIterator[Opening]:
    """Opens a patient cache, so that what is tested is not how fast a busy machine is."""
    async with AsyncExitStack() as stack:

        def cache_of(url: str) -> RedisCache:
            cache = RedisCache(url=url, timeout=PATIENT)
            stack.push_async_callback(cache.close)
            return cache

        yield cache_of


@pytest.fixture
def cache(site: SentinelSite | ClusterSite, cache_of: Opening) -> RedisCache:
    return cache_of(site.url)


async def test_everything_works_as_on_one_server(cache: RedisCache) -> None:
    await cache.set_many({key: key.encode() for key in KEYS}, ttl=MINUTE)
    assert await cache.get_many(KEYS) == [key.encode() for key in KEYS]
    assert sorted(await cache.keys("key:", within=MINUTE)) == sorted(key.encode() for key in KEYS)
    assert await cache.replace("key:0", b"new", seen=b"key:0", ttl=MINUTE)
    assert not await cache.replace("key:0", b"newer", seen=b"key:0", ttl=MINUTE)
    await cache.hashes.set("hash", {"a": "1"}, ttl=MINUTE)
    assert await cache.hashes.get_all("hash") == {"a": b"1"}
    assert await cache.lists.push_right("list", "a", "b", ttl=MINUTE) == 2
    assert await cache.counters.increment("counter", 3, ttl=MINUTE) == 3
    await cache.delete("key:0", "key:1")
    assert await cache.delete_prefix("key:") == len(KEYS) - 2
    await cache.ping()


async def test_what_is_published_arrives_in_order(cache: RedisCache) -> None:
    async with cache.subscription("channel") as messages:
        for number in range(20):
            await cache.publish("channel", str(number).encode())
        heard = [await anext(messages) for _ in range(20)]
    assert [(message.generation, message.body) for message in heard] == [
        (number + 1, str(number).encode()) for number in range(20)
    ]


async def answers(cache: RedisCache) -> bool:
    try:
        await cache.set_many(dict.fromkeys(KEYS, b"again"), ttl=MINUTE)
    except UnavailableError:
        return False
    return True


@pytest.mark.parametrize("accident", ["kill", "freeze"])
async def test_a_new_primary_is_found_though_a_sentinel_hangs(
    sentinel_site: SentinelSite, eventually: Eventually, accident: str
) -> None:
    cache = RedisCache(url=sentinel_site.url, timeout=ONE_SECOND)
    await cache.set("key", "value", ttl=MINUTE)
    sentinel_site.sentinels[0].freeze()
    getattr(sentinel_site.primary, accident)()
    await eventually(lambda: answers(cache), within=FAILOVER)
    assert sentinel_site.replica.client.get("key:0") == "again"
    await cache.close()


async def test_a_new_primary_of_a_part_of_the_cluster_is_found(
    cluster_site: ClusterSite, eventually: Eventually
) -> None:
    cache = RedisCache(url=cluster_site.url, timeout=ONE_SECOND)
    assert await answers(cache)
    cluster_site.primaries[0].kill()
    await eventually(lambda: answers(cache), within=FAILOVER)
    assert len(await cache.keys("key:", within=MINUTE)) == len(KEYS)
    await cache.close()


async def test_keys_that_move_to_another_member_are_followed(cluster_site: ClusterSite, cache_of: Opening) -> None:
    cache = cache_of(cluster_site.url)
    await cache.set("key:0", "value", ttl=MINUTE)
    slot = cluster_site.replica.client.execute_command("CLUSTER KEYSLOT", "key:0")
    await cache.delete("key:0")
    new_owner = cluster_site.primaries[2].client.execute_command("CLUSTER MYID")
    for primary in reversed(cluster_site.primaries):
        primary.client.execute_command("CLUSTER SETSLOT", slot, "NODE", new_owner)
    await cache.set("key:0", "moved", ttl=MINUTE)
    assert cluster_site.primaries[2].client.get("key:0") == "moved"
    assert await cache.get("key:0") == b"moved"
    assert await cache.get_many(["key:0"]) == [b"moved"]


@pytest.mark.parametrize(
    ("part", "instead", "reason"),
    [
        pytest.param("/site/", "/other/", "No such master with that name", id="unknown service"),
        pytest.param(
            "sentinel_password=guard", "sentinel_password=guess", "WRONGPASS|invalid", id="Sentinels' password"
        ),
        pytest.param(":secret@", ":guess@", "WRONGPASS|invalid", id="servers' password"),
    ],
)
async def test_what_is_wrong_with_a_url_is_said_without_its_secrets(
    sentinel_site: SentinelSite, cache_of: Opening, part: str, instead: str, reason: str
) -> None:
    cache = cache_of(sentinel_site.url.replace(part, instead))
    with pytest.raises(UnavailableError, match=reason) as error:
        await cache.ping()
    assert not any(secret in str(error.value) for secret in ("secret", "guess", "guard"))


@pytest.mark.parametrize("layout", ["sentinel", "cluster"])
async def test_nobody_there_is_unavailable(cache_of: Opening, layout: str) -> None:
    cache = cache_of(f"redis+{layout}://127.0.0.1:1,127.0.0.1:2{'/site' if layout == 'sentinel' else ''}")
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:[12]"):
        await cache.ping()
