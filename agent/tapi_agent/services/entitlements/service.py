"""The decisions of this device: a table that is dropped when anything changes, or when a deadline in it has passed.

Owns the table and how long it holds. The rules are ``domain.entitlement``; licenses, the service's words and quotas are
looked up through ``ports.entitlements``. Called by the API for every check, so the way through is two dictionary
lookups and a deadline (ADR 0021): no I/O, nothing to await.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent import telemetry
from tapi_agent.domain.decision import Answer
from tapi_agent.domain.entitlement import Rulebook, decide, metered
from tapi_agent.domain.holder import NEVER
from tapi_agent.domain.ids import EPOCH, TENANT
from tapi_agent.services.entitlements.standings import Standings
from tapi_agent.services.entitlements.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tapi_agent.domain.catalog import Catalog
    from tapi_agent.domain.decision import Decision
    from tapi_agent.domain.features import Tier
    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import LicenseMode
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.entitlements import FeatureWords, Licenses, QuotaFiguresSource
    from tapi_agent.services.entitlements.table import Place

_GLANCE: Final = timedelta(milliseconds=50)
"""Longest time between two looks at the trusted clock, which may jump, and at quotas: either costs ten checks."""


class Entitlements:
    """The decisions of this device. ``tiers`` says which components a mode brings; ``monotonic`` is in seconds."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        catalog: Catalog,
        licensing: Licenses,
        words: FeatureWords,
        quotas: QuotaFiguresSource,
        clock: TrustedClock,
        monotonic: Callable[[], float],
        tiers: Mapping[LicenseMode, Tier],
    ) -> None:
        self._catalog = catalog
        self._licensing = licensing
        self._words = words
        self._quotas = quotas
        self._clock = clock
        self._monotonic = monotonic
        self._standings = Standings(licensing=licensing, tiers=tiers)
        self._table = Table(rules=Rulebook(catalog=catalog))
        self._editions = 0
        self._now = EPOCH
        self._looked = self._look_at = float("-inf")
        self._checks = 0
        self._limited: dict[int, Decision] = {}

    @property
    def generation(self) -> int:
        """Rises whenever a decision may have changed for another reason than time or a quota."""
        return self._licensing.generation + self._editions

    @property
    def edition(self) -> int:
        """Rises whenever the catalog or a word on a feature has changed."""
        return self._editions

    @property
    def catalog(self) -> Catalog:
        """Every feature and pack that is known."""
        return self._catalog

    def meter_of(self, feature: str) -> str | None:
        """What the use of a feature runs on; ``None`` for nothing, or a feature that nobody declares."""
        declared = self._catalog.features.get(feature)
        return declared.meter if declared else None

    def adopt(self, catalog: Catalog) -> None:
        """Go on with another catalog: plugins were added."""
        self._catalog = catalog
        self.start_over()

    def start_over(self) -> None:
        """The rules have changed: decide everything anew."""
        self._editions += 1
        self._table.generation = -1
        self._look_at = float("-inf")

    def check(self, feature: str, camera_id: CameraId | None = None) -> Decision:
        """May ``feature`` be used by a camera, or without one by the tenant. Equal questions share one decision."""
        decision = self._place(camera_id or TENANT).row[feature]
        return decision if decision.meter is None else self._limited.get(id(decision)) or self._limit(decision)

    def answer(self, feature: str, camera_id: CameraId | None = None) -> Answer:
        """The same, with what is this camera's own."""
        decision, holder = self.check(feature, camera_id), self._place(camera_id or TENANT).holder
        return Answer(
            decision=decision,
            freshness=holder.freshness,
            following=holder.standing.next_transition,
            generation=self.generation,
        )

    def table(self, camera_id: CameraId | None = None) -> Sequence[Answer]:
        """The answer on every feature of the catalog."""
        return [self.answer(feature, camera_id) for feature in self._catalog.features]

    def holder(self, camera_id: CameraId) -> Holder:
        """What a camera, or the tenant, holds right now: all that the decisions about it are made of."""
        return self._place(camera_id).holder

    def decisions(self, holder: Holder) -> Sequence[Decision]:
        """The decision on every feature of the catalog, for all who hold this; none is kept."""
        self._keep_up()
        rules = self._table.rules
        return [self._metered(decide(feature, rules, holder)) for feature in rules.catalog.features]

    def spent(self) -> frozenset[str]:
        """The meters whose hard quota is used up."""
        meters = {feature.meter for feature in self._catalog.features.values() if feature.meter}
        figures = {meter: self._quotas.figures(meter) for meter in meters}
        return frozenset(meter for meter, one in figures.items() if one and one.spent and not one.soft)

    def unknown_packs(self) -> frozenset[str]:
        """Packs that evidence names and no plugin knows: they grant nothing until one does."""
        words = (self._licensing.view(camera_id).evidence for camera_id in (TENANT, *self._licensing.cameras()))
        return self._catalog.resolve(name for word in words if word for name in word.packs)[1]

    def _limit(self, decision: Decision) -> Decision:
        """Under its meter's quota as it stands at this glance; the table keeps the decision, and so its identity."""
        limited = self._limited[id(decision)] = self._metered(decision)
        return limited

    def _metered(self, decision: Decision) -> Decision:
        return decision if decision.meter is None else metered(decision, self._quotas.figures(decision.meter))

    def _place(self, camera_id: CameraId) -> Place:
        self._keep_up()
        self._checks += 1
        return self._table.places.get(camera_id) or self._compile(camera_id)

    def _keep_up(self) -> None:
        if self._monotonic() >= self._look_at or self._licensing.generation != self._table.generation:
            self._look()

    def _look(self) -> None:
        """Look at the trusted clock; start anew when a new word, a passed deadline or a clock set back demands it."""
        before, self._now, self._looked = self._now, self._clock.now(), self._monotonic()
        self._limited.clear()
        generation = self._licensing.generation
        if generation != self._table.generation or not before <= self._now < self._table.until:
            self._begin(generation)
        self._set_alarm()
        telemetry.ENTITLEMENT_CHECKS.inc(self._checks)  # here, since counting each would cost more than the check
        self._checks = 0

    def _begin(self, generation: int) -> None:
        words = self._words.view()
        self._table = Table(
            rules=Rulebook(catalog=self._catalog, overrides=dict(self._in_force())),
            generation=generation,
            cameras=frozenset(self._licensing.cameras()),
            until=min(
                (word.valid_until for word in words.values() if word.valid_until and word.grants(self._now)),
                default=NEVER,
            ),
        )

    def _in_force(self) -> Iterator[tuple[str, bool]]:
        """What the service's words come to now; a grant that has ended says nothing."""
        for feature, word in self._words.view().items():
            if not word.enabled or word.grants(self._now):
                yield feature, word.enabled

    def _set_alarm(self) -> None:
        """Look again at the first deadline of the table, or soon."""
        self._look_at = self._looked + min(_GLANCE, self._table.until - self._now).total_seconds()

    def _compile(self, camera_id: CameraId) -> Place:
        table = self._table
        holder = self._standings.holder(camera_id, table, self._now)
        table.until = min(holder.until, table.until)
        self._set_alarm()
        place = table.place(holder, self._words.interested)
        if camera_id == TENANT or camera_id in table.cameras:  # what callers make up must not fill the memory
            table.places[camera_id] = place
        return place
