"""Every failpoint and a kill: an agent that provably died there is started again, and nothing is lost or doubled."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.torture.proxy import proxied
from tests.torture.stories import refuse_poisoned, story_of

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.failpoints import Failpoint
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.scene import Scene


@pytest.mark.parametrize("point", Failpoint)
def test_a_kill_at_any_failpoint_loses_and_doubles_nothing(
    point: Failpoint, scene_on: Callable[..., Scene], database_dsn: str
) -> None:
    story = story_of(point)
    scene = scene_on(database_dsn, begin=START if story.settings is None else SystemClock().wall())
    with proxied(scene.service.url, refuse_poisoned) as proxy:
        agent = story.agent(scene, proxy.url)
        story.before(scene, agent)
        agent.start(traps=f"{point}=kill", **story.settings or {})
        story.act(scene, agent)
        assert agent.ended(within=30) == -signal.SIGKILL, f"no story comes by {point}"
        scene.done["kill -9 at a failpoint"] += 1
        story.after(scene, agent)
        agent.start()
        scene.end_well(agent)
        agent.stop()
