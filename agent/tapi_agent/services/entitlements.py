"""May this camera use this feature? Answered from a table, compiled as it is asked for, dropped when anything changes.

Owns the table and how long it holds. The rules are ``domain.entitlement``; licenses are looked up through
``ports.entitlements``. Called by the API for every check, so the way through is two dictionary lookups and a deadline
(ADR 0021): no I/O, nothing to await.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent import telemetry
from tapi_agent.domain.entitlement import decide
from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.holder import NEVER, Holder, common, holder_of
from tapi_agent.domain.ids import EPOCH, TENANT
from tapi_agent.domain.license import Contact, LicenseState, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tapi_agent.domain.catalog import Catalog
    from tapi_agent.domain.decision import Decision
    from tapi_agent.domain.features import Tier
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import LicenseMode, Standing
    from tapi_agent.ports.clock import TrustedClock
    from tapi_agent.ports.entitlements import HeldLicense, Licenses

_GLANCE: Final = timedelta(milliseconds=50)
"""Longest time between two looks at the trusted clock: it may jump, and reading it costs more than ten checks."""


class _Row(dict[str, "Decision"]):
    """The decisions of all who hold the same, each made when it is first asked for."""

    def __init__(self, catalog: Catalog, holder: Holder) -> None:
        super().__init__()
        self._catalog = catalog
        self._holder = holder

    def __missing__(self, feature: str) -> Decision:
        telemetry.ENTITLEMENT_DECISIONS.inc()
        decision = decide(feature, self._catalog, self._holder)
        if feature in self._catalog.features:  # what callers make up must not fill the memory
            self[feature] = decision
        return decision


@dataclass(slots=True, kw_only=True)
class _Table:
    """What has been decided on the licenses of one generation, good until the first of them changes by itself."""

    generation: int = -1
    cameras: frozenset[CameraId] = frozenset()
    until: datetime = NEVER
    rows: dict[CameraId, _Row] = field(default_factory=dict)
    classes: dict[Holder, _Row] = field(default_factory=dict)


class Entitlements:
    """The decisions of this device. ``tiers`` says which components a mode brings; ``monotonic`` is in seconds."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        licensing: Licenses,
        clock: TrustedClock,
        monotonic: Callable[[], float],
        tiers: Mapping[LicenseMode, Tier],
    ) -> None:
        self._catalog = catalog
        self._licensing = licensing
        self._clock = clock
        self._monotonic = monotonic
        self._tiers = tiers
        self._table = _Table()
        self._now = EPOCH
        self._looked = self._look_at = float("-inf")
        self._checks = 0

    @property
    def generation(self) -> int:
        """Rises whenever a decision may have changed."""
        return self._licensing.generation

    def check(self, feature: str, camera_id: CameraId | None = None) -> Decision:
        """May ``feature`` be used by a camera, or without one by the tenant. Equal questions share one decision."""
        self._keep_up()
        self._checks += 1
        row = self._table.rows.get(camera_id or TENANT)
        if row is None:
            row = self._compile(camera_id or TENANT)
        return row[feature]

    def table(self, camera_id: CameraId | None = None) -> Sequence[Decision]:
        """The decision on every feature of the catalog."""
        return [self.check(feature, camera_id) for feature in self._catalog.features]

    def holder(self, camera_id: CameraId) -> Holder:
        """What a camera, or the tenant, holds right now: all that the decisions about it are made of."""
        self._keep_up()
        return self._holder(camera_id)

    def decisions(self, holder: Holder) -> Sequence[Decision]:
        """The decision on every feature of the catalog, for all who hold this; none is kept."""
        return [decide(feature, self._catalog, holder) for feature in self._catalog.features]

    def unknown_packs(self) -> frozenset[str]:
        """Packs that evidence names and no plugin knows: they grant nothing until one does."""
        words = (self._licensing.view(camera_id).evidence for camera_id in (TENANT, *self._licensing.cameras()))
        return self._catalog.resolve(name for word in words if word for name in word.packs)[1]

    def _keep_up(self) -> None:
        if self._monotonic() >= self._look_at or self._licensing.generation != self._table.generation:
            self._look()

    def _look(self) -> None:
        """Look at the trusted clock; start anew when a new word, a passed deadline or a clock set back demands it."""
        before, self._now, self._looked = self._now, self._clock.now(), self._monotonic()
        generation = self._licensing.generation
        if generation != self._table.generation or not before <= self._now < self._table.until:
            self._table = _Table(generation=generation, cameras=frozenset(self._licensing.cameras()))
        self._set_alarm(NEVER)
        telemetry.ENTITLEMENT_CHECKS.inc(self._checks)  # here, since counting each would cost more than the check
        self._checks = 0

    def _set_alarm(self, until: datetime) -> None:
        """Look again at the first deadline of the table, or soon."""
        self._table.until = min(until, self._table.until)
        self._look_at = self._looked + min(_GLANCE, self._table.until - self._now).total_seconds()

    def _compile(self, camera_id: CameraId) -> _Row:
        table, holder = self._table, self._holder(camera_id)
        self._set_alarm(holder.until)
        row = table.classes.setdefault(holder, _Row(self._catalog, holder))
        if camera_id == TENANT or camera_id in table.cameras:  # what callers make up must not fill the memory
            table.rows[camera_id] = row
        return row

    def _holder(self, camera_id: CameraId) -> Holder:
        tenant = self._held(TENANT)
        if camera_id in self._table.cameras:
            return self._held(camera_id).sharing(tenant, self._catalog)
        if camera_id == TENANT:
            return tenant if tenant.in_force or tenant.mode else common(self._licensed() or [tenant], self._catalog)
        return tenant if self._takes_strangers(tenant) else Holder(known=False, generation=self._table.generation)

    def _held(self, camera_id: CameraId) -> Holder:
        view = self._licensing.view(camera_id)
        return holder_of(
            view.evidence,
            self._current(view),
            source=view.tier,
            catalog=self._catalog,
            tiers=self._tiers,
            generation=self._table.generation,
        )

    def _current(self, view: HeldLicense) -> Standing:
        """The standing now. When licensing is late with a transition (sleep, a busy loop), silence is assumed."""
        following = view.standing.next_transition
        if view.evidence is None or following is None or self._now < following.at:
            return view.standing
        self._set_alarm(self._now)  # licensing may find the same state as before, and would then announce nothing
        return evaluate(view.evidence, now=self._now, contact=Contact(lost=True))

    def _licensed(self) -> list[Holder]:
        """What stands for the tenant while no word on itself is known: every camera that is not one too many."""
        held = map(self._held, self._table.cameras)
        return [one for one in held if one.standing.reason is not Reason.CAMERA_LIMIT]

    def _takes_strangers(self, tenant: Holder) -> bool:
        """Whether the tenant's license covers a camera that nobody has registered: only if it sets no limit."""
        word = self._licensing.view(TENANT).evidence
        unlimited = word is None or word.cameras_allowed is None
        return unlimited and tenant.standing.state in {LicenseState.VALID, LicenseState.OFFLINE}
