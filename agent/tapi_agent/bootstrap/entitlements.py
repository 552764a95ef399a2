"""Who may use what: the table of decisions, with the quotas and the service's words that it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.bootstrap.overrides import overrides
from tapi_agent.bootstrap.quotas import quotas
from tapi_agent.domain.ids import TENANT
from tapi_agent.services.entitlements import Entitlements

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.domain.holder import Holder
    from tapi_agent.plugin.contribution import Declarations
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.services.overrides import Overrides
    from tapi_agent.services.quotas import Quotas
    from tapi_agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """The three that know each other: quotas limit what the words and the licenses allow."""

    entitlements: Entitlements
    quotas: Quotas
    overrides: Overrides

    def adopt(self, declarations: Declarations) -> None:
        """Go on with what plugins declare by now."""
        self.quotas.apply(declarations.quotas, declarations.meters)
        self.entitlements.adopt(declarations.catalog)


def deciding(
    settings: Settings, core: Core, stores: Stores, metered: Usage, licensing: Licensing, declarations: Declarations
) -> Deciding:
    """All three, for what the plugins declare."""
    entitlements: Entitlements

    def tenant() -> Holder:
        return entitlements.holder(TENANT)

    def meter_of(feature: str) -> str | None:
        return entitlements.meter_of(feature)

    limits = quotas(core, stores, metered, holder=tenant)
    words = overrides(settings, core, licensing, limits, meter_of=meter_of)
    entitlements = Entitlements(
        catalog=declarations.catalog,
        licensing=licensing,
        words=words,
        quotas=limits,
        clock=core.clock,
        monotonic=core.machine.monotonic,
        tiers=settings.mode_tiers,
    )
    words.on_change(entitlements.start_over)
    limits.apply(declarations.quotas, declarations.meters)
    return Deciding(entitlements=entitlements, quotas=limits, overrides=words)
