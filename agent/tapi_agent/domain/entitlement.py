"""Who may use what: the rules that turn one feature and what somebody holds into a decision. Pure.

Owns the order of the rules. What somebody holds is ``domain.holder``; caches and deadlines are
``services.entitlements``. The last rule, quotas, is apart (``metered``): it changes with every use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tapi_agent.domain.decision import Decision, DecisionReason
from tapi_agent.domain.features import OnExpired, Scope
from tapi_agent.domain.holder import mode_rank
from tapi_agent.domain.license import Flag, LicenseMode, LicenseState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tapi_agent.domain.catalog import Catalog
    from tapi_agent.domain.decision import QuotaFigures
    from tapi_agent.domain.features import Feature
    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.license import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """What is decided by beside what somebody holds: the catalog, and the service's words on single features.

    ``overrides`` says of a feature whether the service grants or denies it to the tenant.
    """

    catalog: Catalog
    overrides: Mapping[str, bool] = field(default_factory=dict)


def decide(key: str, rules: Rulebook, holder: Holder) -> Decision:
    """The one way to a permission: the first of ``RULES`` that refuses wins; only a license's end can be outlived."""
    feature = rules.catalog.features.get(key)
    if feature is None:
        return _refused(key, DecisionReason.FEATURE_UNKNOWN, holder, fix=_FIXES[DecisionReason.FEATURE_UNKNOWN])
    if Flag.BYPASSED in holder.standing.flags:
        return _permission(key, _ground(holder), holder, source_pack=source_pack(feature, rules, holder))
    refusal = _refusal(feature, rules, holder)
    if refusal is None:
        source = source_pack(feature, rules, holder)
        return _permission(key, _ground(holder), holder, source_pack=source, meter=feature.meter)
    if refusal in _ENDS_OF_LICENSE and feature.on_expired is OnExpired.KEEP:
        return _permission(key, DecisionReason.KEPT, holder)
    return _denial(feature, refusal, rules, holder)


def metered(decision: Decision, figures: QuotaFigures | None) -> Decision:
    """The decision under its meter's quota: the last rule. A quota takes a permission away, it never gives one."""
    if figures is None or not decision.allowed:
        return decision
    if not figures.spent:
        return replace(decision, quota=figures)
    if figures.soft:
        overage = f"the quota of {figures.limit} {decision.meter} is used up: what goes beyond is billed as overage"
        return replace(decision, quota=figures, warning=decision.warning or overage)
    fix = f"wait until {figures.resets_at:%Y-%m-%dT%H:%M:%SZ}, when the quota of {decision.meter} resets, or buy more"
    return replace(
        decision,
        allowed=False,
        reason=DecisionReason.QUOTA_EXCEEDED,
        quota=figures,
        warning=None,
        fix="the quota is 0: it is disabled, see your subscription" if figures.limit == 0 else fix,
        source_pack=None,
    )


def _refusal(feature: Feature, rules: Rulebook, holder: Holder) -> DecisionReason | None:
    for rule in RULES:
        if refusal := rule(feature, rules, holder):
            return refusal
    return None


def _camera(_feature: Feature, _rules: Rulebook, holder: Holder) -> DecisionReason | None:
    return None if holder.known else DecisionReason.CAMERA_UNKNOWN


def _license(feature: Feature, _rules: Rulebook, holder: Holder) -> DecisionReason | None:
    if holder.in_force:
        return None
    if holder.standing.reason is Reason.CAMERA_LIMIT:
        return DecisionReason.CAMERA_LIMIT
    return None if _runs_unlicensed(feature, holder) else DecisionReason.EXPIRED


def _runs_unlicensed(feature: Feature, holder: Holder) -> bool:
    """Known to be unlicensed, neither revoked nor suspended: components are left to the tier rule."""
    unlicensed = holder.mode is LicenseMode.UNLICENSED and holder.standing.reason is Reason.UNLICENSED
    return unlicensed and feature.min_tier is not None


def _tier(feature: Feature, _rules: Rulebook, holder: Holder) -> DecisionReason | None:
    if feature.min_tier is None or (holder.tier is not None and holder.tier.rank >= feature.min_tier.rank):
        return None
    return DecisionReason.TIER_TOO_LOW


