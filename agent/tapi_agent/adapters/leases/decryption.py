"""The contents of an envelope whose signature has been verified: decrypted where they are encrypted.

The key is the SHA-256 of the license key, followed in a machine file by the device id. Called by the reader.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tapi_agent.adapters.leases.canonical import from_base64
from tapi_agent.adapters.leases.envelope import Algorithm
from tapi_agent.domain.lease import LeaseKind, LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from tapi_agent.adapters.leases.envelope import Envelope

_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16


def plaintext(envelope: Envelope, *, license_key: str | None, fingerprint: str) -> bytes:
    """What is within; ``ValueError`` when it is not in the form of its ``alg``.

    Raises ``LeaseRefusedError`` where a setting is missing or wrong: the file itself is genuine.
    """
    if envelope.algorithm is Algorithm.PLAIN:
        return from_base64(envelope.enc)
    if license_key is None:
        raise LeaseRefusedError(
            "the lease is genuine, but it is encrypted, and no license key is set",
            reason=Reason.EVIDENCE_INVALID,
            fix="set LICENSE_KEY to the key of this license",
        )
    bound_to = fingerprint if envelope.kind is LeaseKind.MACHINE else ""
    return _decrypted(envelope.enc, license_key + bound_to)


def _decrypted(enc: str, secret: str) -> bytes:
    ciphertext, iv, tag = _parts(enc)
    key = hashlib.sha256(secret.encode(errors="replace")).digest()
    try:
        return AESGCM(key).decrypt(iv, ciphertext + tag, None)
    except InvalidTag as error:
        raise LeaseRefusedError(
            "the lease is genuine, but neither this license key nor this device id opens it",
            reason=Reason.EVIDENCE_INVALID,
            fix="correct LICENSE_KEY; if EDGE_DEVICE_ID has changed, set it back or ask for a lease for this device",
        ) from error


def _parts(enc: str) -> list[bytes]:
    parts = [from_base64(part) for part in enc.split(".")]
    if [len(part) for part in parts[1:]] != [_IV_BYTES, _TAG_BYTES]:
        raise ValueError("enc does not consist of ciphertext, iv and tag")
    return parts
