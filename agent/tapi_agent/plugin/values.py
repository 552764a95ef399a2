"""Values that exist for plugins only: what hooks return besides features, packs, meters and health."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003 - what plugins return is validated by these annotations
from dataclasses import dataclass
from datetime import datetime, timedelta  # noqa: TC003 - likewise
from decimal import Decimal  # noqa: TC003 - likewise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tapi_agent.domain.usage import UsageEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """How much of a meter was used by a resource at a time (UTC); ``quantity`` is in the meter's unit, exact."""

    resource_id: str
    quantity: Decimal
    at: datetime
    camera_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """A limit on a meter per ``month`` or ``day`` (UTC): -1 is unlimited, 0 disabled; a ``soft`` one bills the rest."""

    meter: str
    limit: int
    period: str = "month"
    soft: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work to be done ``every`` so often, on the plugin's own thread and under its time limit."""

    name: str
    every: timedelta
    run: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand of ``tapi-agent``: ``run`` takes its arguments and returns the exit code."""

    name: str
    help: str
    run: Callable[[Sequence[str]], int]


@runtime_checkable
class UsageSink(Protocol):
    """An extra place to which recorded usage is exported, with a cursor of its own."""

    name: str

    def send(self, events: Sequence[UsageEvent]) -> None:
        """Take the events, in order; raise to be given the same ones again."""
        ...
