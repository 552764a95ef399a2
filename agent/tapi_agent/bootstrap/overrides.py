"""The service's words on single features: where they are kept, and when there are any to hear."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tapi_agent.adapters.files import FileOverrides
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.services.overrides import Overrides

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.bootstrap.core import Core
    from tapi_agent.domain.license import Standing
    from tapi_agent.ports.quotas import QuotaWords
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.settings import Settings


def overrides(
    settings: Settings, core: Core, licensing: Licensing, quotas: QuotaWords, meter_of: Callable[[str], str | None]
) -> Overrides:
    """The service, awake to everything the billing service says anew of a license."""
    tenant_id = core.subject.tenant_id
    words = Overrides(
        # An unsigned word is no word beside signed leases.
        asks=bool(tenant_id) and settings.enable_license_validation and not settings.trusted_keys,
        tenant_id=tenant_id,
        billing=core.billing,
        connectivity=core.connectivity,
        clock=core.clock,
        store=FileOverrides(settings.tapi_state_dir / "overrides.sealed", key=core.key, tenant_id=tenant_id),
        quotas=quotas,
        in_force=lambda: _in_force(licensing),
        meter_of=meter_of,
        fresh=settings.entitlement_freshness,
        entropy=os.urandom,
    )
    licensing.on_news(lambda _camera_id: words.wake())
    return words


def _in_force(licensing: Licensing) -> bool:
    """Whether the tenant or a camera holds a license that the service itself still honors."""
    return any(_is_honored(licensing.view(camera_id).standing) for camera_id in (TENANT, *licensing.cameras()))


def _is_honored(standing: Standing) -> bool:
    """Grace after the end is ours, not the service's; who is in arrears is let run on by both."""
    return standing.state in {LicenseState.VALID, LicenseState.OFFLINE} or standing.reason is Reason.PAST_DUE
