"""The two rules that are not in the license: the service's word on a feature, and a quota that is used up."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.decision import Decision, QuotaFigures
from tapi_agent.domain.decision import DecisionReason as R
from tapi_agent.domain.entitlement import Rulebook, decide, metered
from tapi_agent.domain.features import Tier
from tapi_agent.domain.holder import Holder
from tapi_agent.domain.license import Flag, LicenseMode, LicenseState, Reason, Standing
from tapi_agent.domain.quota import Period

if TYPE_CHECKING:
    from tapi_agent.domain.catalog import Catalog

END = datetime(2026, 4, 1, tzinfo=UTC)
HEATMAP, NEAR_MISS, REPORTS = "analytics.heatmap", "analytics.near_miss", "llm.automated_reports"
MASK, BIKE, MQTT = "analytics.privacy_mask", "cv_models.bike", "sink.mqtt"


def holder(*packs: str, state: LicenseState = LicenseState.VALID, **facts: object) -> Holder:
    standing = Standing(state=state, reason=Reason.OK if state is LicenseState.VALID else Reason.REVOKED)
    who = {"standing": standing, "mode": LicenseMode.BASE, "tier": Tier.PROFESSIONAL} | facts
    return Holder(packs=frozenset({"base", *packs}), **who)  # type: ignore[arg-type]


def quota(limit: int, used: int, *, soft: bool = False) -> QuotaFigures:
    left = Decimal(-1 if limit < 0 else max(0, limit - used))
    return QuotaFigures(
        limit=Decimal(limit), used=Decimal(used), remaining=left, resets_at=END, soft=soft, period=Period.MONTH
    )


@pytest.mark.parametrize(
    ("key", "word", "who", "reason"),
    [
        (HEATMAP, False, holder(), R.NOT_ENTITLED),
        (HEATMAP, True, holder(), R.LICENSED),
        (MQTT, False, holder(), R.NOT_ENTITLED),
        (MASK, False, holder(), R.LICENSED),
        (NEAR_MISS, False, holder("advanced_analytics"), R.NOT_ENTITLED),
        (NEAR_MISS, False, holder(), R.PACK_REQUIRED),
        (NEAR_MISS, True, holder(), R.PACK_REQUIRED),
        (BIKE, True, holder(), R.PACK_REQUIRED),
        (REPORTS, True, holder(), R.LICENSED),
        (REPORTS, True, holder(mode=LicenseMode.TRIAL), R.TRIAL),
        (REPORTS, False, holder("intelligence"), R.NOT_ENTITLED),
        (REPORTS, True, holder(state=LicenseState.EXPIRED), R.EXPIRED),
        (MQTT, True, holder(tier=Tier.BASIC), R.TIER_TOO_LOW),
        ("no.such", True, holder(), R.FEATURE_UNKNOWN),
    ],
    ids=[
        "denies what base has", "grants nothing new", "denies a component", "never the privacy mask",
        "denies a camera's own pack", "a missing pack is the better reason", "a camera's pack is no tenant's",
        "nor is an industry's", "grants what is sold to the tenant", "on trial too", "denies the tenant's pack",
        "not beyond the license", "not beyond the tier", "not what nobody knows",
    ],
)  # fmt: skip
def test_the_services_word_on_a_feature(catalog: Catalog, key: str, who: Holder, reason: R, *, word: bool) -> None:
    decision = decide(key, Rulebook(catalog=catalog, overrides={key: word}), who)
    assert (decision.reason, decision.allowed) == (reason, reason.allows)
    assert bool(decision.fix) is not decision.allowed


def test_a_grant_names_the_pack_that_it_stands_for(catalog: Catalog) -> None:
    rules = Rulebook(catalog=catalog, overrides={REPORTS: True})
    assert decide(REPORTS, rules, holder()).source_pack == "intelligence"


def test_a_word_on_one_feature_says_nothing_of_another(catalog: Catalog) -> None:
    rules, plain = Rulebook(catalog=catalog, overrides={HEATMAP: False, REPORTS: True}), Rulebook(catalog=catalog)
    others = catalog.features.keys() - {HEATMAP, REPORTS}
    assert [decide(key, rules, holder()) for key in others] == [decide(key, plain, holder()) for key in others]


@pytest.fixture
def allowed(catalog: Catalog) -> Decision:
    return decide(REPORTS, Rulebook(catalog=catalog), holder("intelligence"))


@pytest.mark.parametrize(
    ("figures", "reason", "says"),
    [
        (None, R.LICENSED, None),
        (quota(100, 99), R.LICENSED, None),
        (quota(-1, 10**9), R.LICENSED, None),
        (quota(100, 100), R.QUOTA_EXCEEDED, "wait until 2026-04-01T00:00:00Z"),
        (quota(100, 130), R.QUOTA_EXCEEDED, "wait until 2026-04-01T00:00:00Z"),
        (quota(0, 0), R.QUOTA_EXCEEDED, "the quota is 0"),
        (quota(100, 100, soft=True), R.LICENSED, "billed as overage"),
        (quota(100, 99, soft=True), R.LICENSED, None),
    ],
    ids=["none", "some left", "unlimited", "used up", "overdrawn", "disabled", "soft", "soft, some left"],
)
def test_a_quota(allowed: Decision, figures: QuotaFigures | None, reason: R, says: str | None) -> None:
    decision = metered(allowed, figures)
    assert allowed.meter == "llm_tokens"
    assert (decision.reason, decision.allowed, decision.quota) == (reason, reason.allows, figures)
    told = decision.warning if decision.allowed else decision.fix
    assert (says in told) if says and told else (told is None and says is None)
    assert (decision.source_pack is None) is not decision.allowed


def test_a_quota_gives_no_permission(catalog: Catalog) -> None:
    denied = decide(REPORTS, Rulebook(catalog=catalog), holder())
    assert metered(denied, quota(100, 0)) is denied


def test_a_warning_of_the_license_comes_before_one_of_the_quota(catalog: Catalog) -> None:
    standing = Standing(state=LicenseState.GRACE, reason=Reason.LICENSE_LAPSED)
    in_grace = decide(REPORTS, Rulebook(catalog=catalog), holder("intelligence", standing=standing))
    assert metered(in_grace, quota(1, 2, soft=True)).warning == in_grace.warning


def test_what_uses_no_meter_has_no_quota(catalog: Catalog) -> None:
    assert decide(HEATMAP, Rulebook(catalog=catalog), holder()).meter is None


def test_a_bypassed_check_asks_no_quota(catalog: Catalog) -> None:
    standing = Standing(state=LicenseState.VALID, reason=Reason.OK, flags=frozenset({Flag.BYPASSED}))
    rules = Rulebook(catalog=catalog, overrides={REPORTS: False})
    decision = decide(REPORTS, rules, Holder(standing=standing))
    assert (decision.allowed, decision.meter) == (True, None)
