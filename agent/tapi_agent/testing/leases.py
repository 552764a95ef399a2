"""Leases without cryptography: a reader that knows the files it has issued, and a machine with chosen parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason
from tapi_agent.services.licensing import Leases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.lease import Lease
    from tapi_agent.domain.license import Subject

_FILE: Final = re.compile(r"-----BEGIN [A-Z]+ FILE-----\n.*?-----END [A-Z]+ FILE-----\n", re.DOTALL)


class FakeLeases:
    """Implements ``ports.leases.LeaseReader``; without ``key_ids`` nothing is genuine, as on a box without keys."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids: Sequence[str] = key_ids
        self._issued: dict[str, Lease] = {}

    def issue(self, lease: Lease) -> str:
        """The text of a lease file which ``read`` will take for genuine while its key is trusted."""
        text = (
            f"-----BEGIN {lease.kind.upper()} FILE-----\n{len(self._issued)}\n-----END {lease.kind.upper()} FILE-----\n"
        )
        self._issued[text] = lease
        return text

    def split(self, text: str) -> Sequence[str]:
        """The files one after another; anything else beside them is refused."""
        parts = _FILE.findall(text)
        if not parts or _FILE.sub("", text).strip():
            raise LeaseRefusedError("there is no lease file in it", reason=Reason.EVIDENCE_INVALID)
        return parts

    def read(self, text: str) -> Lease:
        """The lease issued with this text."""
        if not self.key_ids:
            raise LeaseRefusedError("no key is trusted", reason=Reason.KEY_UNKNOWN)
        lease = self._issued.get(text)
        if lease is None:
            raise LeaseRefusedError("the signature is wrong", reason=Reason.EVIDENCE_INVALID)
        if lease.key_id not in self.key_ids:
            raise LeaseRefusedError(f"key {lease.key_id} is not trusted", reason=Reason.KEY_UNKNOWN)
        return lease


class FakeMachine:
    """Implements ``ports.leases.MachineIdentity``; ``parts`` may be changed."""

    def __init__(self, parts: Mapping[str, str] | None = None) -> None:
        self.parts = dict(parts or {})

    def components(self) -> Mapping[str, str]:
        """The parts as they are now."""
        return self.parts


def no_leases(tenant: Subject) -> Leases:
    """A box that trusts no key: classic evidence counts."""
    return Leases(reader=FakeLeases(), machine=FakeMachine(), tenant=tenant)
