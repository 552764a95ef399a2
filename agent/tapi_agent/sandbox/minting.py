"""Mints lease files in the form that Keygen has published (docs/lease-files.md): without clock and storage.

Owns the contents of a file; ``sealing`` signs and encrypts it. What is granted is decided elsewhere. Written apart
from the agent's reader and sharing nothing with it, so that each is proof of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from tapi_agent.sandbox.sealing import seal
from tapi_agent.sandbox.times import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEMA: Final = 1
_KEYGEN_STATUS: Final = {"suspended": "SUSPENDED", "revoked": "BANNED", "expired": "EXPIRED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one lease says.

    ``expiry`` is the end of full function without contact and ``valid_until`` the end of what was paid; ``None`` is no
    end. ``camera_id`` "" stands for the whole tenant, ``cameras_allowed`` ``None`` for unlimited. ``durations`` may
    hold ``freshness_s``, ``offline_grace_s`` and ``license_grace_s``, in seconds; what is left out has the contract's
    default.
    """

    tenant_id: str
    device_id: str
    camera_id: str
    issued: datetime
    expiry: datetime | None
    sequence: int
    mode: str = "base"
    status: str = "active"
    not_before: datetime | None = None
    valid_until: datetime | None = None
    packs: Sequence[str] = ()
    cameras_allowed: int | None = None
    durations: Mapping[str, int | None] = field(default_factory=dict)
    components: Mapping[str, str] = field(default_factory=dict)
    nonce: str | None = None
    reset_clock: bool = False


def mint(grant: Grant, *, signer: Ed25519PrivateKey, kid: str, license_key: str | None = None) -> str:
    """The text of a lease file, signed by ``signer`` whose id is ``kid``.

    With a ``license_key`` its contents are encrypted: to read them takes that key and the grant's ``device_id``.
    """
    contents = document(grant, kid=kid, license_key=license_key or "")
    return seal(contents, kind="machine", signer=signer, license_key=license_key, fingerprint=grant.device_id)


def document(grant: Grant, *, kid: str, license_key: str = "") -> dict[str, Any]:
    """What a lease says, as Keygen's clients expect it; the words of our own are in ``metadata.tapi`` and ``meta``."""
    ttl = None if grant.expiry is None else int((grant.expiry - grant.issued).total_seconds())
    return {
        "data": _machine(grant, kid),
        "included": [_license(grant, license_key)],
        "meta": {
            "issued": render(grant.issued),
            "expiry": _date(grant.expiry),
            "ttl": ttl,
            "nonce": grant.nonce,
            "reset_clock": grant.reset_clock,
        },
    }


def _machine(grant: Grant, kid: str) -> dict[str, Any]:
    license_id, issued = _id("license", grant), render(grant.issued)
    return {
        "id": _id("machine", grant),
        "type": "machines",
        "attributes": {
            "fingerprint": grant.device_id,
            "name": None,
            "hostname": None,
            "platform": None,
            "cores": None,
            "requireHeartbeat": False,
            "heartbeatStatus": "NOT_STARTED",
            "heartbeatDuration": None,
            "metadata": {"tapi": _tapi(grant, kid)},
            "created": issued,
            "updated": issued,
        },
        "relationships": {"license": {"data": {"type": "licenses", "id": license_id}}},
    }


def _tapi(grant: Grant, kid: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kid": kid,
        "tenant_id": grant.tenant_id,
        "camera_id": grant.camera_id,
        "mode": grant.mode,
        "status": grant.status,
        "packs": list(grant.packs),
        "cameras_allowed": grant.cameras_allowed,
        "sequence": grant.sequence,
        "not_before": _date(grant.not_before),
        "durations": dict(grant.durations),
        "components": dict(grant.components),
    }


def _license(grant: Grant, license_key: str) -> dict[str, Any]:
    return {
        "id": _id("license", grant),
        "type": "licenses",
        "attributes": {
            "name": None,
            "key": license_key,
            "expiry": _date(grant.valid_until),
            "status": _KEYGEN_STATUS.get(grant.status, "ACTIVE"),
            "suspended": grant.status == "suspended",
            "metadata": {},
            "created": render(grant.issued),
            "updated": render(grant.issued),
        },
        "relationships": {"policy": {"data": {"type": "policies", "id": _id("policy", grant)}}},
    }


def _date(at: datetime | None) -> str | None:
    return None if at is None else render(at)


def _id(role: str, grant: Grant) -> str:
    """An id as Keygen's clients want one: the same for the same subject."""
    return str(uuid5(NAMESPACE_URL, f"{role}\n{grant.tenant_id}\n{grant.device_id}\n{grant.camera_id}"))
