"""What all caches of an agent share: the store behind them, and the one who hears what other agents have changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.services.caching import Invalidator, Surroundings

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """What every cache is given; the daemon runs ``invalidator``."""

    around: Surroundings
    invalidator: Invalidator


def caching(core: Core, stores: Stores) -> Caching:
    """The caching of this agent."""
    around = Surroundings(store=stores.cache, tenant_id=core.subject.tenant_id, clock=core.machine, entropy=os.urandom)
    return Caching(around=around, invalidator=Invalidator(around))
