"""Reads lease files: armor, envelope, signature, and only then the contents. Implements ``ports.leases.LeaseReader``.

Owns the order of these steps and what each failure means to the operator. Called by ``services.licensing`` and
``license inspect``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.leases.armor import damaged, split, unwrap
from tapi_agent.adapters.leases.canonical import from_base64, json_object
from tapi_agent.adapters.leases.contents import key_named, lease_of
from tapi_agent.adapters.leases.decryption import plaintext
from tapi_agent.adapters.leases.envelope import Algorithm, envelope
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.adapters.leases.envelope import Envelope
    from tapi_agent.domain.lease import Lease


class LeaseFiles:
    """Genuine is what one of ``keys`` (raw Ed25519 public keys in hexadecimal, by id) has signed.

    A key whose id is its own digits has no name: what it has signed may name any.

    Encrypted files open with ``license_key`` and, where they are made for a machine, ``fingerprint``, the device id.
    """

    def __init__(self, *, keys: Mapping[str, str], license_key: str | None, fingerprint: str) -> None:
        self._keys = dict(keys)
        self._license_key = license_key
        self._fingerprint = fingerprint

    @property
    def key_ids(self) -> Sequence[str]:
        """The trusted keys, by id."""
        return tuple(self._keys)

    def split(self, text: str) -> Sequence[str]:
        """The lease files in ``text``, one after another, unread; raises ``LeaseRefusedError`` for a damaged one."""
        return split(text)

    def read(self, text: str) -> Lease:
        """The contents of a genuine lease file; raises ``LeaseRefusedError``, whatever ``text`` is."""
        sealed = self._envelope(text)
        key_id = sealed.signer(self._keys)
        if key_id is None:
            raise self._not_signed(sealed)
        try:
            contents = plaintext(sealed, license_key=self._license_key, fingerprint=self._fingerprint)
            document = json_object(contents)
            self._check_named(document, key_id)
            return lease_of(document, kind=sealed.kind, key_id=key_id)
        except ValueError as error:
            raise LeaseRefusedError(
                f"the lease is genuine, but not in the form agreed: {error}",
                reason=Reason.EVIDENCE_INVALID,
                fix="update the agent, or tell the operators of the billing service",
            ) from error

    def _envelope(self, text: str) -> Envelope:
        if not self._keys:
            raise LeaseRefusedError(
                "no key is trusted, so that no lease can be told for genuine",
                reason=Reason.KEY_UNKNOWN,
                fix="set TRUSTED_KEYS to the public key of the billing service",
            )
        try:
            return envelope(unwrap(text))
        except ValueError as error:
            raise damaged(str(error)) from error

    def _check_named(self, document: Mapping[str, object], key_id: str) -> None:
        nameless = self._keys[key_id] == key_id
        if not nameless and key_named(document) not in {None, key_id}:
            raise ValueError("metadata.tapi.kid is another key than the one that has signed")

    def _not_signed(self, sealed: Envelope) -> LeaseRefusedError:
        if self._names_unknown_key(sealed):
            return LeaseRefusedError(
                "the lease names a key as its signer's that is not trusted",
                reason=Reason.KEY_UNKNOWN,
                fix="if the billing service has a new key, add it to TRUSTED_KEYS",
            )
        return LeaseRefusedError(
            "the lease bears no signature of a trusted key: it was changed on its way, or another key has signed it",
            reason=Reason.EVIDENCE_INVALID,
            fix="ask for the lease again; if the billing service has a new key, add it to TRUSTED_KEYS",
        )

    def _names_unknown_key(self, sealed: Envelope) -> bool:
        """Looked up in what nobody vouches for: it chooses between two refusals, nothing else."""
        if sealed.algorithm is not Algorithm.PLAIN:
            return False
        try:
            named = key_named(json_object(from_base64(sealed.enc)))
        except ValueError:
            return False
        return named is not None and named not in self._keys
