from __future__ import annotations

import pytest
from tests.unit.quotas.site import Agent, Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def box(site: Site) -> Agent:
    """An agent that has looked at its quotas once."""
    agent = site.agent()
    await agent.quotas.look()
    return agent
