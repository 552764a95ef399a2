"""What was decided about every feature, in PostgreSQL: for SQL and reports, never for the agent itself.

Owns the rows of feature_entitlements of one device and tenant; reads those of every device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.decision import DecisionReason
from tapi_agent.domain.license import LicenseState, Reason
from tapi_agent.ports.records import RecordedDecision

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from psycopg.rows import DictRow

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.decision import Decision, QuotaFigures
    from tapi_agent.domain.ids import CameraId, DeviceId, TenantId

_SQL: Final = load_queries("entitlements")


class PostgresDecisions:
    """``ports.records.DecisionRecords``."""

    def __init__(self, *, database: Database, device_id: DeviceId, tenant_id: TenantId) -> None:
        self._database = database
        self._owner = {"device_id": device_id, "tenant_id": tenant_id}

    async def record(
        self,
        decisions: Sequence[Decision],
        cameras: Mapping[CameraId, datetime | None],
        *,
        decided_at: datetime,
    ) -> None:
        """These decisions for each of these cameras, in one statement."""
        rows = {
            "cameras": _json([{"camera_id": camera, "holds_until": until} for camera, until in cameras.items()]),
            "features": _json([_feature(decision) for decision in decisions]),
            "decided_at": decided_at,
        }
        async with self._database.connection() as connection:
            await connection.execute(_SQL.record, self._owner | rows)

    async def retain(self, cameras: Collection[CameraId]) -> None:
        """Forget all other cameras of this device."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.retain, self._owner | {"cameras": list(cameras)})

    async def decisions(self, tenant_id: TenantId, camera_id: CameraId) -> Sequence[RecordedDecision]:
        """What every device has decided for a camera."""
        asked = {"tenant_id": tenant_id, "camera_id": camera_id}
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.decisions, asked)
            return [_decision(row) for row in await cursor.fetchall()]


def _json(rows: list[dict[str, object]]) -> str:
    return orjson.dumps(rows).decode()


def _feature(decision: Decision) -> dict[str, object]:
    return {
        "feature_key": decision.feature,
        "allowed": decision.allowed,
        "reason": decision.reason,
        "license_state": decision.state,
        "license_reason": decision.license_reason,
        "source_pack": decision.source_pack,
        "would_allow": decision.packs,
        **_quota(decision.quota),
    }


def _quota(quota: QuotaFigures | None) -> dict[str, object]:
    """As texts, which PostgreSQL reads exactly."""
    if quota is None:
        return {}
    return {
        "quota_limit": str(quota.limit),
        "quota_used": str(quota.used),
        "quota_period": quota.period,
        "quota_resets_at": quota.resets_at,
    }


def _decision(row: DictRow) -> RecordedDecision:
    return RecordedDecision(
        device_id=row["device_id"],
        feature=row["feature_key"],
        allowed=row["allowed"],
        reason=DecisionReason(row["reason"]),
        state=LicenseState(row["license_state"]),
        license_reason=Reason(row["license_reason"]),
        source_pack=row["source_pack"],
        packs=tuple(row["would_allow"]),
        decided_at=row["decided_at"],
        holds_until=row["holds_until"],
    )
