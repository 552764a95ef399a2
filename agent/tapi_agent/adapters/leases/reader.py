"""Reads lease files. Implements ``ports.leases.LeaseReader``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.lease import Lease


class LeaseFiles:
    """Genuine is what one of ``keys`` (raw Ed25519 public keys in hexadecimal, by id) has signed."""

    def __init__(self, *, keys: Mapping[str, str], license_key: str | None, fingerprint: str) -> None:
        self._keys = dict(keys)
        self._license_key = license_key
        self._fingerprint = fingerprint

    @property
    def key_ids(self) -> Sequence[str]:
        """The trusted keys, by id."""
        return tuple(self._keys)

    def read(self, text: str) -> Lease:
        """The contents of a genuine lease file."""
        raise LeaseRefusedError(f"no key: {text[:20]}", reason=Reason.KEY_UNKNOWN)
