"""API Integration: the API without a ceiling, webhooks, custom work and support.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Scope, hookimpl

FEATURES = [
    Feature(key="outputs.unlimited_api", description="Calls the API without a ceiling"),
    Feature(key="outputs.webhooks", description="Calls webhooks of any number and kind"),
    Feature(key="outputs.custom_integrations", description="Connects to systems by custom work"),
    Feature(key="outputs.priority_support", description="Is answered by support before others"),
]
PACK = GrowthPack(
    slug="api_integration",
    title="API Integration",
    scope=Scope.TENANT,
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
