"""Cost estimates on the price list of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent import resources
from tapi_agent.services.costs import Costs
from tapi_agent.settings.pricing import price_list

if TYPE_CHECKING:
    from tapi_agent.services.entitlements import Entitlements
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.services.quotas import Quotas
    from tapi_agent.settings import Settings


def costs(settings: Settings, licensing: Licensing, entitlements: Entitlements, quotas: Quotas) -> Costs:
    """Raises ``ConfigurationError`` when the price list is of no use: better at the start than in a report."""
    return Costs(
        prices=price_list(settings.pricing_file or resources.directory("config") / "pricing.toml"),
        entitlements=entitlements,
        cameras=licensing.cameras,
        quotas=quotas.statuses,
    )
