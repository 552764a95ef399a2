"""Every feature of the base catalog, in every mode and state, against expectations written by hand from the design."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain import entitlement
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.decision import Answer, Decision, DecisionReason, Freshness
from tapi_agent.domain.features import Feature, GrowthPack, Tier
from tapi_agent.domain.holder import Holder, holder_of
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import (
    Evidence,
    Flag,
    LicenseMode,
    LicenseState,
    Reason,
    Standing,
    Subject,
    Transition,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def keys(category: str, names: str) -> list[str]:
    return [f"{category}.{name}" for name in names.split()]


SOLD_BY = {
    **dict.fromkeys(keys("cv_models", "person car van truck bus motorcycle"), "base"),
    **dict.fromkeys(
        keys("analytics", "detection tracking counting dwell heatmap direction speed privacy_mask"), "base"
    ),
    **dict.fromkeys(keys("outputs", "edge_io dashboard email webhook api"), "base"),
    **dict.fromkeys(keys("analytics", "near_miss interaction_time queue_counter object_size"), "advanced_analytics"),
    **dict.fromkeys(keys("cv_models", "bike scooter pram wheelchair"), "active_transport"),
    **dict.fromkeys(keys("llm", "analyst_seat_full premium_connectors automated_reports"), "intelligence"),
    **dict.fromkeys(keys("outputs", "sms cloud_export vms_connectors"), "integration"),
}
BASIC = ["source.rtsp", "source.file", "processor.object_classification", "sink.file"]
HIGHER = [
    *keys("source", "usb http"),
    *keys("processor", "object_detection object_tracking face_recognition motion_detection"),
    *keys("sink", "rtmp database websocket mqtt"),
]
ZONES = ["processor.line_zone_manager", "processor.polygon_zone_manager"]
AGE = "processor.age_gender_detection"

R = DecisionReason
STATES = {
    LicenseState.VALID: Reason.OK,
    LicenseState.OFFLINE: Reason.AUTHORITY_UNREACHABLE,
    LicenseState.GRACE: Reason.LICENSE_LAPSED,
}
TIERS = {**dict.fromkeys(LicenseMode, Tier.PROFESSIONAL), LicenseMode.UNLICENSED: Tier.BASIC}
MODES = (LicenseMode.TRIAL, LicenseMode.BASE, LicenseMode.ENTERPRISE)
EXPIRIES = [
    Reason.NO_LICENSE, Reason.EVIDENCE_INVALID, Reason.KEY_UNKNOWN, Reason.MACHINE_MISMATCH, Reason.REVOKED,
    Reason.SUSPENDED, Reason.UNLICENSED, Reason.NOT_VALID, Reason.CAMERA_LIMIT, Reason.LICENSE_EXPIRED,
    Reason.NOT_YET_VALID, Reason.OFFLINE_LIMIT,
]  # fmt: skip
END = datetime(2026, 3, 1, tzinfo=UTC)


def holder(
    catalog: Catalog,
    state: LicenseState = LicenseState.VALID,
    reason: Reason = Reason.OK,
    *,
    mode: LicenseMode = LicenseMode.BASE,
    packs: Iterable[str] = (),
) -> Holder:
    """Somebody who stands so, on evidence of a mode and further packs."""
    subject = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam"))
    evidence = Evidence(subject=subject, mode=mode, packs=tuple(packs), verified_at=END)
    return holder_of(evidence, Standing(state=state, reason=reason), catalog=catalog, tiers=TIERS)


def decide(key: str, catalog: Catalog, who: Holder, **overrides: bool) -> Decision:
    """The decision without words of the service on single features, or with them (a dot is written as two lines)."""
    words = {name.replace("__", "."): word for name, word in overrides.items()}
    return entitlement.decide(key, entitlement.Rulebook(catalog=catalog, overrides=words), who)


def permission(state: LicenseState, mode: LicenseMode) -> DecisionReason:
    if state is LicenseState.GRACE:
        return R.GRACE
    return R.TRIAL if mode is LicenseMode.TRIAL else R.LICENSED


@pytest.mark.parametrize(("state", "mode"), list(product(STATES, MODES)))
@pytest.mark.parametrize("feature", SOLD_BY)
def test_a_sold_feature_needs_one_of_its_packs(
    catalog: Catalog, feature: str, state: LicenseState, mode: LicenseMode
) -> None:
    pack = SOLD_BY[feature]
    others = {"advanced_analytics", "active_transport", "intelligence", "integration"} - {pack}
    with_pack = decide(feature, catalog, holder(catalog, state, STATES[state], mode=mode, packs={pack}))
    assert (with_pack.allowed, with_pack.reason) == (True, permission(state, mode))

    without = decide(feature, catalog, holder(catalog, state, STATES[state], mode=mode, packs=others))
    if pack == "base":
        assert without.reason is permission(state, mode), "base comes with every license"
    else:
        assert (without.allowed, without.reason, without.packs) == (False, R.PACK_REQUIRED, (pack,))
        assert without.fix == f"needs pack {catalog.packs[pack].title}"


@pytest.mark.parametrize(("state", "mode"), list(product(STATES, MODES)))
def test_components_come_with_the_license(catalog: Catalog, state: LicenseState, mode: LicenseMode) -> None:
    who = holder(catalog, state, STATES[state], mode=mode)
    assert {decide(key, catalog, who).reason for key in BASIC + HIGHER} == {permission(state, mode)}
    zones = R.MODE_TOO_LOW if mode is LicenseMode.TRIAL else permission(state, mode)
    assert {decide(key, catalog, who).reason for key in ZONES} == {zones}
    assert (decide(AGE, catalog, who).reason, decide(AGE, catalog, who).packs) == (
        R.PACK_REQUIRED,
        ("active_transport",),
    )
    paid = holder(catalog, state, STATES[state], mode=mode, packs={"active_transport"})
    assert decide(AGE, catalog, paid).reason is permission(state, mode)


@pytest.mark.parametrize("reason", EXPIRIES)
def test_an_expired_license_permits_the_privacy_mask_alone(catalog: Catalog, reason: Reason) -> None:
    who = holder(catalog, LicenseState.EXPIRED, reason, mode=LicenseMode.ENTERPRISE, packs=catalog.packs)
    decisions = {key: decide(key, catalog, who) for key in SOLD_BY}
    allowed = {key for key, decision in decisions.items() if decision.allowed}
    assert allowed == {"analytics.privacy_mask"}
    assert decisions["analytics.privacy_mask"].reason is R.KEPT
    assert reason in (decisions["analytics.privacy_mask"].warning or "")
    refusal = R.CAMERA_LIMIT if reason is Reason.CAMERA_LIMIT else R.EXPIRED
    assert {decision.reason for decision in decisions.values() if not decision.allowed} == {refusal}
    assert {decision.license_reason for decision in decisions.values()} == {reason}


@pytest.mark.parametrize("reason", EXPIRIES)
def test_components_stop_too_unless_the_device_is_known_to_be_unlicensed(catalog: Catalog, reason: Reason) -> None:
    who = holder(catalog, LicenseState.EXPIRED, reason, mode=LicenseMode.UNLICENSED)
    reasons = {key: decide(key, catalog, who).reason for key in [*BASIC, *HIGHER, *ZONES, AGE]}
    if reason is Reason.UNLICENSED:
        assert {reasons[key] for key in BASIC} == {R.KEPT}
        assert {reasons[key] for key in [*HIGHER, *ZONES, AGE]} == {R.TIER_TOO_LOW}
    else:
        assert not any(why.allows for why in reasons.values())


@pytest.mark.parametrize("mode", [mode for mode in LicenseMode if mode is not LicenseMode.UNLICENSED])
def test_a_word_that_contradicts_itself_permits_no_component(catalog: Catalog, mode: LicenseMode) -> None:
    who = holder(catalog, LicenseState.EXPIRED, Reason.UNLICENSED, mode=mode)
    assert {decide(key, catalog, who).reason for key in [*BASIC, *HIGHER]} == {R.EXPIRED}


@pytest.mark.parametrize("mode", list(LicenseMode))
def test_a_lapsed_license_keeps_what_base_had_through_its_grace(catalog: Catalog, mode: LicenseMode) -> None:
    """The service says mode expired with the date of yesterday: 14 days of grace, not an immediate end."""
    who = holder(catalog, LicenseState.GRACE, Reason.LICENSE_LAPSED, mode=mode, packs={"integration"})
    for key in ("analytics.heatmap", "sink.mqtt"):
        assert decide(key, catalog, who).allowed is (mode is not LicenseMode.UNLICENSED)
    assert decide(ZONES[0], catalog, who).allowed is (mode not in {LicenseMode.UNLICENSED, LicenseMode.TRIAL})
    assert decide("outputs.sms", catalog, who).allowed


@pytest.mark.parametrize(
    ("tier", "refused"),
    [
        (None, {*BASIC, *HIGHER}),
        (Tier.BASIC, {*HIGHER}),
        (Tier.STANDARD, {*HIGHER} - {"processor.object_detection"}),
        (Tier.PROFESSIONAL, set()),
    ],
    ids=["none", "basic", "standard", "professional"],
)
def test_the_tier_is_what_the_settings_make_of_the_mode(catalog: Catalog, tier: Tier | None, refused: set[str]) -> None:
    who = Holder(standing=Standing(state=LicenseState.VALID, reason=Reason.OK), mode=LicenseMode.BASE, tier=tier)
    decisions = {key: decide(key, catalog, who) for key in [*BASIC, *HIGHER]}
    assert {key for key, decision in decisions.items() if decision.reason is R.TIER_TOO_LOW} == refused
    assert all(
        decision.fix == f"needs tier {catalog.features[key].min_tier}"
        for key, decision in decisions.items()
        if key in refused
    )


def test_a_trial_is_told_which_mode_it_needs(catalog: Catalog) -> None:
    decision = decide(ZONES[0], catalog, holder(catalog, mode=LicenseMode.TRIAL))
    assert (decision.reason, decision.fix) == (R.MODE_TOO_LOW, "needs license mode base or better")


@pytest.mark.parametrize("key", ["analytics.teleport", "", "nonsense", "analytics.heatmap ", "🦄" * 40])
@pytest.mark.parametrize("state", list(LicenseState))
def test_an_unknown_feature_is_denied_and_never_an_error(catalog: Catalog, key: str, state: LicenseState) -> None:
    decision = decide(key, catalog, holder(catalog, state, packs=catalog.packs))
    assert (decision.feature, decision.allowed, decision.reason) == (key, False, R.FEATURE_UNKNOWN)
    assert decision.fix == "list the known features: tapi-agent entitlements"


def test_an_unknown_camera_gets_the_privacy_mask_alone(catalog: Catalog) -> None:
    who = Holder(standing=Standing(state=LicenseState.EXPIRED, reason=Reason.NO_LICENSE), known=False)
    reasons = {key: decide(key, catalog, who).reason for key in catalog.features}
    assert reasons.pop("analytics.privacy_mask") is R.KEPT
    assert set(reasons.values()) == {R.CAMERA_UNKNOWN}


def test_a_feature_in_no_pack_is_nobodys() -> None:
    alone = Catalog().extended(Declaration(source="x", features=(Feature(key="a.b"),)))
    assert decide("a.b", alone, holder(alone)).reason is R.NOT_ENTITLED


def test_a_permission_in_grace_warns_of_what_comes(catalog: Catalog) -> None:
    following = Transition(at=END, to=LicenseState.EXPIRED, reason=Reason.LICENSE_EXPIRED)
    standing = Standing(state=LicenseState.GRACE, reason=Reason.LICENSE_LAPSED, next_transition=following)
    who = Holder(standing=standing, mode=LicenseMode.BASE, packs=frozenset({"base"}))
    decision = decide("outputs.api", catalog, who)
    assert decision.warning == "the license is in grace (LICENSE_LAPSED): renew it", "shared: it names no time"
    answer = Answer(decision=decision, freshness=Freshness(), following=following, generation=1)
    assert answer.warning == f"{decision.warning}, or it is expired from 2026-03-01T00:00:00Z"
    assert replace(answer, following=None).warning == decision.warning
    kept = replace(answer, decision=replace(decision, reason=R.KEPT))
    assert kept.warning == decision.warning, "what follows does not end what is kept"


def test_without_a_next_transition_the_warning_names_no_date(catalog: Catalog) -> None:
    decision = decide("outputs.api", catalog, holder(catalog, LicenseState.GRACE, Reason.PAST_DUE))
    assert decision.warning == "the license is in grace (PAST_DUE): renew it"


@pytest.mark.parametrize("state", [LicenseState.VALID, LicenseState.OFFLINE])
def test_a_full_permission_carries_no_warning(catalog: Catalog, state: LicenseState) -> None:
    decision = decide("outputs.api", catalog, holder(catalog, state))
    assert (decision.allowed, decision.warning, decision.fix) == (True, None, None)


def test_a_bypassed_check_permits_every_known_feature_and_shouts(catalog: Catalog) -> None:
    standing = Standing(state=LicenseState.VALID, reason=Reason.OK, flags=frozenset({Flag.BYPASSED}))
    decisions = [decide(key, catalog, Holder(standing=standing)) for key in catalog.features]
    assert {(decision.allowed, decision.reason) for decision in decisions} == {(True, R.LICENSED)}
    assert {decision.warning for decision in decisions} == {"the license check is bypassed: for development only"}
    assert decide("no.such", catalog, Holder(standing=standing)).reason is R.FEATURE_UNKNOWN


def test_variants_are_the_reasons_in_lower_case(catalog: Catalog) -> None:
    assert decide("outputs.api", catalog, holder(catalog)).variant == "licensed"
    assert decide("outputs.sms", catalog, holder(catalog)).variant == "pack_required"


def test_reasons_split_into_permissions_and_denials() -> None:
    assert {reason for reason in R if reason.allows} == {R.LICENSED, R.TRIAL, R.GRACE, R.KEPT}


@pytest.mark.parametrize("feature", SOLD_BY)
def test_a_permission_says_which_pack_brings_it_and_a_denial_none(catalog: Catalog, feature: str) -> None:
    pack = SOLD_BY[feature]
    assert decide(feature, catalog, holder(catalog, packs={pack})).source_pack == pack
    if pack != "base":
        assert decide(feature, catalog, holder(catalog)).source_pack is None


@pytest.mark.parametrize(
    ("packs", "source"),
    [({"retail"}, "retail"), ({"base_plus"}, "base_plus"), ({"retail", "base_plus"}, "base_plus")],
    ids=["one", "the other", "the first in the catalog"],
)
def test_of_several_packs_the_first_in_the_catalog_counts(packs: set[str], source: str) -> None:
    sold = [GrowthPack(slug=slug, title=slug, features=frozenset({"a.b"})) for slug in ("base_plus", "retail")]
    catalog = Catalog().extended(Declaration(source="x", features=(Feature(key="a.b"),), packs=tuple(sold)))
    assert decide("a.b", catalog, holder(catalog, packs=packs)).source_pack == source


def test_a_component_comes_by_no_pack_unless_it_needs_one(catalog: Catalog) -> None:
    who = holder(catalog, packs={"active_transport"})
    assert {decide(key, catalog, who).source_pack for key in BASIC + HIGHER + ZONES} == {None}
    assert decide(AGE, catalog, who).source_pack == "active_transport"


def test_what_is_kept_without_a_license_comes_by_no_pack(catalog: Catalog) -> None:
    kept = decide("analytics.privacy_mask", catalog, holder(catalog, LicenseState.EXPIRED, Reason.LICENSE_EXPIRED))
    assert (kept.reason, kept.source_pack) == (R.KEPT, None)
