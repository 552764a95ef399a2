"""The envelope in the armor: what was signed, the signature, and how the contents are wrapped.

Owns its form and the one rule of order: the signature is verified first, by this module, and nothing of ``enc`` is
decoded before (ADR 0061). Called by the reader.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tapi_agent.adapters.leases.canonical import from_base64, json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.adapters.leases.armor import Armored
    from tapi_agent.domain.lease import LeaseKind

_MEMBERS: Final = {"enc", "sig", "alg"}


class Algorithm(StrEnum):
    """How the contents are wrapped and signed."""

    PLAIN = "base64+ed25519"
    ENCRYPTED = "aes-256-gcm+ed25519"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """``enc`` as it was signed, with its signature."""

    kind: LeaseKind
    enc: str
    signature: bytes
    algorithm: Algorithm

    def signer(self, keys: Mapping[str, str]) -> str | None:
        """The id of the key among ``keys`` that has signed this; ``None`` when none has."""
        message = f"{self.kind}/{self.enc}".encode()
        return next((key_id for key_id, key in keys.items() if verifies(key, self.signature, message)), None)


def envelope(armored: Armored) -> Envelope:
    """The envelope in an armor; ``ValueError`` unless it is exactly that, in the shortest spelling of its JSON."""
    members = json_object(armored.document)
    texts = {name: value for name, value in members.items() if isinstance(value, str)}
    if members.keys() != _MEMBERS or texts.keys() != _MEMBERS:
        raise ValueError("its envelope does not consist of enc, sig and alg")
    if json.dumps(members, separators=(",", ":")).encode() != armored.document:
        raise ValueError("its envelope has superfluous spaces or escapes")
    if texts["alg"] not in set(Algorithm):
        raise ValueError(f"its alg is neither {' nor '.join(Algorithm)}")
    return Envelope(
        kind=armored.kind,
        enc=texts["enc"],
        signature=from_base64(texts["sig"]),
        algorithm=Algorithm(texts["alg"]),
    )


def verifies(key: str, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is that of the raw Ed25519 public key ``key`` (hexadecimal) over ``message``."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, message)
    except InvalidSignature:
        return False
    return True
