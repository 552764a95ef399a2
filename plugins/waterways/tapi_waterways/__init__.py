"""Waterways: boats by their use, jet skis and kayaks.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.boat_commercial", description="Recognizes commercial boats"),
    Feature(key="cv_models.boat_recreational", description="Recognizes recreational boats"),
    Feature(key="cv_models.boat_fishing", description="Recognizes fishing boats"),
    Feature(key="cv_models.boat_cruise", description="Recognizes cruise ships"),
    Feature(key="cv_models.boat_tanker", description="Recognizes tankers"),
    Feature(key="cv_models.boat_cargo", description="Recognizes cargo ships"),
    Feature(key="cv_models.jetski", description="Recognizes jet skis"),
    Feature(key="cv_models.kayak", description="Recognizes kayaks"),
]
PACK = GrowthPack(
    slug="waterways",
    title="Waterways",
    scope=Scope.INDUSTRY,
    features=frozenset(feature.key for feature in FEATURES),
)


@hookimpl
def register_features() -> list[Feature]:
    """What the pack sells."""
    return FEATURES


@hookimpl
def register_packs() -> list[GrowthPack]:
    """The pack itself."""
    return [PACK]
