"""Signed leases on this box: is one genuine, of this tenant, made for this machine; and what evidence is it.

One path for what comes with a reply, from a tier, or in a file that somebody carried here. Decides no state and stores
nothing. Called by the refresher, the evidence store and the import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.domain.binding import compare
from tapi_agent.domain.lease import LeaseRefusedError, evidence_of
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from tapi_agent.domain.lease import Lease
    from tapi_agent.domain.license import Evidence, Subject
    from tapi_agent.ports.leases import LeaseReader, MachineIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A genuine lease for this box, the evidence it is, and which marks of the machine have changed since."""

    lease: Lease
    evidence: Evidence
    drifted: tuple[str, ...]


class Leases:
    """Examines leases. ``max_offline``: LEASE_MAX_OFFLINE_HOURS."""

    def __init__(
        self, *, reader: LeaseReader, machine: MachineIdentity, tenant: Subject, max_offline: timedelta | None = None
    ) -> None:
        self._reader = reader
        self._machine = machine
        self._tenant = tenant
        self._max_offline = max_offline

    @property
    def key_ids(self) -> Sequence[str]:
        """The trusted keys, by id."""
        return self._reader.key_ids

    @property
    def trusted(self) -> bool:
        """Whether any key is trusted: then nothing but a lease is a verdict."""
        return bool(self._reader.key_ids)

    def components(self) -> Mapping[str, str]:
        """Hashed marks of this machine, by name."""
        return self._machine.components()

    def split(self, text: str) -> Sequence[str]:
        """The lease files in a text that holds one or several; raises ``LeaseRefusedError`` when it holds none."""
        return self._reader.split(text)

    def examine(self, text: str) -> Examined:
        """What a lease file is worth here; raises ``LeaseRefusedError`` when nothing."""
        lease = self._reader.read(text)
        self._require_ours(lease)
        match = compare(lease.components, self._machine.components())
        if not match.same_machine:
            raise LeaseRefusedError(
                f"the lease was made for another machine: {', '.join(match.drifted)} differ",
                reason=Reason.MACHINE_MISMATCH,
                fix="ask for a lease for this machine: tapi-agent license request",
            )
        evidence = evidence_of(lease, tenant=self._tenant, max_offline=self._max_offline)
        return Examined(lease=lease, evidence=evidence, drifted=match.drifted)

    def _require_ours(self, lease: Lease) -> None:
        if lease.device_id not in {None, self._tenant.device_id}:
            raise LeaseRefusedError(
                f"the lease was made for device {lease.device_id}, this is {self._tenant.device_id}",
                reason=Reason.MACHINE_MISMATCH,
                fix="ask for a lease for this device, or set EDGE_DEVICE_ID back to what it was",
            )
        if lease.tenant_id not in {None, self._tenant.tenant_id}:
            raise LeaseRefusedError(
                f"the lease is of tenant {lease.tenant_id}, this box is licensed to {self._tenant.tenant_id}",
                reason=Reason.EVIDENCE_INVALID,
                fix="correct TENANT_ID, or ask for a lease of this tenant",
            )
