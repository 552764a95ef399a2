"""Signs documents as lease files, encrypted or not, right or wrong. Knows nothing of what they say (``minting``)."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_LINE: Final = 60
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16


def seal(
    contents: Mapping[str, Any],
    *,
    kind: str,
    signer: Ed25519PrivateKey,
    license_key: str | None = None,
    fingerprint: str = "",
) -> str:
    """Any document as a file of ``kind`` ("machine" or "license"), right or wrong: faults are made with this.

    The key of the encryption is made of ``license_key`` and, for a machine file, ``fingerprint``.
    """
    plain = json.dumps(contents, separators=(",", ":")).encode()
    if license_key is None:
        enc, alg = _text(plain), "base64+ed25519"
    else:
        secret = license_key + (fingerprint if kind == "machine" else "")
        enc, alg = _encrypted(plain, secret), "aes-256-gcm+ed25519"
    return sign(enc, alg, kind=kind, signer=signer)


def sign(enc: str, alg: str, *, kind: str, signer: Ed25519PrivateKey) -> str:
    """A file around contents that are wrapped already."""
    signature = signer.sign(f"{kind}/{enc}".encode())
    return armor({"enc": enc, "sig": _text(signature), "alg": alg}, kind=kind)


def armor(envelope: Mapping[str, str], *, kind: str) -> str:
    """The file around an envelope: lines of 60 characters between BEGIN and END."""
    body = _text(json.dumps(envelope, separators=(",", ":")).encode())
    lines = (body[start : start + _LINE] for start in range(0, len(body), _LINE))
    title = f"{kind.upper()} FILE"
    return "\n".join([f"-----BEGIN {title}-----", *lines, f"-----END {title}-----", ""])


def _encrypted(plain: bytes, secret: str) -> str:
    iv = os.urandom(_IV_BYTES)
    sealed = AESGCM(hashlib.sha256(secret.encode()).digest()).encrypt(iv, plain, None)
    return ".".join(map(_text, (sealed[:-_TAG_BYTES], iv, sealed[-_TAG_BYTES:])))


def _text(data: bytes) -> str:
    return b64encode(data).decode()
