"""Signed leases: who tells a genuine one, and what this machine is told by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.lease import Lease


class LeaseReader(Protocol):
    """Reads lease files (2-licensing, Lease file): verifies the signature, then decrypts, then parses."""

    @property
    def key_ids(self) -> Sequence[str]:
        """The trusted keys, by id; none means that no lease can be genuine and classic evidence counts."""
        ...

    def split(self, text: str) -> Sequence[str]:
        """The lease files in a text that holds one or more; raises ``LeaseRefusedError`` for anything else in it."""
        ...

    def read(self, text: str) -> Lease:
        """The contents of a genuine lease file; raises ``LeaseRefusedError`` (EVIDENCE_INVALID, KEY_UNKNOWN)."""
        ...


class MachineIdentity(Protocol):
    """What this machine is told by, without naming it."""

    def components(self) -> Mapping[str, str]:
        """Hashed marks by name (``domain.binding``), as far as an unprivileged service can read them."""
        ...
