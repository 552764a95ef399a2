"""Who may use what: the rules that turn one feature and what somebody holds into a decision. Pure.

Owns the order of the rules. What somebody holds is ``domain.holder``; caches and deadlines are
``services.entitlements``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tapi_agent.domain.decision import Decision, DecisionReason
from tapi_agent.domain.features import OnExpired
from tapi_agent.domain.holder import mode_rank
from tapi_agent.domain.license import Flag, LicenseMode, LicenseState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.domain.catalog import Catalog
    from tapi_agent.domain.features import Feature
    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.license import Standing


def decide(key: str, catalog: Catalog, holder: Holder) -> Decision:
    """The one way to a permission: the first of ``RULES`` that refuses wins; only a license's end can be outlived."""
    feature = catalog.features.get(key)
    if feature is None:
        return _decision(key, DecisionReason.FEATURE_UNKNOWN, holder, fix=_FIXES[DecisionReason.FEATURE_UNKNOWN])
    refusal = _refusal(feature, catalog, holder)
    if refusal is None or Flag.BYPASSED in holder.standing.flags:
        return replace(_permission(key, _ground(holder), holder), source_pack=_source(feature, catalog, holder))
    if refusal in _ENDS_OF_LICENSE and feature.on_expired is OnExpired.KEEP:
        return _permission(key, DecisionReason.KEPT, holder)
    return _denial(feature, refusal, catalog, holder)


def _refusal(feature: Feature, catalog: Catalog, holder: Holder) -> DecisionReason | None:
    for rule in RULES:
        if refusal := rule(feature, catalog, holder):
            return refusal
    return None


def _camera(_feature: Feature, _catalog: Catalog, holder: Holder) -> DecisionReason | None:
    return None if holder.known else DecisionReason.CAMERA_UNKNOWN


def _license(feature: Feature, _catalog: Catalog, holder: Holder) -> DecisionReason | None:
    if holder.in_force:
        return None
    if holder.standing.reason is Reason.CAMERA_LIMIT:
        return DecisionReason.CAMERA_LIMIT
    return None if _runs_unlicensed(feature, holder) else DecisionReason.EXPIRED


def _runs_unlicensed(feature: Feature, holder: Holder) -> bool:
    """Known to be unlicensed, neither revoked nor suspended: components are left to the tier rule."""
    unlicensed = holder.mode is LicenseMode.UNLICENSED and holder.standing.reason is Reason.UNLICENSED
    return unlicensed and feature.min_tier is not None


def _tier(feature: Feature, _catalog: Catalog, holder: Holder) -> DecisionReason | None:
    if feature.min_tier is None or (holder.tier is not None and holder.tier.rank >= feature.min_tier.rank):
        return None
    return DecisionReason.TIER_TOO_LOW


def _mode(feature: Feature, _catalog: Catalog, holder: Holder) -> DecisionReason | None:
    if feature.min_mode is None or mode_rank(holder.mode) >= mode_rank(feature.min_mode):
        return None
    return DecisionReason.MODE_TOO_LOW


def _pack(feature: Feature, catalog: Catalog, holder: Holder) -> DecisionReason | None:
    if not _is_sold(feature) or _source(feature, catalog, holder):
        return None
    return DecisionReason.PACK_REQUIRED if catalog.offering(feature) else DecisionReason.NOT_ENTITLED


def _is_sold(feature: Feature) -> bool:
    """Whether it comes by a pack: a component comes with the license's tier, unless it names one."""
    return feature.min_tier is None or feature.requires_pack is not None


def _source(feature: Feature, catalog: Catalog, holder: Holder) -> str | None:
    """The pack that brings it: the first in the catalog's order that the holder has."""
    packs = catalog.offering(feature) if _is_sold(feature) else ()
    return next((slug for slug in packs if slug in holder.packs), None)


RULES: tuple[Callable[[Feature, Catalog, Holder], DecisionReason | None], ...] = (
    _camera,
    _license,
    _tier,
    _mode,
    _pack,
)

_ENDS_OF_LICENSE = {DecisionReason.CAMERA_UNKNOWN, DecisionReason.EXPIRED, DecisionReason.CAMERA_LIMIT}
_FIXES = {
    DecisionReason.NOT_ENTITLED: "no pack sells this feature: see which plugin declares it (tapi-agent plugins)",
    DecisionReason.EXPIRED: "see what happened and what to do: tapi-agent status",
    DecisionReason.TIER_TOO_LOW: "needs tier {tier}",
    DecisionReason.MODE_TOO_LOW: "needs license mode {mode} or better",
    DecisionReason.PACK_REQUIRED: "needs pack {packs}",
    DecisionReason.CAMERA_LIMIT: "raise the camera limit of the license, or remove a camera",
    DecisionReason.FEATURE_UNKNOWN: "list the known features: tapi-agent entitlements",
    DecisionReason.CAMERA_UNKNOWN: "make the camera known: POST /api/v1/license/validate/<camera>",
}


def _ground(holder: Holder) -> DecisionReason:
    """What a permission rests on."""
    match holder.standing.state, holder.mode:
        case LicenseState.EXPIRED, _:
            return DecisionReason.KEPT
        case LicenseState.GRACE, _:
            return DecisionReason.GRACE
        case _, LicenseMode.TRIAL:
            return DecisionReason.TRIAL
        case _:
            return DecisionReason.LICENSED


def _permission(key: str, reason: DecisionReason, holder: Holder) -> Decision:
    return _decision(key, reason, holder, warning=_warning(reason, holder.standing))


def _denial(feature: Feature, reason: DecisionReason, catalog: Catalog, holder: Holder) -> Decision:
    packs = catalog.offering(feature) if reason is DecisionReason.PACK_REQUIRED else ()
    titles = " or ".join(catalog.packs[slug].title for slug in packs)
    fix = _FIXES[reason].format(tier=feature.min_tier, mode=feature.min_mode, packs=titles)
    return _decision(feature.key, reason, holder, fix=fix, packs=packs)


def _decision(
    key: str,
    reason: DecisionReason,
    holder: Holder,
    *,
    warning: str | None = None,
    fix: str | None = None,
    packs: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        feature=key,
        allowed=reason.allows,
        reason=reason,
        state=holder.standing.state,
        license_reason=holder.standing.reason,
        warning=warning,
        fix=fix,
        packs=packs,
        generation=holder.generation,
        freshness=holder.freshness,
    )


def _warning(reason: DecisionReason, standing: Standing) -> str | None:
    if Flag.BYPASSED in standing.flags:
        return "the license check is bypassed: for development only"
    if reason is DecisionReason.KEPT:
        return f"no license is in force ({standing.reason}); this feature is kept regardless"
    if reason is not DecisionReason.GRACE:
        return None
    following = standing.next_transition
    end = f", {following.to} from {following.at:%Y-%m-%dT%H:%M:%SZ}" if following else ""
    return f"the license is in grace ({standing.reason}){end} unless it is renewed"
