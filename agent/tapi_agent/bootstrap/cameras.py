"""The cameras of the site, on top of stores and licensing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.postgres.cameras import PostgresCameras
from tapi_agent.services.camera_cache import CachedCameras
from tapi_agent.services.cameras import Cameras

if TYPE_CHECKING:
    from tapi_agent.bootstrap.caching import Caching
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.services.licensing import Licensing


def cameras(core: Core, stores: Stores, caching: Caching, licensing: Licensing) -> Cameras:
    """The cameras of this tenant; those of this device may be changed."""
    owner = core.subject
    database = PostgresCameras(database=stores.database, device_id=owner.device_id, tenant_id=owner.tenant_id)
    store = CachedCameras(database, around=caching.around, invalidator=caching.invalidator)
    return Cameras(store=store, licensing=licensing, clock=core.clock, tenant=owner)
