"""What the rest of the agent may ask of the plugins: who they are and how they feel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """One plugin as found on this machine: what it adds, or why it was disabled.

    ``distribution`` and ``version`` are the package's; ``quotas`` the meters that it limits; ``hooks`` those it
    implements; ``failures`` its calls that raised since it was loaded, ``error`` the latest problem, ``pending`` what
    a restart would change, since the package has. ``dropped`` counts the events that it was too slow to hear of,
    ``behind`` those that its sinks have not taken yet (``None``: it has no sink, or nobody knows).
    """

    name: str
    distribution: str
    version: str
    enabled: bool
    first_party: bool = False
    error: str | None = None
    pending: str | None = None
    failures: int = 0
    features: tuple[str, ...] = ()
    packs: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    quotas: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    dropped: int = 0
    behind: int | None = None


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

    async def doctor(self) -> Mapping[str, Sequence[Health]]:
        """What every plugin's health and doctor checks say, and the agent's own trouble with it, by its name."""
        ...
