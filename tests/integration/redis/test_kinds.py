"""What Redis has besides values under keys: JSON, times to live, hashes, lists, counters, pipelines, patterns."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from tapi_agent.adapters.redis.cache import RedisCache

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


async def is_about(cache: RedisCache, key: str, ttl: timedelta) -> bool:
    left = await cache.ttl(key)
    return left is not None and ttl - timedelta(seconds=30) < left <= ttl


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "ä"]}, [], "text", 0, False, None], ids=repr)
async def test_json_comes_back_as_it_was(cache: RedisCache, value: object) -> None:
    await cache.set_json("key", value, ttl=MINUTE)
    assert await cache.get_json("key") == value
    assert await is_about(cache, "key", MINUTE)


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"nan"])
async def test_damaged_json_is_a_miss(cache: RedisCache, damaged: bytes) -> None:
    await cache.set("key", damaged, ttl=MINUTE)
    assert await cache.get_json("key") is None
    assert await cache.get_json("unknown") is None


async def test_what_json_cannot_express_is_an_error_of_the_caller(cache: RedisCache) -> None:
    with pytest.raises(TypeError):
        await cache.set_json("key", object(), ttl=MINUTE)


async def test_a_key_exists_for_as_long_as_it_is_told_to(cache: RedisCache) -> None:
    assert not await cache.exists("key")
    assert await cache.ttl("key") is None
    assert not await cache.expire("key", MINUTE)
    await cache.set("key", "value", ttl=MINUTE)
    assert await cache.exists("key")
    assert await cache.expire("key", HOUR)
    assert await is_about(cache, "key", HOUR)
    assert await cache.expire("key", timedelta(0))
    async with asyncio.timeout(5):
        while await cache.exists("key"):
            pass


async def test_a_key_that_does_not_expire_says_so(cache: RedisCache) -> None:
    await cache.pipeline([("SET", "key", "value")])
    assert await cache.ttl("key") == timedelta.max


async def test_fields_of_a_hash_are_set_read_and_deleted(cache: RedisCache) -> None:
    assert await cache.hashes.get("hash", "a") is None
    assert await cache.hashes.get_all("hash") == {}
    await cache.hashes.set("hash", {"a": "1", "b": b"\xff", "ä": ""}, ttl=MINUTE)
    await cache.hashes.set("hash", {"a": "2"}, ttl=HOUR)
    assert await cache.hashes.get("hash", "a") == b"2"
    assert await cache.hashes.get_all("hash") == {"a": b"2", "b": b"\xff", "ä": b""}
    assert await is_about(cache, "hash", HOUR)
    assert await cache.hashes.delete("hash", "a", "b", "unknown") == 2
    assert await cache.hashes.get_all("hash") == {"ä": b""}


async def test_no_fields_change_nothing(cache: RedisCache) -> None:
    await cache.hashes.set("hash", {}, ttl=MINUTE)
    assert await cache.hashes.delete("hash") == 0
    assert not await cache.exists("hash")


async def test_lists_grow_and_shrink_at_both_ends(cache: RedisCache) -> None:
    assert await cache.lists.push_right("list", "c", "d", ttl=MINUTE) == 2
    assert await cache.lists.push_left("list", "b", "a", ttl=HOUR) == 4
    assert await is_about(cache, "list", HOUR)
    assert await cache.lists.range("list") == [b"a", b"b", b"c", b"d"]
    assert await cache.lists.range("list", 1, 2) == [b"b", b"c"]
    await cache.lists.trim("list", 0, 2)
    assert await cache.lists.pop_right("list") == b"c"
    assert await cache.lists.pop_left("list") == b"a"
    assert await cache.lists.pop_left("list") == b"b"
    assert await cache.lists.pop_left("list") is None
    assert await cache.lists.pop_right("list") is None
    assert await cache.lists.range("list") == []


async def test_a_counter_lives_from_its_first_count_on(cache: RedisCache) -> None:
    assert await cache.counters.increment("counter", ttl=MINUTE) == 1
    assert await cache.counters.increment("counter", 41, ttl=HOUR) == 42
    assert await cache.counters.increment("counter", -2, ttl=HOUR) == 40
    assert await is_about(cache, "counter", MINUTE)


async def test_counts_of_many_callers_add_up(cache: RedisCache) -> None:
    counts = await asyncio.gather(*(cache.counters.increment("counter", ttl=MINUTE) for _ in range(50)))
    assert sorted(counts) == list(range(1, 51))


async def test_a_pipeline_answers_in_order_however_long_it_is(cache: RedisCache) -> None:
    commands = [("INCRBY", "counter", 1) for _ in range(250)]
    assert await cache.pipeline(commands) == list(range(1, 251))
    assert await cache.pipeline([]) == []


async def test_a_refused_command_of_a_pipeline_is_unavailable_and_the_others_are_done(cache: RedisCache) -> None:
    await cache.lists.push_left("list", "value", ttl=MINUTE)
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        await cache.pipeline([("SET", "one", "1"), ("INCRBY", "list", 1), ("SET", "two", "2")])
    assert await cache.get_many(["one", "two"]) == [b"1", b"2"]


@pytest.mark.parametrize("prefix", ["plain:", "gl*b:", "wh?t:", "[ab]:", "back\\slash:"])
async def test_keys_are_deleted_by_their_literal_prefix(cache: RedisCache, prefix: str) -> None:
    others = ["glob:", "what:", "a:", "backslash:", f"x{prefix}"]
    await cache.set_many(dict.fromkeys([f"{prefix}1", f"{prefix}2", *others], b""), ttl=MINUTE)
    assert await cache.delete_prefix(prefix) == 2
    assert sorted(await cache.keys("", within=MINUTE)) == sorted(other.encode() for other in others)


async def test_keys_are_deleted_by_pattern(cache: RedisCache) -> None:
    await cache.set_many(dict.fromkeys(["a:1:x", "a:2:x", "a:1:y"], b""), ttl=MINUTE)
    assert await cache.delete_pattern("a:?:x") == 2
    assert await cache.keys("", within=MINUTE) == [b"a:1:y"]
    assert await cache.delete_pattern("unknown*") == 0


async def test_more_keys_than_a_page_are_all_deleted(cache: RedisCache) -> None:
    await cache.set_many({f"key:{number}": b"" for number in range(2500)}, ttl=MINUTE)
    assert await cache.delete_prefix("key:") == 2500
