"""One suite for the record of decisions: the fake and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.domain.decision import Decision, DecisionReason
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.ports.records import RecordedDecision
from tapi_agent.testing.records import MemoryDecisions

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.ports.records import DecisionRecords

T = datetime(2027, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOX = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
ACME = BOX["tenant_id"]
GATE, YARD = CameraId("gate"), CameraId("Tür 1/é \u2028")

ALLOWED = Decision(
    feature="analytics.heatmap",
    allowed=True,
    reason=DecisionReason.LICENSED,
    state=LicenseState.VALID,
    license_reason=Reason.OK,
    source_pack="base",
)
DENIED = replace(
    ALLOWED,
    feature="analytics.near_miss",
    allowed=False,
    reason=DecisionReason.PACK_REQUIRED,
    source_pack=None,
    packs=("advanced_analytics", "retail"),
)


def recorded(decision: Decision, *, decided_at: datetime = T, until: datetime | None = None) -> RecordedDecision:
    return RecordedDecision(
        device_id=BOX["device_id"],
        feature=decision.feature,
        allowed=decision.allowed,
        reason=decision.reason,
        state=decision.state,
        license_reason=decision.license_reason,
        source_pack=decision.source_pack,
        packs=decision.packs,
        decided_at=decided_at,
        holds_until=until,
    )


@pytest.fixture
def records(store_database: Database | None) -> DecisionRecords:
    return PostgresDecisions(database=store_database, **BOX) if store_database else MemoryDecisions(**BOX)


async def test_what_is_recorded_comes_back_by_feature(records: DecisionRecords) -> None:
    await records.record([DENIED, ALLOWED], {GATE: T + HOUR, YARD: None, TENANT: T}, decided_at=T)
    assert list(await records.decisions(ACME, GATE)) == [
        recorded(ALLOWED, until=T + HOUR),
        recorded(DENIED, until=T + HOUR),
    ]
    assert list(await records.decisions(ACME, YARD)) == [recorded(ALLOWED), recorded(DENIED)]
    assert [one.holds_until for one in await records.decisions(ACME, TENANT)] == [T, T]


async def test_of_cameras_and_tenants_that_nobody_decided_about_there_is_nothing(records: DecisionRecords) -> None:
    await records.record([ALLOWED], {GATE: None}, decided_at=T)
    assert list(await records.decisions(ACME, YARD)) == []
    assert list(await records.decisions(TenantId("other"), GATE)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"allowed": False, "source_pack": None},
        {"reason": DecisionReason.GRACE},
        {"state": LicenseState.OFFLINE},
        {"license_reason": Reason.AUTHORITY_UNREACHABLE},
        {"source_pack": "retail"},
        {"source_pack": None},
        {"allowed": False, "source_pack": None, "packs": ("base",)},
    ],
    ids=" ".join,
)
async def test_a_change_of_anything_is_recorded(records: DecisionRecords, change: dict[str, object]) -> None:
    changed = replace(ALLOWED, **change)
    await records.record([ALLOWED, DENIED], {GATE: None}, decided_at=T)
    await records.record([changed, DENIED], {GATE: None}, decided_at=T + HOUR)
    assert list(await records.decisions(ACME, GATE)) == [recorded(changed, decided_at=T + HOUR), recorded(DENIED)]


@pytest.mark.parametrize(("before", "after"), [(None, T), (T, None), (T, T + HOUR)], ids=str)
async def test_a_new_end_is_recorded(records: DecisionRecords, before: datetime | None, after: datetime | None) -> None:
    await records.record([ALLOWED], {GATE: before, YARD: before}, decided_at=T)
    await records.record([ALLOWED], {GATE: after, YARD: before}, decided_at=T + HOUR)
    assert list(await records.decisions(ACME, GATE)) == [recorded(ALLOWED, decided_at=T + HOUR, until=after)]
    assert list(await records.decisions(ACME, YARD)) == [recorded(ALLOWED, until=before)]


async def test_the_same_again_changes_nothing(records: DecisionRecords) -> None:
    await records.record([ALLOWED, DENIED], {GATE: T}, decided_at=T)
    await records.record([DENIED, ALLOWED], {GATE: T}, decided_at=T + HOUR)
    assert {one.decided_at for one in await records.decisions(ACME, GATE)} == {T}


async def test_features_that_are_gone_go(records: DecisionRecords) -> None:
    await records.record([ALLOWED, DENIED], {GATE: None, YARD: None}, decided_at=T)
    await records.record([DENIED], {GATE: None}, decided_at=T)
    assert list(await records.decisions(ACME, GATE)) == [recorded(DENIED)]
    assert list(await records.decisions(ACME, YARD)) == [recorded(ALLOWED), recorded(DENIED)]
    await records.record([], {GATE: None}, decided_at=T)
    assert list(await records.decisions(ACME, GATE)) == []


async def test_cameras_that_are_gone_go(records: DecisionRecords) -> None:
    await records.record([ALLOWED], {GATE: None, YARD: None, TENANT: None}, decided_at=T)
    await records.retain({TENANT, YARD, CameraId("new")})
    assert [len(await records.decisions(ACME, camera)) for camera in (GATE, YARD, TENANT)] == [0, 1, 1]
    await records.retain([])
    assert [len(await records.decisions(ACME, camera)) for camera in (GATE, YARD, TENANT)] == [0, 0, 0]


async def test_nothing_is_nothing(records: DecisionRecords) -> None:
    await records.record([ALLOWED], {}, decided_at=T)
    assert list(await records.decisions(ACME, GATE)) == []
