from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import Any

    from tapi_agent.testing.cache import FakeSharedCache

    Agents = Callable[..., Any]
    Heard = asyncio.Queue[Sequence[str] | None]

CHANNEL = "tapi:acme:invalidate"


async def next_of(heard: Heard) -> Sequence[str] | None:
    async with asyncio.timeout(5):
        return await heard.get()


@pytest.fixture
def here(agent: Agents) -> Any:
    """An agent that listens, once ``heard`` is asked for."""
    return agent()


@pytest.fixture
async def heard(here: Any) -> AsyncIterator[Heard]:
    """What its listeners of "license" and "names" are told, after the first word: it has just subscribed."""
    heard: Heard = asyncio.Queue()
    for namespace in ("license", "names"):
        here.invalidator.listen(namespace, heard.put_nowait)
    listening = asyncio.create_task(here.invalidator.run())
    assert [await next_of(heard) for _ in range(2)] == [None, None]
    yield heard
    listening.cancel()


async def test_others_hear_of_the_keys_and_the_sender_does_not(agent: Agents, here: Any, heard: Heard) -> None:
    await here.invalidator.publish("license", ["mine"])
    await agent().invalidator.publish("license", ["cam-1", "cam-2"])
    await agent().invalidator.publish("license", [])
    assert [await next_of(heard) for _ in range(2)] == [("cam-1", "cam-2"), ()]


async def test_other_namespaces_and_tenants_are_not_heard(agent: Agents, heard: Heard) -> None:
    await agent().invalidator.publish("others", ["key"])
    await agent(tenant="rival").invalidator.publish("license", ["key"])
    await agent().invalidator.publish("license", ["last"])
    assert await next_of(heard) == ("last",)


async def test_all_listeners_of_a_namespace_hear(agent: Agents, here: Any, heard: Heard) -> None:
    too: Heard = asyncio.Queue()
    here.invalidator.listen("license", too.put_nowait)
    await agent().invalidator.publish("license", ["key"])
    assert await next_of(heard) == await next_of(too) == ("key",)


async def test_a_gap_means_that_anything_may_have_changed(agent: Agents, heard: Heard, store: FakeSharedCache) -> None:
    await agent().invalidator.publish("license", ["one"])
    store._generations[CHANNEL] += 1  # a message that got lost
    await agent().invalidator.publish("license", ["three"])
    await agent().invalidator.publish("license", ["four"])
    assert [await next_of(heard) for _ in range(4)] == [("one",), None, None, ("four",)]


async def test_numbers_that_go_back_mean_that_anything_may_have_changed(
    agent: Agents, heard: Heard, store: FakeSharedCache
) -> None:
    await agent().invalidator.publish("license", ["one"])
    await agent().invalidator.publish("license", ["two"])
    store.flush()
    await agent().invalidator.publish("license", ["three"])
    await agent().invalidator.publish("license", ["four"])
    assert [await next_of(heard) for _ in range(5)] == [("one",), ("two",), None, None, ("four",)]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"namespace":"license"}', b'{"namespace":1,"keys":[],"origin":""}', b"\xff"]
)
async def test_what_cannot_be_read_means_that_anything_may_have_changed(
    agent: Agents, heard: Heard, store: FakeSharedCache, body: bytes
) -> None:
    await store.publish(CHANNEL, body)
    await agent().invalidator.publish("license", ["next"])
    assert [await next_of(heard) for _ in range(3)] == [None, None, ("next",)]


async def test_a_line_that_was_lost_is_entered_again_and_anything_may_have_changed(
    agent: Agents, heard: Heard, store: FakeSharedCache
) -> None:
    store.go_down()
    with pytest.raises(UnavailableError):
        await agent().invalidator.publish("license", ["unheard"])
    store.come_back()
    assert [await next_of(heard) for _ in range(2)] == [None, None]
    await agent().invalidator.publish("license", ["heard"])
    assert await next_of(heard) == ("heard",)


async def test_the_loss_and_the_return_are_logged_once(here: Any, heard: Heard, store: FakeSharedCache) -> None:
    with capture_logs() as logs:
        store.go_down()
        async with asyncio.timeout(5):
            while here.invalidator._failures < 3:
                await asyncio.sleep(0.01)
        store.come_back()
        assert [await next_of(heard) for _ in range(2)] == [None, None]
    assert [entry["event"] for entry in logs] == ["invalidation.deaf", "invalidation.listening"]


async def test_forgetting_is_seen_by_the_cache_of_another_agent(
    agent: Agents, here: Any, heard: Heard, loader: Any
) -> None:
    await here.cache.get("key", loader)
    loader.value = "new"
    await agent().cache.forget("key")
    assert await next_of(heard) == ("key",)
    assert await here.cache.get("key", loader) == "new"
