"""What the agents of one tenant tell each other, through the Redis they share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tapi_agent.services.licensing import Neighbors

if TYPE_CHECKING:
    from tapi_agent.bootstrap.caching import Caching
    from tapi_agent.bootstrap.core import Core, Tasks
    from tapi_agent.services.licensing import Licensing


def neighbors(core: Core, caching: Caching, licensing: Licensing) -> Tasks:
    """The tasks that talk to them."""
    invalidator = caching.invalidator
    told = Neighbors(licensing=licensing, invalidator=invalidator, connectivity=core.connectivity, entropy=os.urandom)
    return {"invalidation": invalidator.run, "neighbors": told.run}
