"""Evidence and edges in PostgreSQL: the tier that outlives the device's own files, and the history of every license.

Owns the rows of camera_licenses and license_validation_log of one device and tenant. What evidence is worth is
decided by whoever loads it: the columns beside ``sealed`` are for people and reports.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypedDict

import orjson

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.evaluation import deadlines_of
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Reason, Subject
from tapi_agent.ports.licenses import SealedEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.license import Evidence
    from tapi_agent.ports.clock import TrustedClock

_SQL: Final = load_queries("licenses")


class _Owner(TypedDict):
    device_id: DeviceId
    tenant_id: TenantId


class PostgresEvidence:
    """Implements ``ports.licenses.BulkTier``; older evidence never replaces newer, not even another agent's."""

    name: Final = "postgres"

    def __init__(self, *, database: Database, clock: TrustedClock, device_id: DeviceId, tenant_id: TenantId) -> None:
        self._database = database
        self._clock = clock
        self._owner: _Owner = {"device_id": device_id, "tenant_id": tenant_id}

    async def load(self, subject: Subject) -> str | None:
        """The evidence of ``subject``; ``None`` is a miss."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.load_evidence, asdict(subject))
            row = await cursor.fetchone()
        return None if row is None else str(row["sealed"])

    async def load_all(self) -> Mapping[Subject, str]:
        """All evidence of this device and tenant."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.load_all_evidence, self._owner)
            rows = await cursor.fetchall()
        return {Subject(**self._owner, camera_id=CameraId(row["camera_id"])): row["sealed"] for row in rows}

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Keep it, unless newer evidence is there."""
        await self.save_many([SealedEvidence(evidence=evidence, sealed=sealed)])

    async def save_many(self, words: Sequence[SealedEvidence]) -> None:
        """Likewise, in one statement."""
        rows = orjson.dumps([_row(word) for word in words]).decode()
        async with self._database.connection() as connection:
            await connection.execute(_SQL.save_evidence, {"words": rows, "now": self._clock.now()})


class PostgresLicenseLog:
    """Implements ``ports.licenses.LicenseLog`` on license_validation_log."""

    def __init__(self, *, database: Database, device_id: DeviceId, tenant_id: TenantId) -> None:
        self._database = database
        self._owner = {"device_id": device_id, "tenant_id": tenant_id}

    async def append(self, changes: Sequence[LicenseChanged]) -> None:
        """Write the edges, each once, in this order, in one transaction."""
        edges = orjson.dumps([_entry(change) for change in changes]).decode()
        async with self._database.connection() as connection:
            await connection.execute(_SQL.append_edges, {"edges": edges})

    async def unpublished(self) -> Sequence[LicenseChanged]:
        """Edges that nobody may have heard of, oldest first."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.unpublished_edges, self._owner)
            return [_change(row) for row in await cursor.fetchall()]

    async def mark_published(self, changes: Sequence[LicenseChanged]) -> None:
        """Everyone has heard of these."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL.mark_published, {"edge_ids": [change.edge_id for change in changes]})

    async def history(self, camera_id: CameraId | None, *, limit: int) -> Sequence[LicenseChanged]:
        """The newest edges of a camera, or of all of this device, newest first."""
        asked = self._owner | {"camera_id": camera_id, "limit": limit}
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL.history, asked)
            return [_change(row) for row in await cursor.fetchall()]


def _row(word: SealedEvidence) -> dict[str, object]:
    evidence = word.evidence
    return asdict(evidence.subject) | {
        "mode": evidence.mode,
        "status": evidence.status,
        "verified_at": evidence.verified_at,
        "not_before": evidence.not_before,
        "valid_until": evidence.valid_until,
        "grace_ends_at": evidence.valid_until and deadlines_of(evidence).ends,
        "packs": evidence.packs,
        "cameras_allowed": evidence.cameras_allowed,
        "sequence": evidence.sequence,
        "signed": evidence.signed,
        "denied": evidence.denied,
        "raw_reply": word.raw if _is_json(word.raw) else None,
        "sealed": word.sealed,
    }


def _is_json(raw: str) -> bool:
    """Whether PostgreSQL will take it for JSON: evidence must not be refused for what is kept beside it."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _entry(change: LicenseChanged) -> dict[str, object]:
    return asdict(change.subject) | {
        "edge_id": change.edge_id,
        "old_state": change.old,
        "new_state": change.new,
        "reason": change.reason,
        "changed_at": change.at,
    }


def _change(row: dict[str, Any]) -> LicenseChanged:
    return LicenseChanged(
        edge_id=row["edge_id"],
        subject=Subject(device_id=row["device_id"], tenant_id=row["tenant_id"], camera_id=row["camera_id"]),
        old=LicenseState(row["old_state"]),
        new=LicenseState(row["new_state"]),
        reason=Reason(row["reason"]),
        at=row["changed_at"],
    )
