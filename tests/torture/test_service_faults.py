"""A billing service that loses replies, answers in part, is not reached, or refuses: what it has billed is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.torture.plan import CLASSIC, repeated
from tests.torture.proxy import proxied
from tests.torture.stories import POISON, refuse_poisoned

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from random import Random

    from tests.torture.scene import Scene

PORTALS = ({"action": "captive_portal"}, {"action": "captive_portal", "location": "http://portal.test/login"})
OUTCOMES = ("accepted", "rejected", "retry", "absent")


@pytest.mark.parametrize("service", [[], [CLASSIC]], ids=["deduping", "classic"])
@pytest.mark.parametrize("times", repeated(4, 100))
def test_replies_lost_after_the_commit(
    times: int, service: list[dict[str, object]], scene: Scene, random: Random
) -> None:
    agent = scene.agent(batch_size=20)
    agent.start()
    for _ in range(times):
        scene.service.admin.clear_faults()
        scene.faults(*service, {"action": "drop_reply", "times": random.randint(1, 3)})
        scene.record(agent, random.randint(1, 60))
        scene.settle(agent)
        scene.done["lost replies"] += 1
    scene.end_well(agent)


@pytest.mark.parametrize("times", repeated(4, 100))
def test_partial_results_at_random(times: int, scene: Scene, random: Random) -> None:
    agent = scene.agent(batch_size=40)
    agent.start()
    for _ in range(times):
        drawn = [random.choice(OUTCOMES) for _ in range(3)]
        scene.faults({"action": "partial", "outcomes": drawn, "seed": random.randrange(10**6), "times": 2})
        scene.record(agent, random.randint(1, 80))
        agent.ask("flush")
        scene.done["partial results"] += 1
    scene.service.admin.clear_faults()
    scene.end_well(agent)


@pytest.mark.parametrize("times", repeated(2, 30))
def test_a_captive_portal_is_no_delivery(times: int, scene: Scene, random: Random) -> None:
    agent = scene.agent(batch_size=40)
    agent.start()
    for _ in range(times):
        billed = len(scene.billed())
        scene.faults(random.choice(PORTALS))
        scene.record(agent, random.randint(1, 60))
        agent.ask("flush")
        assert len(scene.billed()) == billed
        assert agent.ask("backlog")["sealed"] > 0
        scene.service.admin.clear_faults()
        scene.settle(agent)
        scene.done["captive portals"] += 1
    scene.end_well(agent)


@pytest.mark.parametrize("times", repeated(1, 10))
def test_one_bad_event_of_a_thousand_dies_alone(times: int, scene: Scene, random: Random) -> None:
    with proxied(scene.service.url, refuse_poisoned) as proxy:
        agent = scene.agent(url=proxy.url)
        agent.start()
        for _ in range(times):
            before = random.randrange(1000)
            scene.record(agent, before)
            scene.record(agent, 1, metadata={POISON: True})
            scene.record(agent, 999 - before)
            scene.settle(agent)
            scene.done["bad events among a thousand"] += 1
        scene.end_well(agent)
        assert len(scene.evidence().dead) == times
        agent.stop()


@pytest.mark.parametrize("times", repeated(1, 10))
def test_a_service_that_refuses_everything_kills_nothing(times: int, scene: Scene) -> None:
    agent = scene.agent(batch_size=30)
    agent.start()
    for _ in range(times):
        scene.faults({"action": "status", "status": 400})
        scene.record(agent, 100)
        refusals = len(scene.refusals())
        wait_until(lambda n=refusals: agent.ask("flush") or len(scene.refusals()) > n + 10, within=60, what="refusals")
        assert agent.ask("backlog")["dead"] == 0
        scene.service.admin.clear_faults()
        scene.settle(agent)
        scene.done["times all was refused"] += 1
    scene.end_well(agent)
    assert scene.evidence().dead == []
