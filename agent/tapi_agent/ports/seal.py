"""Proof that something kept outside is what this device has put there."""

from __future__ import annotations

from typing import Protocol


class Seal(Protocol):
    """What a key of this device can do (``adapters.signing.DeviceKey``)."""

    def seal(self, payload: str, *, purpose: str) -> str:
        """The payload with its keyed digest."""
        ...

    def unseal(self, sealed: str, *, purpose: str) -> str:
        """The payload; raises ``IntegrityError`` when it is not what this device has sealed for ``purpose``."""
        ...
