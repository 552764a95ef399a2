"""What an admin can order: one body, one change to the ledger. ``admin_api`` serves each at POST /admin/NAME."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field
from typing_extensions import override

from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.sandbox import features, keys, subscriptions, terms, times
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF, Subscription
from tapi_agent.sandbox.terms import LeaseTerms
from tapi_agent.sandbox.wire import Body, Count, Text

if TYPE_CHECKING:
    import sqlite3


def _time_as_written(text: str) -> str:
    """Checked, and kept to the letter: clients must cope with any offset and up to nine decimals."""
    times.parse(text)
    return text


Feature = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+\z")]
Mode = Annotated[LicenseMode, Field(strict=False)]
Status = Annotated[LicenseStatus, Field(strict=False)]


class AddTenant(Body):
    """A tenant, or another API key of one."""

    tenant_id: Text
    api_key: Text

    def carry_out(self, db: sqlite3.Connection) -> None:
        """Within a transaction of the ledger."""
        subscriptions.add_tenant(db, self.tenant_id, self.api_key)


class TenantOrder(Body):
    """An order for a tenant there is."""

    tenant_id: Text

    def carry_out(self, db: sqlite3.Connection) -> None:
        """Within a transaction of the ledger. ``RejectedError`` ``not_found`` for an unknown tenant."""
        if not subscriptions.tenant_exists(db, self.tenant_id):
            raise RejectedError(f"there is no tenant {self.tenant_id!r}", code="not_found")


class Subscribe(TenantOrder):
    """A subscription in place of what the camera, or with ``camera_id`` "" the tenant, had."""

    camera_id: str = TENANT_ITSELF
    mode: Mode
    status: Status = LicenseStatus.ACTIVE
    valid_until: Annotated[str, AfterValidator(_time_as_written)] | None = None
    cameras_allowed: Count | None = None
    packs: list[Text] = Field(default_factory=list)

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        super().carry_out(db)
        sold = Subscription(
            mode=self.mode,
            status=self.status,
            valid_until=self.valid_until,
            cameras_allowed=self.cameras_allowed,
            packs=tuple(self.packs),
        )
        subscriptions.subscribe(db, self.tenant_id, self.camera_id, sold)


class _Amend(TenantOrder):
    """A change to a subscription there is."""

    camera_id: str = TENANT_ITSELF

    def held(self, db: sqlite3.Connection) -> Subscription:
        """What is to be changed. ``RejectedError`` ``not_found`` when nothing was sold."""
        super().carry_out(db)
        sold = subscriptions.subscription(db, self.tenant_id, self.camera_id)
        if sold is None:
            raise RejectedError(f"no subscription for {self.camera_id or self.tenant_id!r}", code="not_found")
        return sold


class SetStatus(_Amend):
    """Suspend, revoke, let run into arrears, or make active again."""

    status: Status

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        amended = replace(self.held(db), status=self.status)
        subscriptions.subscribe(db, self.tenant_id, self.camera_id, amended)


class SetPacks(_Amend):
    """Add and remove growth packs."""

    enable: list[Text] = Field(default_factory=list)
    disable: list[Text] = Field(default_factory=list)

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        held = self.held(db)
        packs = dict.fromkeys((*held.packs, *self.enable))
        kept = tuple(pack for pack in packs if pack not in self.disable)
        subscriptions.subscribe(db, self.tenant_id, self.camera_id, replace(held, packs=kept))


class RemoveCamera(TenantOrder):
    """Forget a camera and free its place."""

    camera_id: Text

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        super().carry_out(db)
        subscriptions.remove_camera(db, self.tenant_id, self.camera_id)


class SetQuota(TenantOrder):
    """How much of a meter a feature may use in a month; -1 unlimited, 0 none."""

    feature: Feature
    meter: Text
    monthly_limit: Annotated[int, Field(ge=features.UNLIMITED, le=2**63 - 1)]

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        super().carry_out(db)
        features.set_quota(db, self.tenant_id, self.feature, self.meter, self.monthly_limit)


class SetFeature(TenantOrder):
    """Overrule the packs on one feature; null lets them decide again."""

    feature: Feature
    is_enabled: bool | None

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        super().carry_out(db)
        features.overrule(db, self.tenant_id, self.feature, is_enabled=self.is_enabled)


class SetLeases(TenantOrder, LeaseTerms):
    """Whether validate requests are answered with leases, and on what terms."""

    signed: bool

    @override
    def carry_out(self, db: sqlite3.Connection) -> None:
        super().carry_out(db)
        if self.signed:
            terms.agree(db, self.tenant_id, LeaseTerms.model_validate(self.model_dump(exclude_unset=True)))
        else:
            terms.withdraw(db, self.tenant_id)


class RotateKey(Body):
    """A fresh key, which signs from now on."""

    def carry_out(self, db: sqlite3.Connection) -> None:
        """Within a transaction of the ledger."""
        keys.rotate(db)


ORDERS: Final[dict[str, type[AddTenant | TenantOrder | RotateKey]]] = {
    "tenants": AddTenant,
    "subscriptions": Subscribe,
    "status": SetStatus,
    "packs": SetPacks,
    "remove-camera": RemoveCamera,
    "quotas": SetQuota,
    "features": SetFeature,
    "leases": SetLeases,
    "rotate-key": RotateKey,
}
