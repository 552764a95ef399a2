"""What a verified lease file says: its JSON document as a ``Lease``.

Owns the names in the document (docs/lease-files.md): Keygen's, and our own under ``metadata.tapi``. Pure. Called by
the reader with what a trusted key has signed; ``ValueError`` says what is not in the form agreed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tapi_agent.adapters.leases.section import Section
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import LEASE_TERM, Lease, LeaseKind
from tapi_agent.domain.license import Durations, LicenseMode, LicenseStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SCHEMA: Final = 1
_MOST_CAMERAS: Final = 2**31 - 1
_LAST_SEQUENCE: Final = 2**63 - 1
_TYPES: Final = {LeaseKind.MACHINE: "machines", LeaseKind.LICENSE: "licenses"}
_KEYGEN_STATUS: Final = {
    None: LicenseStatus.ACTIVE,
    "ACTIVE": LicenseStatus.ACTIVE,
    "EXPIRING": LicenseStatus.ACTIVE,
    "INACTIVE": LicenseStatus.ACTIVE,
    "SUSPENDED": LicenseStatus.SUSPENDED,
    "BANNED": LicenseStatus.REVOKED,
    "EXPIRED": LicenseStatus.EXPIRED,
}
_DEFAULTS: Final = Durations()


def lease_of(document: Mapping[str, object], *, kind: LeaseKind, key_id: str) -> Lease:
    """The lease in a document which ``key_id`` has signed."""
    root = Section(document, "document")
    data, meta = root.section("data"), root.section("meta")
    if data.text("type") != _TYPES[kind]:
        raise ValueError(f"data.type is not {_TYPES[kind]}, as the armor says")
    attributes = data.section("attributes")
    license_ = attributes if kind is LeaseKind.LICENSE else _included_license(root)
    issued = _issued(meta)
    return Lease(
        kind=kind,
        key_id=key_id,
        issued=issued,
        expiry=meta.moment("expiry") if "expiry" in meta else issued + LEASE_TERM,
        device_id=DeviceId(attributes.text("fingerprint")) if kind is LeaseKind.MACHINE else None,
        valid_until=license_.moment("expiry"),
        nonce=meta.optional_text("nonce"),
        reset_clock=meta.flag("reset_clock"),
        **_terms(attributes, license_, root),
    )


def key_named(document: Mapping[str, object]) -> str | None:
    """The id of the key that a document names as its signer's, if it names one."""
    attributes = Section(document, "document").section("data").section("attributes")
    return attributes.section("metadata").section("tapi").optional_text("kid")


def _issued(meta: Section) -> datetime:
    issued = meta.moment("issued")
    if issued is None:
        raise ValueError("meta.issued is missing")
    return issued


def _included_license(root: Section) -> Section:
    """The license of a machine file; one that includes none has a license without end."""
    found = [one.section("attributes") for one in root.sections("included") if one.text("type") == "licenses"]
    if len(found) > 1:
        raise ValueError("more than one license is included")
    return found[0] if found else Section({}, "included")


def _terms(attributes: Section, license_: Section, root: Section) -> dict[str, Any]:
    metadata = attributes.section("metadata")
    return _ours(metadata.section("tapi")) if "tapi" in metadata else _keygens(license_, root)


def _ours(tapi: Section) -> dict[str, Any]:
    if tapi.count("schema", SCHEMA) != SCHEMA:
        raise ValueError(f"metadata.tapi.schema is not {SCHEMA}")
    durations = tapi.section("durations")
    return {
        "tenant_id": TenantId(tapi.text("tenant_id")),
        "camera_id": CameraId(tapi.camera("camera_id")),
        "mode": tapi.word("mode", LicenseMode),
        "status": tapi.word("status", LicenseStatus),
        "packs": tapi.texts("packs"),
        "cameras_allowed": tapi.optional_count("cameras_allowed", _MOST_CAMERAS),
        "sequence": tapi.count("sequence", _LAST_SEQUENCE),
        "not_before": tapi.moment("not_before"),
        "components": tapi.pairs("components"),
        "freshness": durations.span("freshness_s", _DEFAULTS.freshness),
        "offline_grace": durations.span("offline_grace_s", _DEFAULTS.offline_grace),
        "license_grace": durations.span("license_grace_s", _DEFAULTS.license_grace),
    }


def _keygens(license_: Section, root: Section) -> dict[str, Any]:
    status = license_.optional_text("status")
    if status not in _KEYGEN_STATUS:
        raise ValueError("the license's status is none of Keygen's")
    codes = (one.section("attributes") for one in root.sections("included") if one.text("type") == "entitlements")
    return {
        "status": LicenseStatus.SUSPENDED if license_.flag("suspended") else _KEYGEN_STATUS[status],
        "packs": tuple(one.text("code") for one in codes),
    }
