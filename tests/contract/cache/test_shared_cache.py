"""One suite for every store that agents share as a cache: the fake and Redis (a real Valkey)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.ports.cache import Announcement, cache_key
from tapi_agent.testing.cache import FakeSharedCache
from tapi_agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tapi_agent.ports.cache import SharedCache

MINUTE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=20)
PATIENT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A store, and what may happen to it."""

    store: SharedCache
    pass_time: Callable[[timedelta], None]
    flush: Callable[[], None]
    go_down: Callable[[], None]


@asynccontextmanager
async def fake() -> AsyncIterator[Site]:
    clock = FakeClock()
    store = FakeSharedCache(clock)
    yield Site(store=store, pass_time=clock.advance, flush=store.flush, go_down=store.go_down)


@asynccontextmanager
async def valkey(url: str, go_down: Callable[[], None]) -> AsyncIterator[Site]:
    store = RedisCache(url=url, timeout=PATIENT)
    with redis.Redis.from_url(url) as client:
        yield Site(store=store, pass_time=lambda _by: None, flush=client.flushall, go_down=go_down)
    await store.close()


@pytest.fixture(params=["fake", "valkey"])
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Site]:
    if request.param == "fake":
        return fake()
    if "down" in request.node.name:
        server = request.getfixturevalue("private_valkey")
        return valkey(server.address, server.kill)
    return valkey(request.getfixturevalue("valkey_url"), lambda: None)


@pytest.fixture
async def site(opening: AbstractAsyncContextManager[Site]) -> AsyncIterator[Site]:
    async with opening as site:
        yield site


async def test_what_is_set_is_got_and_what_is_not_is_a_miss(site: Site) -> None:
    await site.store.set_many({"one": b"1", "two": b"\x00\xff"}, ttl=MINUTE)
    assert [await site.store.get(key) for key in ("one", "two", "three")] == [b"1", b"\x00\xff", None]
    await site.store.set_many({}, ttl=MINUTE)


async def test_a_value_lives_no_longer_than_its_ttl(site: Site) -> None:
    await site.store.set_many({"key": b"value"}, ttl=SHORT)
    site.pass_time(SHORT)
    async with asyncio.timeout(5):
        while await site.store.get("key") is not None:
            await asyncio.sleep(0)


async def test_a_replaced_value_lives_no_longer_than_its_ttl(site: Site) -> None:
    assert await site.store.replace("key", b"value", seen=None, ttl=SHORT)
    site.pass_time(SHORT)
    async with asyncio.timeout(5):
        while await site.store.get("key") is not None:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("there", "seen", "is_replaced"),
    [
        pytest.param(None, None, True, id="nothing seen, nothing there"),
        pytest.param(b"old", b"old", True, id="what was seen is there"),
        pytest.param(b"old", None, False, id="nothing seen, something there"),
        pytest.param(b"other", b"old", False, id="something else is there"),
        pytest.param(None, b"old", False, id="what was seen is gone"),
        pytest.param(b"\x00\r\n\xff", b"\x00\r\n\xff", True, id="any bytes"),
    ],
)
async def test_only_what_was_seen_is_replaced(
    site: Site, there: bytes | None, seen: bytes | None, *, is_replaced: bool
) -> None:
    if there is not None:
        await site.store.set_many({"key": there}, ttl=MINUTE)
    assert await site.store.replace("key", b"new", seen=seen, ttl=MINUTE) is is_replaced
    assert await site.store.get("key") == (b"new" if is_replaced else there)


async def test_of_many_who_saw_the_same_one_replaces_it(site: Site) -> None:
    tries = [site.store.replace("key", bytes([number]), seen=None, ttl=MINUTE) for number in range(20)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 19 + [True]


async def test_a_message_reaches_all_who_are_subscribed_with_its_number(site: Site) -> None:
    await site.store.publish("channel", b"before")
    async with site.store.subscription("channel") as one, site.store.subscription("channel") as other:
        await site.store.publish("elsewhere", b"for others")
        await site.store.publish("channel", b"a body, with \x00 and spaces")
        await site.store.publish("channel", b"")
        for line in (one, other):
            assert await anext(line) == Announcement(generation=2, body=b"a body, with \x00 and spaces")
            assert await anext(line) == Announcement(generation=3, body=b"")


async def test_a_flush_is_a_miss_and_numbers_start_anew_on_the_same_line(site: Site) -> None:
    await site.store.set_many({"key": b"value"}, ttl=MINUTE)
    async with site.store.subscription("channel") as line:
        for body in (b"one", b"two"):
            await site.store.publish("channel", body)
        site.flush()
        await site.store.publish("channel", b"three")
        assert [(await anext(line)).generation for _ in range(3)] == [1, 2, 1]
    assert await site.store.get("key") is None


async def test_when_it_goes_down_every_call_is_unavailable_and_every_line_is_lost(site: Site) -> None:
    async with site.store.subscription("channel") as line:
        site.go_down()
        with pytest.raises(UnavailableError):
            await anext(line)
    for call in (
        site.store.get("key"),
        site.store.set_many({"key": b""}, ttl=MINUTE),
        site.store.replace("key", b"", seen=None, ttl=MINUTE),
        site.store.publish("channel", b""),
        site.store.subscription("channel").__aenter__(),
    ):
        with pytest.raises(UnavailableError):
            await call


def test_keys_are_told_apart_whatever_ids_contain() -> None:
    ids = ("", "a", ":", "a:b", "%3A", "*", "{tag}", "ä", "\r\n")
    keys = {cache_key(one, other) for one in ids for other in ids}
    assert len(keys) == len(ids) ** 2
    assert not any(set(key) & set("{}*?[]\r\n ") for key in keys)
