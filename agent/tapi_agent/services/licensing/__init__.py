"""Licensing: asks the authority, keeps its word in the tiers, derives every camera's state and announces the edges.

``service`` is the whole as others see it. ``refresh`` asks, paced by ``schedule``; ``contacts`` knows whether anyone
answers; ``store`` keeps evidence in the tiers; ``verdicts`` derives the states; ``edges`` tells of changes.
"""

from __future__ import annotations

from tapi_agent.services.licensing.service import Licensing
from tapi_agent.services.licensing.values import (
    DeviceLicense,
    LicensePolicy,
    LicenseView,
    RefreshRound,
    Surroundings,
)

__all__ = ["DeviceLicense", "LicensePolicy", "LicenseView", "Licensing", "RefreshRound", "Surroundings"]
