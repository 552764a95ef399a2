"""Airports: planes and what serves them on the apron.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="cv_models.trolley", description="Recognizes trolleys"),
    Feature(key="cv_models.plane", description="Recognizes planes"),
    Feature(key="cv_models.gse", description="Recognizes ground support equipment"),
    Feature(key="cv_models.fuel_truck", description="Recognizes fuel trucks"),
    Feature(key="cv_models.tug", description="Recognizes tugs that push planes back"),
    Feature(key="cv_models.tractor", description="Recognizes baggage tractors"),
    Feature(key="cv_models.belt_loader", description="Recognizes belt loaders"),
]
PACK = GrowthPack(
    slug="airports",
    title="Airports",
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
