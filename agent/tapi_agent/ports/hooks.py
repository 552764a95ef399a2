"""What services ask of the plugins' hooks, one plugin at a time. What a plugin does wrong is dealt with behind it.

Every call runs on the plugin's own thread under its time limit. ``plugin`` is always the name of its entry point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta  # noqa: TC003 - what plugins return is validated by these annotations
from decimal import Decimal  # noqa: TC003 - likewise
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.collection import Span
    from tapi_agent.domain.delivery import WireBatch
    from tapi_agent.domain.usage import Meter, UsageEvent

    Heard = UsageEvent | WireBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """How much of a meter was used by a resource at a time (UTC); ``quantity`` is in the meter's unit, exact."""

    resource_id: str
    quantity: Decimal
    at: datetime
    camera_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginJob:
    """Work that a plugin wants done ``every`` so often; ``name`` is its own among the plugin's."""

    plugin: str
    name: str
    every: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOffer:
    """A plugin's sink, ``name`` being its own among the plugin's; ``since_beginning``: it wants the past as well."""

    plugin: str
    name: str
    since_beginning: bool

    @property
    def key(self) -> str:
        """What its cursor is kept under."""
        return f"{self.plugin}/{self.name}"


class Hearing(StrEnum):
    """A hook that is told what happened to usage."""

    RECORDED = "usage_recorded"
    DELIVERED = "usage_delivered"


class Samplers(Protocol):
    """The plugins that say what was used (``collect_usage``)."""

    def sampled(self) -> Sequence[tuple[str, Meter]]:
        """Every meter that is to be asked for now, with its plugin."""
        ...

    async def sample(self, plugin: str, meter: Meter, span: Span) -> Sequence[UsageSample] | None:
        """What was used in the span, by the plugin's own account; ``None`` when it gave none."""
        ...

    async def blame(self, plugin: str, problem: str) -> None:
        """What it said cannot be recorded: a failure like any other."""
        ...


class Listeners(Protocol):
    """The plugins that hear what happened."""

    def listening(self, hearing: Hearing) -> Sequence[str]:
        """Who implements the hook, and is not disabled."""
        ...

    async def tell(self, plugin: str, hearing: Hearing, items: Sequence[Heard]) -> int:
        """Tell a plugin of these, in order; returns how many are done with: told, failed over, or nobody is there."""
        ...


class Jobs(Protocol):
    """The plugins' periodic work."""

    def jobs(self) -> Sequence[PluginJob]:
        """All of it."""
        ...

    async def work(self, plugin: str, job: str) -> None:
        """Do it once; nothing when it is not there any more."""
        ...


class Sinks(Protocol):
    """The plugins' export targets."""

    def sinks(self) -> Sequence[SinkOffer]:
        """All of them."""
        ...

    async def send(self, sink: SinkOffer, events: Sequence[UsageEvent]) -> str | None:
        """``None`` once the sink has taken them, otherwise why not."""
        ...