def _mode(feature: Feature, _rules: Rulebook, holder: Holder) -> DecisionReason | None:
    if feature.min_mode is None or mode_rank(holder.mode) >= mode_rank(feature.min_mode):
        return None
    return DecisionReason.MODE_TOO_LOW


def _override(feature: Feature, rules: Rulebook, holder: Holder) -> DecisionReason | None:
    """The service denies it to the tenant. What protects people is not taken away by a word on a sale.

    Where a pack is missing anyway, the next rule says so: that helps more.
    """
    if rules.overrides.get(feature.key) is not False or feature.on_expired is OnExpired.KEEP:
        return None
    return None if _pack(feature, rules, holder) else DecisionReason.NOT_ENTITLED


def _pack(feature: Feature, rules: Rulebook, holder: Holder) -> DecisionReason | None:
    if not _is_sold(feature) or source_pack(feature, rules, holder):
        return None
    return DecisionReason.PACK_REQUIRED if rules.catalog.offering(feature) else DecisionReason.NOT_ENTITLED


def _is_sold(feature: Feature) -> bool:
    """Whether it comes by a pack: a component comes with the license's tier, unless it names one."""
    return feature.min_tier is None or feature.requires_pack is not None


def source_pack(feature: Feature, rules: Rulebook, holder: Holder) -> str | None:
    """The pack that brings it: the first in the catalog's order that the holder has, or the service grants it from.

    All that a holder's packs have to say: those who stand alike and for whom it is the same are decided about alike.
    """
    packs = rules.catalog.offering(feature) if _is_sold(feature) else ()
    granted = _granted(feature, packs, rules)
    return next((slug for slug in packs if slug in holder.packs or slug in granted), None)


def _granted(feature: Feature, packs: tuple[str, ...], rules: Rulebook) -> tuple[str, ...]:
    """The packs a grant of the service can stand for: the tenant's. One camera's must not leak to all."""
    if rules.overrides.get(feature.key) is not True:
        return ()
    return tuple(slug for slug in packs if rules.catalog.packs[slug].scope is Scope.TENANT)


RULES: tuple[Callable[[Feature, Rulebook, Holder], DecisionReason | None], ...] = (
    _camera,
    _license,
    _tier,
    _mode,
    _override,
    _pack,
)

_ENDS_OF_LICENSE = {DecisionReason.CAMERA_UNKNOWN, DecisionReason.EXPIRED, DecisionReason.CAMERA_LIMIT}
_FIXES = {
    DecisionReason.NOT_ENTITLED: "the subscription does not include it: ask the vendor",
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


def _permission(
    key: str, reason: DecisionReason, holder: Holder, *, source_pack: str | None = None, meter: str | None = None
) -> Decision:
    return Decision(
        feature=key,
        allowed=True,
        reason=reason,
        state=holder.standing.state,
        license_reason=holder.standing.reason,
        meter=meter,
        warning=_warning(reason, holder.standing),
        source_pack=source_pack,
    )


def _denial(feature: Feature, reason: DecisionReason, rules: Rulebook, holder: Holder) -> Decision:
    packs = rules.catalog.offering(feature) if reason is DecisionReason.PACK_REQUIRED else ()
    titles = " or ".join(rules.catalog.packs[slug].title for slug in packs)
    fix = _FIXES[reason].format(tier=feature.min_tier, mode=feature.min_mode, packs=titles)
    return _refused(feature.key, reason, holder, fix=fix, packs=packs)


def _refused(key: str, reason: DecisionReason, holder: Holder, *, fix: str, packs: tuple[str, ...] = ()) -> Decision:
    return Decision(
        feature=key,
        allowed=False,
        reason=reason,
        state=holder.standing.state,
        license_reason=holder.standing.reason,
        fix=fix,
        packs=packs,
    )


def _warning(reason: DecisionReason, standing: Standing) -> str | None:
    if Flag.BYPASSED in standing.flags:
        return "the license check is bypassed: for development only"
    if reason is DecisionReason.KEPT:
        return f"no license is in force ({standing.reason}); this feature is kept regardless"
    if reason is not DecisionReason.GRACE:
        return None
    return f"the license is in grace ({standing.reason}): renew it"
