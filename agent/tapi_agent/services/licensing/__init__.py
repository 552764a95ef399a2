"""Licensing: asks the authority, keeps its word in the tiers, derives every camera's state and announces the edges.

``service`` is the whole as others see it, ``loops`` what it does by itself. ``refresh`` asks, paced by ``schedule``, by
one ``report`` or camera by camera; ``answers`` judges a reply, ``hearing`` puts it into effect, ``contacts`` knows
whether anyone answers. ``leases`` says what a lease is worth here; ``requests`` and ``imports`` do without a network.
``store`` keeps evidence, one ``shelf`` a tier, and ``verification`` proves each stored text. ``registry`` keeps the
list of cameras, ``verdicts`` derives the states, ``questions`` explains and foretells them; ``edges`` tells of changes,
``neighbors`` other agents of the tenant, ``reminder`` once a day of cameras in grace.
"""

from __future__ import annotations

from tapi_agent.services.licensing.imports import ImportedLease, ImportReport
from tapi_agent.services.licensing.leases import Leases
from tapi_agent.services.licensing.neighbors import Neighbors
from tapi_agent.services.licensing.requests import LicenseRequest
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
    "ImportReport",
    "ImportedLease",
    "Leases",
    "LicensePolicy",
    "LicenseRequest",
    "LicenseView",
    "Licensing",
    "Neighbors",
    "RefreshRound",
    "Surroundings",
]
