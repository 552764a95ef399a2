"""Four real agents share a hard quota, and 128 callers spend it while things break: never is more promised than is."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import pytest
import redis
from e2e_tools import all_up, install_plugin, settings_for
from quota_tools import LIMIT, METER, Callers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

AGENTS: Final = 4
PLUGIN: Final = f"""
from tapi_agent.plugin import Meter, QuotaRule, hookimpl

@hookimpl
def register_meters() -> list[Meter]:
    return [Meter(key="{METER}", unit="units")]

@hookimpl
def register_quotas() -> list[QuotaRule]:
    return [QuotaRule(meter="{METER}", limit={LIMIT})]
"""


def up(agent: AgentProcess) -> None:
    agent.start(within=60)
    agent.wait_for(all_up, within=30, what="all up")


@pytest.fixture
def agents(
    private_engines: Any, service: SandboxProcess, launch: Callable[..., AgentProcess], folder: Any
) -> list[AgentProcess]:
    """Four devices of one tenant on the same stores, with a plugin that brings the meter and its quota."""
    path = install_plugin(folder / "site", "torture", PLUGIN)
    stores = {"POSTGRES_DSN": private_engines.postgres.address, "REDIS_URL": private_engines.valkey.address}
    common = stores | {"CAMERA_IDS": "", "PYTHONPATH": path, "USAGE_SYNC_INTERVAL_MINUTES": "5"}
    names = [f"box-{number}" for number in range(1, AGENTS + 1)]
    fleet = [launch(settings_for(service, **common | {"EDGE_DEVICE_ID": name}), name=name) for name in names]
    with ThreadPoolExecutor(AGENTS) as starters:
        list(starters.map(up, fleet))
    return fleet


@pytest.fixture
def callers(agents: list[AgentProcess]) -> Callers:
    return Callers(agents)


def ask_postgresql(engines: Any, query: LiteralString, *parameters: object) -> int:
    with psycopg.connect(engines.postgres.address) as connection:
        row = connection.execute(query, parameters).fetchone()
    return int(row[0]) if row else 0


def counted(engines: Any, agents: list[AgentProcess]) -> int:
    """What PostgreSQL has in the totals of the meter, once every agent has brought all it has."""
    for agent in agents:
        agent.wait_for(lambda status: not status["usage"]["spooled"], within=30, what="all drained")
    totals = "SELECT sum(quantity + local_quantity) FROM usage_totals WHERE meter = %s"
    return ask_postgresql(engines, totals, METER)


def staked(engines: Any, agent: AgentProcess) -> int:
    """What a device may still bring into the totals."""
    stakes = "SELECT sum(outstanding) FROM quota_stakes WHERE meter = %s AND device_id = %s"
    return ask_postgresql(engines, stakes, METER, agent.environment["EDGE_DEVICE_ID"])


async def all_is_spent(callers: Callers, *, but: Callable[[], int] = lambda: 0) -> None:
    """What one corner gives back, another may spend: look into all of them until nothing is left ``but`` that."""
    async with asyncio.timeout(60):
        while await callers.spend_the_rest() + await asyncio.to_thread(but) < LIMIT:
            await asyncio.sleep(0.2)


def nothing(engines: Any, agents: list[AgentProcess]) -> None:
    pass


def valkey_dies_and_is_emptied(engines: Any, agents: list[AgentProcess]) -> None:
    engines.valkey.kill()
    engines.valkey.start()
    with redis.Redis.from_url(engines.valkey.address) as client:
        client.flushall()


def postgresql_dies(engines: Any, agents: list[AgentProcess]) -> None:
    engines.postgres.kill()
    engines.postgres.start()
    for agent in agents:
        agent.wait_for(all_up, within=30, what="PostgreSQL back")


def an_agent_dies(engines: Any, agents: list[AgentProcess]) -> None:
    agents[1].kill()
    up(agents[1])


async def torture(accident: Callable[..., None], engines: Any, agents: list[AgentProcess], callers: Callers) -> None:
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        group.create_task(callers.spend_all())
        await callers.oracle.middle.wait()
        await asyncio.to_thread(accident, engines, agents)
        callers.calm.set()


@pytest.mark.parametrize("accident", [nothing, valkey_dies_and_is_emptied, postgresql_dies])
async def test_all_is_spent_and_never_more(
    accident: Callable[..., None], private_engines: Any, agents: list[AgentProcess], callers: Callers
) -> None:
    await torture(accident, private_engines, agents, callers)
    await all_is_spent(callers)
    assert callers.oracle.most <= LIMIT
    assert callers.oracle.used == LIMIT
    assert await asyncio.to_thread(counted, private_engines, agents) == LIMIT


async def test_what_an_agent_that_died_has_promised_is_kept_and_all_else_is_spent(
    private_engines: Any, agents: list[AgentProcess], callers: Callers
) -> None:
    promised = await callers.keep(agents[1], times=5, amount=100)
    await torture(an_agent_dies, private_engines, agents, callers)
    await all_is_spent(callers, but=lambda: staked(private_engines, agents[1]))
    await callers.use(agents[1], promised, amount=100)
    assert callers.oracle.most <= LIMIT
    assert await asyncio.to_thread(counted, private_engines, agents) == callers.oracle.used <= LIMIT
