"""What the rest of the agent may ask of the plugins: who they are and how they feel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """One plugin as found on this machine: what it adds, or why it was disabled.

    ``distribution`` and ``version`` are the package's; ``hooks`` those it implements; ``failures`` its hook calls that
    raised since the start.
    """

    name: str
    distribution: str
    version: str
    enabled: bool
    error: str | None = None
    failures: int = 0
    features: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One thing looked at: whether it is well, in words, and what to do when it is not."""

    name: str
    healthy: bool
    detail: str = ""
    fix: str = ""


class Plugins(Protocol):
    """All plugins, loaded or not."""

    def report(self) -> Sequence[PluginReport]:
        """Every plugin found, in the order of loading."""
        ...

    async def health(self) -> Sequence[Health]:
        """What the plugins' own health checks say; a failing check is an unhealthy one."""
        ...
