"""Opens lease files as the published form says, with ``cryptography`` alone: no code of the agent or the sandbox."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = re.compile(r"-----BEGIN MACHINE FILE-----\n([A-Za-z0-9+/=\n]+)-----END MACHINE FILE-----\n")
NONCE = "0123456789abcdef" * 2
MARKS = {"dmi_uuid": "a" * 64, "mac_eth0": "b" * 64}


def opened(text: str, public_key: str, *, license_key: str | None = None, fingerprint: str = "device") -> Any:
    """The document in a lease file. ``InvalidSignature`` or ``InvalidTag`` when a key does not fit."""
    envelope = FILE.fullmatch(text)
    assert envelope, text
    sealed = json.loads(b64decode(envelope[1]))
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
        b64decode(sealed["sig"]), f"machine/{sealed['enc']}".encode()
    )
    if license_key is None:
        assert sealed["alg"] == "base64+ed25519"
        return json.loads(b64decode(sealed["enc"]))
    assert sealed["alg"] == "aes-256-gcm+ed25519"
    secret, iv, tag = map(b64decode, sealed["enc"].split("."))
    key = sha256(f"{license_key}{fingerprint}".encode()).digest()
    return json.loads(AESGCM(key).decrypt(iv, secret + tag, None))


def verifies(text: str, public_key: str) -> bool:
    try:
        opened(text, public_key)
    except InvalidSignature:
        return False
    return True


def word(document: Mapping[str, Any]) -> Any:
    """What is said of the license, in the members of our own."""
    return document["data"]["attributes"]["metadata"]["tapi"]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
