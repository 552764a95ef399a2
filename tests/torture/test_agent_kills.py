"""Kill -9 of agents at random moments under load."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.torture.load import A_MOMENT, load_on
from tests.torture.plan import repeated

if TYPE_CHECKING:
    from random import Random

    from tests.torture.scene import Scene


@pytest.mark.parametrize("times", repeated(8, 200))
def test_an_agent_killed_at_random_moments_under_load_bills_each_event_once(
    times: int, scene: Scene, random: Random, seed: int
) -> None:
    agent = scene.agent(batch_size=50)
    with load_on(scene.oracle, agent, callers=3, seed=seed) as load:
        for _ in range(times):
            if random.random() < 0.1:
                agent.begin()
            else:
                agent.start()
                load.goes_on(random.randint(1, 20))
            A_MOMENT.wait(random.uniform(0, 0.03))
            agent.signal(signal.SIGKILL)
            assert agent.ended() == -signal.SIGKILL
            scene.done["kill -9 of the agent"] += 1
        agent.start()
        load.goes_on(10)
    scene.end_well(agent)
