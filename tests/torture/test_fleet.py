"""Three agents of three devices share one database: killed, and stopped for longer than their leases hold."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from tests.torture.load import A_MOMENT, load_on
from tests.torture.plan import CLASSIC, repeated

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from random import Random

    from tests.torture.process import LeanAgent
    from tests.torture.scene import Scene

LEASE: Final = timedelta(milliseconds=500)
LEASED: Final = "SELECT 1 FROM usage_batches WHERE lease_owner = '{}' AND lease_until > clock_timestamp()"


def lease_is_over(scene: Scene, agent: LeanAgent) -> None:
    """Wait until whatever the agent had leased may be taken over."""
    leased = LEASED.format(agent.order.device)
    wait_until(lambda: not scene.query(leased), within=60, what="the end of a lease")


@pytest.mark.parametrize("times", repeated(6, 100))
def test_three_agents_killed_and_stopped_at_random_bill_each_event_once(
    times: int, scene: Scene, random: Random, seed: int
) -> None:
    fleet = [scene.agent(f"box-{number}", batch_size=30, lease=LEASE) for number in range(1, 4)]
    for agent in fleet:
        agent.start()
    with load_on(scene.oracle, *fleet, callers=1, seed=seed) as load:
        for _ in range(times):
            load.goes_on(random.randint(1, 20))
            agent = random.choice(fleet)
            if random.random() < 0.5:
                agent.kill()
                agent.start()
                scene.done["kill -9 of one of three"] += 1
            else:
                agent.signal(signal.SIGSTOP)
                lease_is_over(scene, agent)
                A_MOMENT.wait(random.uniform(0, 0.2))
                agent.signal(signal.SIGCONT)
                scene.done["one of three stopped past its lease"] += 1
    scene.end_well(fleet[0])


@pytest.mark.parametrize(
    ("place", "service"),
    [
        pytest.param("send.begun", [], id="before it sends"),
        pytest.param("send.answered", [], id="before it settles"),
        pytest.param("send.begun", [CLASSIC], id="before it sends, classic"),
        pytest.param("send.answered", [CLASSIC], id="before it settles, classic"),
    ],
)
def test_a_zombie_whose_batch_was_taken_over_bills_nothing_twice(
    place: str, service: list[dict[str, object]], scene: Scene
) -> None:
    scene.service.admin.faults(*service)
    first, second = scene.agent("box-1", lease=LEASE), scene.agent("box-2", lease=LEASE)
    first.start(traps=f"{place}=stop")
    with ThreadPoolExecutor(1) as caller:
        recorded = caller.submit(scene.record, first, 25)  # it may stop before it has answered
        wait_until(lambda: _state(first) == "T", within=30, what="the zombie stopped")
        second.start()
        lease_is_over(scene, first)
        scene.settle(second)
        first.signal(signal.SIGCONT)
        assert recorded.result()
    scene.done["zombies"] += 1
    scene.end_well(first)


def _state(agent: LeanAgent) -> str:
    """Of its process, in the letter of the kernel."""
    return agent.stat().rpartition(")")[2].split()[0]
