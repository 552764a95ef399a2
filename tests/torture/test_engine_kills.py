"""Kill -9 of PostgreSQL under a lean agent, and of everything in any order under the whole daemon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.conftest import MIGRATIONS
from tests.torture.daemon import DaemonAgent
from tests.torture.load import A_MOMENT, load_on
from tests.torture.plan import repeated

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.torture.load import Load
    from tests.torture.process import LeanAgent
    from tests.torture.scene import Scene

pytestmark = pytest.mark.slow

FEW: Final = {"agent": 1, "postgres": 1, "valkey": 1}
MANY: Final = {"agent": 20, "postgres": 10, "valkey": 20}


@pytest.mark.parametrize("times", repeated(3, 50))
def test_postgresql_killed_at_random_moments_under_load(
    times: int, private_postgres: Any, scene_on: Callable[..., Scene], random: Random, seed: int
) -> None:
    asyncio.run(Migrator(dsn=private_postgres.address, directory=MIGRATIONS, agent_version="0").up())
    scene = scene_on(private_postgres.address)
    agent = scene.agent(batch_size=50)
    agent.start()
    with load_on(scene.oracle, agent, seed=seed) as load:
        for _ in range(times):
            load.goes_on(random.randint(1, 30))
            A_MOMENT.wait(random.uniform(0, 0.05))
            private_postgres.kill()
            load.goes_on(random.randint(1, 30))
            private_postgres.start()
            if random.random() < 0.7:
                wait_until(lambda: _written_to(agent), within=60, what="PostgreSQL written to again")
            scene.done["kill -9 of PostgreSQL"] += 1
    scene.end_well(agent)


@pytest.mark.parametrize("deaths", repeated(FEW, MANY))
def test_the_daemon_and_its_engines_killed_in_any_order_under_load(
    deaths: dict[str, int], private_engines: Any, scene_on: Callable[..., Scene], random: Random, seed: int
) -> None:
    scene = scene_on(private_engines.postgres.address, begin=SystemClock().wall())
    agent = DaemonAgent(scene, REDIS_URL=private_engines.valkey.address, USAGE_BATCH_SIZE="50")
    victims = {"agent": agent, "postgres": private_engines.postgres, "valkey": private_engines.valkey}
    order = [name for name, times in deaths.items() for _ in range(times)]
    random.shuffle(order)
    agent.start()
    with load_on(scene.oracle, agent, seed=seed) as load:
        for name in order:
            _strike(victims[name], load, random)
            scene.done[f"kill -9 of {name}"] += 1
    scene.end_well(agent)


def _written_to(agent: LeanAgent) -> bool:
    """What is acknowledged now will be in the database as soon as this is empty once."""
    return agent.ask("backlog")["spooled"] == 0


def _strike(victim: Any, load: Load, random: Random) -> None:
    load.goes_on(random.randint(1, 30))
    A_MOMENT.wait(random.uniform(0, 0.1))
    victim.kill()
    A_MOMENT.wait(random.uniform(0, 0.1))
    victim.start()
