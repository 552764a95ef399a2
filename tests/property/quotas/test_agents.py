"""Several agents on one quota, whatever happens to them: no grant is beyond the limit, and nothing is lost for good."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.quotas.world import KEY, LIMIT, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from random import Random

    from tests.unit.quotas.site import Agent

    Step = Callable[[World, Agent, int], Awaitable[None] | None]

LONGEST_TTL = 601
CORRECTED = "01890a5d-ac96-774b-bcce-b302099a8057"


def going_on(make: Callable[[World, Agent, int], Coroutine[Any, Any, None]]) -> Step:
    """A step that goes on by itself while others begin."""

    def step(world: World, agent: Agent, amount: int) -> None:
        world.begin(agent, make(world, agent, amount))

    return step


def commit(world: World, _: Agent, amount: int) -> None:
    if handed := list(world.grants.values()):
        chosen = handed[amount % len(handed)]
        world.begin(chosen.agent, world.commit(chosen, amount))


def release(world: World, _: Agent, amount: int) -> None:
    if handed := list(world.grants.values()):
        world.release(handed[amount % len(handed)])


STEPS: dict[str, Step] = {
    "reserve": going_on(lambda world, agent, amount: world.reserve(agent, amount, ttl=amount)),
    "commit": commit,
    "release": release,
    "record": going_on(lambda world, agent, amount: world.record(agent, amount)),
    "correct": going_on(lambda world, agent, amount: world.record(agent, -amount, corrects=CORRECTED)),
    "drain": going_on(lambda world, agent, _: world.drain(agent)),
    "drain some": going_on(lambda world, agent, amount: world.drain_some(agent, amount % 3)),
    "look": going_on(lambda world, agent, _: world.look(agent)),
    "word": going_on(lambda world, agent, amount: world.word(agent, LIMIT - 200 + amount)),
    "sync": lambda world, _, __: world.site.book.sync(),
    "later": lambda world, _, amount: world.site.machine.advance(timedelta(seconds=amount / 10)),
    "hang up": lambda world, agent, _: world.hang_up(agent),
    "kill": lambda world, agent, _: world.kill(agent),
    "restart": lambda world, agent, _: world.close(agent),
    "settle": lambda world, _, __: world.settle(),
    "lose answers": lambda world, _, __: world.stores(lose=True),
    "down": lambda world, _, __: world.stores(down=True),
    "up": lambda world, _, __: world.stores(),
}
stories = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(STEPS)), st.integers(1, 400)), max_size=60)


async def take(step: Step, world: World, agent: Agent, amount: int) -> None:
    """One step, and some turns for what goes on."""
    if waiting := step(world, agent, amount):
        await waiting
    for _ in range(amount % 4):
        await asyncio.sleep(0)
    world.check()


async def calm_down(world: World) -> None:
    """All stores answer, all reservations are over, everything is drained, and everyone has had a look."""
    world.stores()
    await world.settle()
    for wait in (LONGEST_TTL, 31, 31):
        world.site.machine.advance(timedelta(seconds=wait))
        for agent in world.agents:
            await agent.drain()
            await agent.quotas.look()
            world.check()


async def live(random: Random, story: Sequence[tuple[int, str, int]]) -> None:
    world = World(random, agents=3)
    for number, what, amount in story:
        await take(STEPS[what], world, world.agents[number], amount)
    await calm_down(world)
    world.site.book.sync()
    left = max(LIMIT - world.site.book.used(KEY), Decimal(0))
    await world.word(world.agents[0], LIMIT)
    world.site.machine.advance(timedelta(seconds=31))
    for agent in world.agents:
        await agent.quotas.look()
        assert agent.remaining() == left
    assert left == 0 or await world.agents[1].grant(left)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(random=st.randoms(use_true_random=True), story=stories)
def test_no_grant_is_beyond_the_limit_and_nothing_is_lost_for_good(
    random: Random, story: list[tuple[int, str, int]]
) -> None:
    asyncio.run(live(random, story))
