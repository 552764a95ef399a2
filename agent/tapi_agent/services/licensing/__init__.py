"""Licensing: asks the authority, keeps its word in the tiers, derives every camera's state and announces the edges.

``service`` is the whole as others see it. ``refresh`` asks, paced by ``schedule``; ``contacts`` knows whether anyone
answers; ``registry`` keeps the list of cameras, ``store`` evidence in the tiers; ``verdicts`` derives the states;
``edges`` tells of changes, ``neighbors`` other agents of the tenant.
"""

from __future__ import annotations

from tapi_agent.services.licensing.leases import Leases
from tapi_agent.services.licensing.neighbors import Neighbors
from tapi_agent.services.licensing.service import Licensing
from tapi_agent.services.licensing.values import (
    DeviceLicense,
    LicensePolicy,
    LicenseView,
    RefreshRound,
    Surroundings,
)

__all__ = [
    "DeviceLicense",
    "Leases",
    "LicensePolicy",
    "LicenseView",
    "Licensing",
    "Neighbors",
    "RefreshRound",
    "Surroundings",
]
