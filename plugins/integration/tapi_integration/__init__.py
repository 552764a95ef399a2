"""Integration: text messages, export to the cloud, and connections to video management systems.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point. All of it
repeats the agent's own catalog exactly.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Meter, Scope, hookimpl

FEATURES = [
    Feature(key="outputs.sms", meter="sms_sent", description="Sends text messages"),
    Feature(key="outputs.cloud_export", meter="cloud_export_gb", description="Exports to the cloud"),
    Feature(key="outputs.vms_connectors", description="Connects to video management systems"),
]
PACK = GrowthPack(
    slug="integration",
    title="Integration",
    scope=Scope.TENANT,
    features=frozenset(feature.key for feature in FEATURES),
)
METERS = [
    Meter(key="sms_sent", unit="count", switch="TRACK_SMS", description="text messages sent"),
    Meter(key="cloud_export_gb", unit="gb", switch="TRACK_CLOUD_EXPORT", description="gigabytes exported to the cloud"),
]


@hookimpl
def register_features() -> list[Feature]:
    """What the pack sells."""
    return FEATURES


@hookimpl
def register_packs() -> list[GrowthPack]:
    """The pack itself."""
    return [PACK]


@hookimpl
def register_meters() -> list[Meter]:
    """What its features consume."""
    return METERS
