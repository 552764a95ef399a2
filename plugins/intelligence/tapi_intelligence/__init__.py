"""Intelligence: language models that answer, connect and report, and the tokens that come with its seats.

Declares what can be bought; who holds it is decided by the license. The agent finds it by its entry point. The pack,
its features and its meter repeat the agent's own catalog exactly; the quota is what this plugin adds.
"""

from __future__ import annotations

from tapi_agent.plugin import Feature, GrowthPack, Meter, QuotaRule, Scope, hookimpl

FEATURES = [
    Feature(key="llm.analyst_seat_full", meter="llm_tokens", description="Asks an analyst about what cameras saw"),
    Feature(key="llm.premium_connectors", meter="llm_tokens", description="Lets the analyst ask other systems"),
    Feature(key="llm.automated_reports", meter="llm_tokens", description="Writes reports by itself"),
]
PACK = GrowthPack(
    slug="intelligence",
    title="Intelligence",
    scope=Scope.TENANT,
    features=frozenset(feature.key for feature in FEATURES),
)
TOKENS = Meter(key="llm_tokens", unit="tokens", switch="TRACK_LLM_TOKENS", description="tokens used by language models")
SEATS = 5
"""In the pack's price. Further seats, and their tokens, are the billing service's word."""
TOKENS_PER_SEAT = 250_000


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
    return [TOKENS]


@hookimpl
def register_quotas() -> list[QuotaRule]:
    """Tokens for a month, on top of what every tenant has."""
    return [QuotaRule(meter=TOKENS.key, limit=SEATS * TOKENS_PER_SEAT, pack=PACK.slug)]
