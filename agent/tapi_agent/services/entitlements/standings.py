"""Who holds what at this moment: a camera, the tenant, or a camera that nobody has registered.

Looks licenses up and judges those that licensing is late with; what follows from a holder is the table's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.holder import Holder, common, holder_of
from tapi_agent.domain.ids import TENANT
from tapi_agent.domain.license import Contact, LicenseState, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tapi_agent.domain.features import Tier
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import LicenseMode, Standing
    from tapi_agent.ports.entitlements import HeldLicense, Licenses
    from tapi_agent.services.entitlements.table import Table


class Standings:
    """The holders of this device; ``tiers`` says which components a mode brings."""

    def __init__(self, *, licensing: Licenses, tiers: Mapping[LicenseMode, Tier]) -> None:
        self._licensing = licensing
        self._tiers = tiers

    def holder(self, camera_id: CameraId, table: Table, now: datetime) -> Holder:
        """What a camera, or the tenant, holds at ``now``."""
        tenant = self._held(TENANT, table, now)
        if camera_id in table.cameras:
            return self._held(camera_id, table, now).sharing(tenant, table.rules.catalog)
        if camera_id == TENANT:
            return tenant if tenant.in_force or tenant.mode else self._for_all(tenant, table, now)
        return tenant if self._takes_strangers(tenant) else Holder(known=False)

    def _held(self, camera_id: CameraId, table: Table, now: datetime) -> Holder:
        view = self._licensing.view(camera_id)
        standing = self._current(view, table, now)
        return holder_of(view.evidence, standing, source=view.tier, catalog=table.rules.catalog, tiers=self._tiers)

    def _current(self, view: HeldLicense, table: Table, now: datetime) -> Standing:
        """The standing now. When licensing is late with a transition (sleep, a busy loop), silence is assumed."""
        following = view.standing.next_transition
        if view.evidence is None or following is None or now < following.at:
            return view.standing
        table.until = min(table.until, now)  # licensing may find the same state as before, and would announce nothing
        return evaluate(view.evidence, now=now, contact=Contact(lost=True))

    def _for_all(self, tenant: Holder, table: Table, now: datetime) -> Holder:
        """What stands for the tenant while no word on itself is known: every camera that is not one too many."""
        held = [self._held(camera_id, table, now) for camera_id in table.cameras]
        licensed = [one for one in held if one.standing.reason is not Reason.CAMERA_LIMIT]
        return common(licensed or [tenant], table.rules.catalog)

    def _takes_strangers(self, tenant: Holder) -> bool:
        """Whether the tenant's license covers a camera that nobody has registered: only if it sets no limit."""
        word = self._licensing.view(TENANT).evidence
        unlimited = word is None or word.cameras_allowed is None
        return unlimited and tenant.standing.state in {LicenseState.VALID, LicenseState.OFFLINE}
