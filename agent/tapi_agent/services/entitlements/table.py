"""The table of decisions: camera, class of cameras that hold the same, feature. Owns its memory, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tapi_agent import telemetry
from tapi_agent.domain.entitlement import decide, source_pack
from tapi_agent.domain.holder import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tapi_agent.domain.decision import Decision
    from tapi_agent.domain.entitlement import Rulebook
    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import CameraId


Shared = dict[tuple[str, str | None], "Decision"]
"""Decisions by feature and the pack that brings it, on those who stand the same whatever their packs."""


class Row(dict[str, "Decision"]):
    """The decisions of all who hold the same, each made when it is first asked for; ``noted`` hears of which."""

    def __init__(self, rules: Rulebook, holder: Holder, shared: Shared, noted: Callable[[str], None]) -> None:
        super().__init__()
        self._rules = rules
        self._holder = holder
        self._shared = shared
        self._noted = noted

    def __missing__(self, key: str) -> Decision:
        feature = self._rules.catalog.features.get(key)
        if feature is None:  # what callers make up must not fill the memory
            return decide(key, self._rules, self._holder)
        self._noted(key)
        place = (key, source_pack(feature, self._rules, self._holder))
        decision = self[key] = self._shared.get(place) or self._decide(place)
        return decision

    def _decide(self, place: tuple[str, str | None]) -> Decision:
        telemetry.ENTITLEMENT_DECISIONS.inc()
        decision = self._shared[place] = decide(place[0], self._rules, self._holder)
        return decision


@dataclass(frozen=True, slots=True)
class Place:
    """One camera in the table: the row of its class, and what is its own (how old its evidence is, what follows)."""

    row: Row
    holder: Holder


@dataclass(slots=True, kw_only=True)
class Table:
    """What has been decided by one rulebook on the licenses of one generation, good ``until`` the first deadline."""

    rules: Rulebook
    generation: int = -1
    cameras: frozenset[CameraId] = frozenset()
    until: datetime = NEVER
    places: dict[CameraId, Place] = field(default_factory=dict)
    classes: dict[Holder, Row] = field(default_factory=dict)
    shared: dict[Holder, Shared] = field(default_factory=dict)

    def place(self, holder: Holder, noted: Callable[[str], None]) -> Place:
        """Where somebody who holds this belongs: with all those who hold the same at another time."""
        timeless = holder.timeless()
        row = self.classes.get(timeless)
        if row is None:
            shared = self.shared.setdefault(timeless.packless(), {})
            row = self.classes[timeless] = Row(self.rules, timeless, shared, noted)
        return Place(row, holder)
