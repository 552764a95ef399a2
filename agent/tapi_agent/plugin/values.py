"""Values that exist for plugins only: what hooks return besides features, packs, meters and health."""

from __future__ import annotations

from collections.abc import Callable, Sequence  # noqa: TC003 - what plugins return is validated by these annotations
from dataclasses import dataclass
from datetime import timedelta  # noqa: TC003 - likewise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tapi_agent.domain.usage import UsageEvent


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
