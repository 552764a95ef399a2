"""Keyed digests under the device key: classic evidence and the mark of trusted time are verified on every load.

Owns the sealed form: ``v1 <HMAC-SHA256, hexadecimal> <canonical JSON>``. The digest is checked over the exact text
before anything is parsed. The key is kept by ``adapters.files.keep_first``; signed lease files join here (issue 4).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any, Final

from tapi_agent.domain.errors import ConfigurationError, IntegrityError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Durations, Evidence, Flag, LicenseMode, LicenseStatus, Reason, Subject

KEY_BYTES: Final = 32
_FORM: Final = "v1"
_PURPOSE: Final = "evidence/1"
_MICROSECOND: Final = timedelta(microseconds=1)


class DeviceKey:
    """The secret of this device; a seal made for one purpose is worth nothing for another."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ConfigurationError(
                f"the device key has {len(secret)} bytes instead of {KEY_BYTES}",
                fix="restore it from the backup, or remove it: licenses then count again once confirmed online",
            )
        self._secret = secret

    def seal(self, payload: str, *, purpose: str) -> str:
        """The payload with its keyed digest."""
        return f"{_FORM} {self._digest(payload, purpose)} {payload}"

    def unseal(self, sealed: str, *, purpose: str) -> str:
        """The payload; raises ``IntegrityError`` when it is not what this device has sealed for ``purpose``."""
        form, _, rest = sealed.partition(" ")
        digest, _, payload = rest.partition(" ")
        genuine = hmac.compare_digest(digest.encode(errors="replace"), self._digest(payload, purpose).encode())
        if form != _FORM or not genuine:
            raise IntegrityError(
                "not sealed by this device's key", fix="restore the device key, or let the license be confirmed online"
            )
        return payload

    def _digest(self, payload: str, purpose: str) -> str:
        message = f"{purpose}\n{payload}".encode(errors="replace")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


class DeviceSealer:
    """Implements ``ports.licenses.EvidenceSealer``."""

    def __init__(self, key: DeviceKey) -> None:
        self._key = key

    def seal(self, evidence: Evidence) -> str:
        """Evidence as canonical JSON with a keyed digest, on one line."""
        payload = json.dumps(_fields(evidence), sort_keys=True, separators=(",", ":"))
        return self._key.seal(payload, purpose=_PURPOSE)

    def unseal(self, sealed: str) -> Evidence:
        """The evidence; raises ``IntegrityError`` when the digest is wrong, or the form that of another version."""
        payload = self._key.unseal(sealed, purpose=_PURPOSE)
        try:
            return _evidence(json.loads(payload))
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"sealed evidence of an unknown form: {error!r}", fix="was the agent downgraded?"
            ) from error


def _fields(evidence: Evidence) -> dict[str, object]:
    subject, durations = evidence.subject, evidence.durations
    return {
        "subject": [subject.device_id, subject.tenant_id, subject.camera_id],
        "mode": evidence.mode,
        "status": evidence.status,
        "verified_at": evidence.verified_at.isoformat(),
        "not_before": evidence.not_before and evidence.not_before.isoformat(),
        "valid_until": evidence.valid_until and evidence.valid_until.isoformat(),
        "packs": evidence.packs,
        "cameras_allowed": evidence.cameras_allowed,
        "sequence": evidence.sequence,
        "signed": evidence.signed,
        "denied": evidence.denied,
        "durations_us": {name: getattr(durations, name) // _MICROSECOND for name in Durations.__slots__},
        "flags": sorted(evidence.flags),
    }


def _evidence(fields: dict[str, Any]) -> Evidence:
    device_id, tenant_id, camera_id = fields["subject"]
    return Evidence(
        subject=Subject(device_id=DeviceId(device_id), tenant_id=TenantId(tenant_id), camera_id=CameraId(camera_id)),
        mode=LicenseMode(fields["mode"]),
        status=LicenseStatus(fields["status"]),
        verified_at=datetime.fromisoformat(fields["verified_at"]),
        not_before=_date(fields["not_before"]),
        valid_until=_date(fields["valid_until"]),
        packs=tuple(fields["packs"]),
        cameras_allowed=fields["cameras_allowed"],
        sequence=fields["sequence"],
        signed=fields["signed"],
        denied=fields["denied"] and Reason(fields["denied"]),
        durations=Durations(**{name: amount * _MICROSECOND for name, amount in fields["durations_us"].items()}),
        flags=frozenset(map(Flag, fields["flags"])),
    )


def _date(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
