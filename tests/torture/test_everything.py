"""Everything at once: a seeded plan of faults on two agents, their database and their service, under load."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.conftest import MIGRATIONS
from tests.torture.load import A_MOMENT, load_on
from tests.torture.plan import repeated

from tapi_agent.adapters.postgres.migrator import Migrator

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.torture.process import LeanAgent
    from tests.torture.scene import Scene

pytestmark = pytest.mark.slow

SERVICE: Final[dict[str, dict[str, object]]] = {
    "replies lost": {"action": "drop_reply", "times": 2},
    "connections cut": {"action": "refuse", "times": 3},
    "503": {"action": "status", "status": 503, "retry_after": 0, "times": 2},
    "500": {"action": "status", "status": 500, "times": 2},
    "401": {"action": "status", "status": 401, "times": 1},
    "400": {"action": "status", "status": 400, "times": 2},
    "413": {"action": "status", "status": 413, "times": 1},
    "429": {"action": "status", "status": 429, "retry_after": 0, "times": 2},
    "captive portals": {"action": "captive_portal", "times": 2},
    "garbage": {"action": "garbage", "times": 2},
    "storage failures": {"action": "storage_failure", "times": 2},
    "partial results": {"action": "partial", "outcomes": ["accepted", "retry", "absent"], "times": 2},
    "slow answers": {"action": "delay", "ms": 300, "times": 2},
}
_FAULTS: Final = 25
MACHINE: Final = ("kill -9 of an agent", "an agent stopped and woken", "kill -9 of PostgreSQL")


@pytest.mark.parametrize("rounds", repeated(1, 25))
def test_a_plan_of_faults_of_every_kind_under_load(
    rounds: int, private_postgres: Any, scene_on: Callable[..., Scene], random: Random, seed: int
) -> None:
    asyncio.run(Migrator(dsn=private_postgres.address, directory=MIGRATIONS, agent_version="0").up())
    scene = scene_on(private_postgres.address)
    agents = [scene.agent(f"box-{number}", batch_size=40) for number in (1, 2)]
    for agent in agents:
        agent.start()
    for number in range(rounds):
        with load_on(scene.oracle, *agents, callers=1, seed=seed + number) as load:
            for _ in range(_FAULTS):
                load.goes_on(random.randint(1, 10))
                fault = random.choice([*SERVICE, *MACHINE])
                scene.done[fault] += 1
                if fault in SERVICE:
                    scene.faults(SERVICE[fault])
                else:
                    _strike(fault, random.choice(agents), private_postgres, random)
        scene.service.admin.clear_faults()
        scene.settle()
    scene.end_well(agents[0])


def _strike(fault: str, agent: LeanAgent, postgres: Any, random: Random) -> None:
    match fault:
        case "kill -9 of an agent":
            agent.kill()
            agent.start()
        case "an agent stopped and woken":
            agent.signal(signal.SIGSTOP)
            A_MOMENT.wait(random.uniform(0, 0.3))
            agent.signal(signal.SIGCONT)
        case _:
            postgres.kill()
            A_MOMENT.wait(random.uniform(0, 0.3))
            postgres.start()
