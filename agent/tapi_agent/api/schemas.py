"""Values as JSON documents. One place decides names and forms; fields are only ever added (docs/api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tapi_agent.api.context import Context
    from tapi_agent.domain.camera import CameraSetup
    from tapi_agent.domain.decision import Answer
    from tapi_agent.domain.license import Standing
    from tapi_agent.domain.loss import Loss
    from tapi_agent.services.connectivity import DependencyReport
    from tapi_agent.services.delivery import Backlog, SyncReport
    from tapi_agent.services.licensing import DeviceLicense, ImportedLease, ImportReport, LicenseRequest, LicenseView
    from tapi_agent.services.space import SpaceReport
    from tapi_agent.services.timekeeping import ClockReport

_JSON_TEXTS: Final = frozenset({"metadata", "config", "settings"})


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Any of our values: dataclasses as objects, times as RFC 3339, durations in seconds, decimals as strings."""
    return to_jsonable_python(value, timedelta_mode="float")


def decision_document(answer: Answer, now: datetime) -> dict[str, Any]:
    """An answer with what belongs to this request: when it was asked and how old its evidence is (``age_s``)."""
    decision, verified = answer.decision, answer.freshness.verified_at
    return {
        **plain(decision),
        "variant": decision.variant,
        "warning": answer.warning,
        "generation": answer.generation,
        "evaluated_at": plain(now),
        "freshness": {**plain(answer.freshness), "age_s": (now - verified).total_seconds() if verified else None},
    }


def license_document(view: LicenseView) -> dict[str, Any]:
    """How one camera stands, on which evidence, and why the last attempt to hear more failed (``problem``)."""
    standing, evidence = view.standing, view.evidence
    return {
        "camera_id": view.camera_id,
        "state": standing.state,
        "reason": standing.reason,
        "since": plain(view.since),
        "next_transition": plain(standing.next_transition),
        "flags": sorted(standing.flags),
        "mode": evidence and evidence.mode,
        "packs": plain(evidence.packs) if evidence else [],
        "status": evidence and evidence.status,
        "not_before": plain(evidence.not_before) if evidence else None,
        "valid_until": plain(evidence.valid_until) if evidence else None,
        "verified_at": plain(evidence.verified_at) if evidence else None,
        "cameras_allowed": evidence and evidence.cameras_allowed,
        "sequence": evidence and evidence.sequence,
        "signed": evidence and evidence.signed,
        "key_id": evidence and evidence.key_id,
        "tier": view.tier,
        "problem": view.problem,
    }


def device_document(device: DeviceLicense) -> dict[str, Any]:
    """The box as a whole: its worst camera, and how many are in each state."""
    counts = {str(state): count for state, count in device.counts.items()}
    return {
        "state": device.state,
        "reason": device.reason,
        "since": plain(device.since),
        "next_transition": plain(device.next_transition),
        "flags": sorted(device.flags),
        "cameras": {"total": sum(counts.values()), **counts},
        "open_request": plain(device.open_request),
        "drifted": list(device.drifted),
        "trusted_keys": list(device.trusted_keys),
    }


def request_document(request: LicenseRequest, version: str) -> dict[str, Any]:
    """A request for leases, as the billing service reads it (docs/lease-files.md)."""
    return {
        "kind": "tapi-license-request",
        "tenant_id": request.tenant.tenant_id,
        "device_id": request.tenant.device_id,
        "nonce": request.nonce,
        "components": dict(request.components),
        "cameras": [{"camera_id": camera, "sequence": sequence} for camera, sequence in request.sequences.items()],
        "sequence": request.sequence,
        "agent_version": version,
        "clock": {"wall": plain(request.wall), "trusted": plain(request.trusted)},
    }


def import_document(report: ImportReport) -> dict[str, Any]:
    """What a file of leases holds, and what it changes or, in a dry run, would change."""
    return {
        "dry_run": report.dry_run,
        "answers_request": report.answered,
        "leases": [_imported_document(imported) for imported in report.leases],
    }


def _imported_document(imported: ImportedLease) -> dict[str, Any]:
    lease = imported.lease
    return {
        "camera_id": lease.camera_id,
        "key_id": lease.key_id,
        "sequence": lease.sequence,
        "issued": plain(lease.issued),
        "expiry": plain(lease.expiry),
        "mode": lease.mode,
        "status": lease.status,
        "packs": list(lease.packs),
        "not_before": plain(lease.not_before),
        "valid_until": plain(lease.valid_until),
        "cameras_allowed": lease.cameras_allowed,
        "reset_clock": lease.reset_clock,
        "new": imported.is_new,
        "registered": imported.registered,
        "drifted": list(imported.drifted),
        "before": _standing_document(imported.before),
        "after": _standing_document(imported.after),
    }


def _standing_document(standing: Standing) -> dict[str, Any]:
    return {
        "state": standing.state,
        "reason": standing.reason,
        "next_transition": plain(standing.next_transition),
        "flags": sorted(standing.flags),
    }


def camera_document(setup: CameraSetup) -> dict[str, Any]:
    """A camera with its components and zones, and in it the JSON of its application, digit by digit."""
    document: dict[str, Any] = _with_json(plain(setup))
    return document


def _with_json(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case dict():
            return {
                name: orjson.Fragment(member) if name in _JSON_TEXTS else _with_json(member)
                for name, member in value.items()
            }
        case list():
            return [_with_json(item) for item in value]
        case _:
            return value


def dependency_document(name: str, dependency: DependencyReport) -> dict[str, Any]:
    """One dependency: up, down or not tried yet (null), since when, why, and what to do."""
    return {"name": name, **plain(dependency)}


def dependencies_document(report: Mapping[str, DependencyReport]) -> list[dict[str, Any]]:
    """Every dependency."""
    return [dependency_document(name, dependency) for name, dependency in report.items()]


def clock_document(report: ClockReport) -> dict[str, Any]:
    """Trusted time beside the wall clock."""
    return {**plain(report), "flags": sorted(report.flags)}


def usage_document(report: Backlog | SyncReport) -> dict[str, Any]:
    """The backlog, or what sending came to; ``paused`` is why nothing is sent, and what to do about it."""
    pause = report.paused
    return {**plain(report), "paused": pause and {**plain(pause), "fix": pause.reason.fix}}


def space_document(report: SpaceReport) -> dict[str, Any]:
    """Room on the disk of the state directory."""
    return {
        "room": report.room.name.lower(),
        "free_bytes": report.free,
        "ballast": report.holds_ballast,
    }


def status_document(context: Context, backlog: Backlog, losses: Sequence[Loss]) -> dict[str, Any]:
    """GET /api/v1/status."""
    return {
        "version": context.version,
        "device_id": context.device_id,
        "tenant_id": context.tenant_id,
        **device_document(context.licensing.device()),
        "generation": context.licensing.generation,
        "clock": clock_document(context.clock.describe()),
        "dependencies": dependencies_document(context.connectivity.report()),
        "usage": usage_document(backlog),
        "space": space_document(context.space.report()),
        "losses": [plain(loss) for loss in losses],
        "plugins": [{"name": p.name, "enabled": p.enabled, "error": p.error} for p in context.plugins()],
        "problems": list(context.problems),
    }
