"""Which plugins are installed, in the order in which they are loaded. Imports none of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import distributions
from itertools import chain
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "tapi_agent"
FIRST_PARTY = frozenset(
    {
        "tapi-agent",
        "tapi-agent-advanced-vehicles",
        "tapi-agent-airports",
        "tapi-agent-api-integration",
        "tapi-agent-cloud-storage",
        "tapi-agent-cloudevents",
        "tapi-agent-data",
        "tapi-agent-emergency-vehicles",
        "tapi-agent-integration",
        "tapi-agent-intelligence",
        "tapi-agent-mining",
        "tapi-agent-retail",
        "tapi-agent-storage-meter",
        "tapi-agent-waterways",
        "tapi-agent-webhook",
    }
)
"""Distributions that come from the makers of the agent: loaded first, and free to sell each other's features.

Each by its name: whoever chooses a name that begins like ours must not be free to sell ours.
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plugin as announced by its distribution."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    @property
    def first_party(self) -> bool:
        """Whether it comes with the agent or from its makers."""
        return self.distribution in FIRST_PARTY


def discover() -> list[Candidate]:
    """Every announced plugin: first-party, then alphabetical by distribution; the first copy on the path counts."""
    found: dict[str, list[Candidate]] = {}
    for candidates in map(_announced, distributions()):
        for distribution in {one.distribution for one in candidates}:
            found.setdefault(distribution, candidates)
    return sorted(
        chain.from_iterable(found.values()), key=lambda one: (not one.first_party, one.distribution, one.name)
    )


def _announced(distribution: Distribution) -> list[Candidate]:
    try:
        return [
            Candidate(
                name=entry_point.name,
                distribution=normalized(distribution.name),
                version=distribution.version,
                entry_point=entry_point,
            )
            for entry_point in distribution.entry_points.select(group=GROUP)
        ]
    except Exception as error:  # noqa: BLE001 - broken metadata of any package on the machine must not stop the agent
        _log.warning("distribution_unreadable", distribution=repr(distribution), error=repr(error))
        return []


def normalized(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
