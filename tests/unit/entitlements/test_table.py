"""Every feature in every mode, with every pack, in every state: against the design's tables, read by a second reader.

The expectation below shares nothing with ``domain.entitlement``: it is the table of packs, the list of components, and
the order of the rules, written down once more.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.decision import DecisionReason as R
from tapi_agent.domain.entitlement import Rulebook, decide
from tapi_agent.domain.features import Tier
from tapi_agent.domain.holder import holder_of
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Evidence, LicenseMode, LicenseState, Reason, Standing, Subject

if TYPE_CHECKING:
    from tapi_agent.domain.catalog import Catalog

AT = datetime(2026, 3, 1, tzinfo=UTC)
SUBJECT = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam"))

SOLD = {
    "Base": """cv_models: person car van truck bus motorcycle
        analytics: detection tracking counting dwell heatmap direction speed privacy_mask
        outputs: edge_io dashboard email webhook api""",
    "Advanced Analytics": "analytics: near_miss interaction_time queue_counter object_size",
    "Active Transport": "cv_models: bike scooter pram wheelchair",
    "Intelligence": "llm: analyst_seat_full premium_connectors automated_reports",
    "Integration": "outputs: sms cloud_export vms_connectors",
}
MINIMUM = {
    "basic": "source.rtsp source.file processor.object_classification sink.file",
    "standard": "processor.object_detection processor.age_gender_detection",
    "professional": """source.usb source.http processor.object_tracking processor.line_zone_manager
        processor.face_recognition processor.motion_detection processor.polygon_zone_manager
        sink.rtmp sink.database sink.websocket sink.mqtt""",
}
NOT_ON_TRIAL = {"processor.line_zone_manager", "processor.polygon_zone_manager"}
TIER_OF = {"trial": "professional", "base": "professional", "enterprise": "professional", "unlicensed": "basic"}
TIERS = {LicenseMode(mode): Tier(tier) for mode, tier in TIER_OF.items()}
ORDER = ["basic", "standard", "professional"]


def lines(text: str) -> set[str]:
    return {
        f"{category.strip()}.{name}"
        for category, names in (line.split(":") for line in text.splitlines())
        for name in names.split()
    }


PACK_OF = {key: pack for pack, text in SOLD.items() for key in lines(text)}
TIER_NEEDED = {key: tier for tier, keys in MINIMUM.items() for key in keys.split()}
FEATURES = sorted({*PACK_OF, *TIER_NEEDED})
STANDINGS = [
    (LicenseState.VALID, Reason.OK),
    (LicenseState.OFFLINE, Reason.AUTHORITY_UNREACHABLE),
    (LicenseState.GRACE, Reason.LICENSE_LAPSED),
    (LicenseState.GRACE, Reason.OFFLINE_OVERRUN),
    *((LicenseState.EXPIRED, reason) for reason in (
        Reason.REVOKED, Reason.SUSPENDED, Reason.UNLICENSED, Reason.NOT_VALID, Reason.LICENSE_EXPIRED,
        Reason.OFFLINE_LIMIT, Reason.CAMERA_LIMIT,
    )),
]  # fmt: skip
HELD = [frozenset(), *(frozenset({pack}) for pack in SOLD), frozenset(SOLD)]


def expected(key: str, mode: LicenseMode, packs: frozenset[str], state: LicenseState, why: Reason) -> R:  # noqa: PLR0911 - a list of rules
    """The order of the rules: license, camera limit, tier and mode, packs."""
    unlicensed = state is LicenseState.EXPIRED and why is Reason.UNLICENSED and mode is LicenseMode.UNLICENSED
    if state is LicenseState.EXPIRED and not (unlicensed and key in TIER_NEEDED):
        if key == "analytics.privacy_mask":
            return R.KEPT
        return R.CAMERA_LIMIT if why is Reason.CAMERA_LIMIT else R.EXPIRED
    name = "base" if mode is LicenseMode.EXPIRED else str(mode)
    if key in TIER_NEEDED and ORDER.index(TIER_OF[name]) < ORDER.index(TIER_NEEDED[key]):
        return R.TIER_TOO_LOW
    if key in NOT_ON_TRIAL and name not in {"base", "enterprise"}:
        return R.MODE_TOO_LOW
    needed = "Active Transport" if key == "processor.age_gender_detection" else PACK_OF.get(key)
    comes_with_mode = needed == "Base" and mode is not LicenseMode.UNLICENSED
    if needed and needed not in packs and not comes_with_mode:
        return R.PACK_REQUIRED
    if state is LicenseState.EXPIRED:
        return R.KEPT
    if state is LicenseState.GRACE:
        return R.GRACE
    return R.TRIAL if mode is LicenseMode.TRIAL else R.LICENSED


def test_the_tables_have_the_33_features_and_17_components(catalog: Catalog) -> None:
    assert (len(PACK_OF), len(TIER_NEEDED)) == (33, 17)
    assert set(FEATURES) == set(catalog.features)


@pytest.mark.parametrize(("state", "why"), STANDINGS, ids=str)
@pytest.mark.parametrize("mode", list(LicenseMode))
def test_feature_by_mode_by_pack_by_state(
    catalog: Catalog, mode: LicenseMode, state: LicenseState, why: Reason
) -> None:
    rules = Rulebook(catalog=catalog)
    wrong = []
    for packs, key in product(HELD, FEATURES):
        word = Evidence(subject=SUBJECT, mode=mode, packs=tuple(packs), verified_at=AT)
        who = holder_of(word, Standing(state=state, reason=why), catalog=catalog, tiers=TIERS)
        decision, reason = decide(key, rules, who), expected(key, mode, packs, state, why)
        if (decision.reason, decision.allowed) != (reason, reason in {R.LICENSED, R.TRIAL, R.GRACE, R.KEPT}):
            wrong.append((key, sorted(packs), decision.reason, reason))
    assert not wrong
