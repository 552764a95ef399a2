"""Emergency Vehicles: who must be let through.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.police", description="Recognizes police vehicles"),
    Feature(key="cv_models.ambulance", description="Recognizes ambulances"),
    Feature(key="cv_models.fire_fighter", description="Recognizes vehicles of fire fighters"),
]
PACK = GrowthPack(
    slug="emergency_vehicles",
    title="Emergency Vehicles",
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
