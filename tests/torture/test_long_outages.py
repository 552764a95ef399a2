"""Weeks without the billing service, in compressed time, and months that end in the middle of a batch."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from tests.torture.oracle import STEP
from tests.torture.plan import repeated

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from tests.torture.scene import Scene

DAY: Final = timedelta(days=1)
BATCH: Final = 40


def next_month(at: datetime) -> datetime:
    """When the month after that of ``at`` begins."""
    return (at.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + 32 * DAY).replace(day=1)


@pytest.mark.parametrize("times", repeated(1, 20))
def test_a_week_without_the_service_and_then_a_month_that_ends_in_a_batch(
    times: int, scene: Scene, random: Random
) -> None:
    agent = scene.agent()
    agent.start()
    for _ in range(times):
        scene.faults(random.choice([{"action": "refuse"}, {"action": "status", "status": 503}]))
        for _ in range(7):
            scene.advance(DAY)
            scene.record(agent, random.randint(1, 60))
            if random.random() < 0.3:
                agent.kill()
                agent.start()
                scene.done["kill -9 of the agent"] += 1
            agent.ask("flush")
        scene.service.admin.clear_faults()
        scene.advance(next_month(scene.oracle.now) - scene.oracle.now - BATCH / 2 * STEP)
        scene.record(agent, BATCH)
        scene.settle()
        scene.done["weeks without the service"] += 1
    months = scene.query(
        "SELECT batch_id FROM usage_events GROUP BY 1 HAVING count(DISTINCT date_trunc('month', recorded_at)) > 1"
    )
    assert len(months) >= times
    scene.end_well(agent)
