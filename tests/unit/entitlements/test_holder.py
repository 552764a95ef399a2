"""What evidence amounts to, and what several cameras hold together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.features import Tier
from tapi_agent.domain.holder import NEVER, Holder, common, holder_of, mode_rank
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Evidence, Flag, LicenseMode, LicenseState, Reason, Standing, Subject, Transition

if TYPE_CHECKING:
    from tapi_agent.domain.catalog import Catalog

AT = datetime(2026, 1, 10, tzinfo=UTC)
VALID = Standing(state=LicenseState.VALID, reason=Reason.OK)
OFFLINE = Standing(state=LicenseState.OFFLINE, reason=Reason.AUTHORITY_UNREACHABLE)
ENDED = Standing(state=LicenseState.EXPIRED, reason=Reason.LICENSE_EXPIRED)
TIERS = {LicenseMode.TRIAL: Tier.BASIC, LicenseMode.BASE: Tier.STANDARD, LicenseMode.ENTERPRISE: Tier.PROFESSIONAL}


def held(catalog: Catalog, mode: LicenseMode, *packs: str, standing: Standing = VALID) -> Holder:
    subject = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam"))
    evidence = Evidence(subject=subject, mode=mode, packs=packs, verified_at=AT)
    return holder_of(evidence, standing, source="redis", catalog=catalog, tiers=TIERS)


@pytest.mark.parametrize(
    ("mode", "tier", "packs"),
    [
        (LicenseMode.TRIAL, Tier.BASIC, {"base", "integration"}),
        (LicenseMode.BASE, Tier.STANDARD, {"base", "integration"}),
        (LicenseMode.ENTERPRISE, Tier.PROFESSIONAL, {"base", "integration"}),
        (LicenseMode.EXPIRED, Tier.STANDARD, {"base", "integration"}),
        (LicenseMode.UNLICENSED, None, {"integration"}),
    ],
)
def test_a_mode_brings_the_base_pack_and_a_tier(
    catalog: Catalog, mode: LicenseMode, tier: Tier | None, packs: set[str]
) -> None:
    holder = held(catalog, mode, "Integration", "no such pack")
    assert (holder.tier, holder.packs) == (tier, packs)
    assert (holder.freshness.verified_at, holder.freshness.tier, holder.freshness.stale) == (AT, "redis", False)


def test_a_holding_is_good_until_the_next_transition(catalog: Catalog) -> None:
    following = Transition(at=AT, to=LicenseState.GRACE, reason=Reason.LICENSE_LAPSED)
    standing = replace(VALID, next_transition=following)
    assert held(catalog, LicenseMode.BASE, standing=standing).until == AT
    assert held(catalog, LicenseMode.BASE).until == NEVER
    assert holder_of(None, standing, catalog=catalog, tiers=TIERS).until == AT


def test_one_stands_for_itself(catalog: Catalog) -> None:
    alone = held(catalog, LicenseMode.TRIAL, "integration", standing=OFFLINE)
    assert common([alone], catalog) == alone
    assert not Holder().in_force


def test_together_they_stand_as_the_worst_and_hold_what_the_least_holds(catalog: Catalog) -> None:
    trial = held(catalog, LicenseMode.TRIAL, "advanced_analytics")
    base = replace(
        held(catalog, LicenseMode.BASE, "advanced_analytics", standing=OFFLINE), until=AT + timedelta(hours=1)
    )
    enterprise = replace(held(catalog, LicenseMode.ENTERPRISE, "active_transport"), until=AT)
    together = common([enterprise, trial, base], catalog)
    assert (together.mode, together.tier, together.packs) == (LicenseMode.TRIAL, Tier.BASIC, {"base"})
    assert (together.standing, together.until) == (OFFLINE, AT)
    assert together.freshness.stale


def test_only_what_was_sold_to_the_tenant_is_shared_and_only_while_it_lasts(catalog: Catalog) -> None:
    camera = held(catalog, LicenseMode.BASE)
    tenant = replace(held(catalog, LicenseMode.BASE, "intelligence", "active_transport", "integration"), until=AT)
    assert camera.sharing(tenant, catalog).packs == {"base", "intelligence", "integration"}
    assert camera.sharing(tenant, catalog).until == AT
    assert camera.sharing(replace(tenant, standing=ENDED), catalog) is camera
    assert camera.sharing(held(catalog, LicenseMode.BASE, "active_transport"), catalog) is camera


def test_modes_have_an_order() -> None:
    assert [mode_rank(mode) for mode in (LicenseMode.TRIAL, LicenseMode.BASE, LicenseMode.ENTERPRISE)] == [0, 1, 2]
    assert {mode_rank(mode) for mode in (None, LicenseMode.UNLICENSED, LicenseMode.EXPIRED)} == {-1}


def test_without_time_those_who_hold_the_same_are_equal(catalog: Catalog) -> None:
    following = Transition(at=AT + timedelta(hours=1), to=LicenseState.OFFLINE, reason=Reason.AUTHORITY_UNREACHABLE)
    early = held(catalog, LicenseMode.BASE, standing=replace(VALID, next_transition=following))
    late = held(catalog, LicenseMode.BASE)
    assert early != late
    assert early.timeless() == late.timeless()
    assert {early.timeless(), held(catalog, LicenseMode.BASE, "retail").timeless()} == {late.timeless()}


@pytest.mark.parametrize(
    "other",
    [
        {"mode": LicenseMode.TRIAL},
        {"tier": None},
        {"packs": frozenset({"base"})},
        {"known": False},
        {"standing": OFFLINE},
        {"standing": replace(VALID, flags=frozenset({Flag.BYPASSED}))},
    ],
    ids=" ".join,
)
def test_without_time_those_who_hold_anything_else_still_differ(catalog: Catalog, other: dict[str, object]) -> None:
    one = held(catalog, LicenseMode.BASE, "integration")
    assert replace(one, **other).timeless() != one.timeless()
