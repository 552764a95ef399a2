"""A billing service with a key of its own, reduced to what it signs."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.sandbox.minting import Grant, document, mint
from tapi_agent.sandbox.sealing import seal, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

T: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
LICENSE_KEY: Final = "C1D2-LICENSE"
GRANT: Final = Grant(
    tenant_id="acme", device_id="box", camera_id="gate", issued=T, expiry=T + timedelta(days=30), sequence=7
)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs what it is asked to."""

    kid: str = "2027"
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def keys(self) -> dict[str, str]:
        """Its public key, as a box trusts it."""
        return {self.kid: self.private.public_key().public_bytes_raw().hex()}

    def mint(self, grant: Grant = GRANT, *, license_key: str | None = None, **fields: Any) -> str:
        return mint(replace(grant, **fields), signer=self.private, kid=self.kid, license_key=license_key)

    def document(self, **fields: Any) -> dict[str, Any]:
        """What a lease says, for a test to change."""
        return document(replace(GRANT, **fields), kid=self.kid)

    def seal(self, contents: Mapping[str, Any], *, kind: str = "machine", **wrapping: Any) -> str:
        return seal(contents, kind=kind, signer=self.private, **wrapping)

    def sign(self, enc: str, alg: str = "aes-256-gcm+ed25519") -> str:
        """A machine file around any contents, rightly signed."""
        return sign(enc, alg, kind="machine", signer=self.private)


def envelope(text: str) -> dict[str, str]:
    """The envelope in an armor."""
    return json.loads(b64decode("".join(text.split("\n")[1:-2])))


def reader(*authorities: Authority, license_key: str | None = None, fingerprint: str = "box") -> LeaseFiles:
    """A box that trusts these."""
    keys = {kid: key for authority in authorities for kid, key in authority.keys.items()}
    return LeaseFiles(keys=keys, license_key=license_key, fingerprint=fingerprint)
