"""What this machine is told by: hashed marks of its parts. Implements ``ports.leases.MachineIdentity``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hardware:
    """The parts of this machine that an unprivileged service can read."""

    def components(self) -> Mapping[str, str]:
        """Hashed marks by name."""
        return {}
