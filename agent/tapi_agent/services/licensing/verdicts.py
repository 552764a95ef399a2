"""Every camera's state, derived: evidence, trusted time and contact go in, views and edges come out. No I/O.

Owns the standings and the camera limit in force; remembers a state only to notice that it has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.evaluation import beyond_limit, evaluate
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.evidence import camera_limit
from tapi_agent.domain.ids import STRANGER, TENANT, keyed_id
from tapi_agent.domain.license import Camera, Flag, LicenseState, Reason, Standing
from tapi_agent.domain.lifecycle import next_state, trigger_for
from tapi_agent.services.licensing.values import DeviceLicense, LicenseView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence, Transition
    from tapi_agent.services.licensing.contacts import Contacts
    from tapi_agent.services.licensing.store import EvidenceStore, Held
    from tapi_agent.services.licensing.values import Surroundings

MOST_CAMERAS: Final = 10_000
"""A bound for what local clients can make the agent remember."""


@dataclass(slots=True, kw_only=True)
class Tracked:
    """A camera, how it stands, since when, and on which evidence."""

    camera: Camera
    since: datetime
    standing: Standing
    held: Held | None = None


class Verdicts:
    """The cameras of this device."""

    def __init__(self, around: Surroundings, *, store: EvidenceStore, contacts: Contacts) -> None:
        self._tenant = around.tenant
        self._clock = around.clock
        self._bypass = around.policy.bypass
        self._store = store
        self._contacts = contacts
        self._tracked: dict[CameraId, Tracked] = {}
        self._limit: int | None = None
        self._beyond: frozenset[CameraId] = frozenset()
        self._started = around.clock.now()
        self.generation = 0

    def cameras(self) -> Sequence[CameraId]:
        """All cameras, in the order of their registration."""
        return [camera.camera_id for camera in self.roster()]

    def roster(self) -> Sequence[Camera]:
        """All cameras with the last edge of each."""
        cameras = (tracked.camera for tracked in self._tracked.values())
        return sorted(cameras, key=lambda camera: (camera.registered_at, camera.camera_id))

    def register(self, camera: Camera) -> bool:
        """Take up a camera in the state it was last known in; whether it is new. Raises ``InvalidInputError``."""
        if camera.camera_id in self._tracked:
            return False
        self.check(camera.camera_id)
        standing = Standing(state=camera.state, reason=Reason.NO_LICENSE)
        self.generation += 1
        self._tracked[camera.camera_id] = Tracked(camera=camera, since=camera.since, standing=standing)
        if self._limit is not None:
            self._count()
        return True

    def check(self, camera_id: CameraId) -> None:
        """Raise ``InvalidInputError`` if this camera cannot be registered."""
        is_one_more = camera_id not in self._tracked
        is_a_name = camera_id.isprintable() and camera_id not in {TENANT, STRANGER}
        if not is_a_name or (is_one_more and len(self._tracked) >= MOST_CAMERAS):
            raise InvalidInputError(
                f"camera {camera_id[:32]!r} cannot be registered",
                code="camera_refused",
                pointer="#/camera_id",
                fix=f"a device has at most {MOST_CAMERAS} cameras, with printable names other than {STRANGER!r}",
            )

    def backdate(self, camera_id: CameraId, registered_at: datetime) -> bool:
        """A known camera was registered earlier than is known; whether that is so."""
        tracked = self._tracked[camera_id]
        if tracked.camera.registered_at <= registered_at:
            return False
        tracked.camera = replace(tracked.camera, registered_at=registered_at)
        self.generation += 1
        return True

    def unregister(self, camera_id: CameraId) -> bool:
        """Forget a camera; whether it was known."""
        if self._tracked.pop(camera_id, None) is None:
            return False
        self.generation += 1
        return True

    def knows(self, camera_id: CameraId) -> bool:
        """Whether the camera is registered."""
        return camera_id in self._tracked

    def is_running(self, camera_id: CameraId) -> bool:
        """Whether a denial would take something away."""
        return self._tracked[camera_id].standing.state is not LicenseState.EXPIRED

    def due(self) -> bool:
        """Whether an announced transition has arrived."""
        now = self._clock.now()
        upcoming = (tracked.standing.next_transition for tracked in self._tracked.values())
        return any(transition is not None and transition.at <= now for transition in upcoming)

    def weigh(self) -> None:
        """What speaks about all cameras: the clock, and who is beyond the limit. Comes before deriving any state."""
        self._store.restamp(self._clock.now())
        self._count()

    def settle(self, camera_ids: Iterable[CameraId] | None = None) -> list[LicenseChanged]:
        """Derive the state of these cameras, or of all, anew; returns the edges. Calling it again changes nothing."""
        now = self._clock.now()
        if camera_ids is None:
            self.weigh()
        if camera_ids is None or self._limit_moved(camera_ids):
            camera_ids = self._tracked
        edges = (self._settle(camera_id, now) for camera_id in camera_ids)
        return [edge for edge in edges if edge is not None]

    def view(self, camera_id: CameraId) -> LicenseView:
        """How a camera stands; one that is not registered has at most the tenant's evidence."""
        tracked = self._tracked.get(camera_id) or self._untracked(camera_id)
        return LicenseView(
            camera_id=camera_id,
            standing=tracked.standing,
            since=tracked.since,
            evidence=tracked.held.evidence if tracked.held else None,
            tier=tracked.held.tier if tracked.held else None,
            problem=self._contacts.problem(camera_id),
        )

    def preview(self, evidence: Evidence, *, at: datetime) -> Standing:
        """How its subject would stand with this evidence at trusted time ``at``."""
        return self._standing(evidence.subject.camera_id, evidence, at)

    def ground(self, camera_id: CameraId) -> Evidence | None:
        """The evidence that decides on a camera: its own or the tenant's, denied when it is beyond the limit."""
        tracked = self._tracked.get(camera_id) or self._untracked(camera_id)
        return self._limited(camera_id, _word(tracked.held))

    def missing(self, camera_id: CameraId) -> Reason:
        """What is wrong where there is no evidence."""
        return self._store.missing(camera_id)

    def device(self) -> DeviceLicense:
        """The worst camera's state (without cameras the tenant's own), and the next change for the worse."""
        return _summary([self.view(camera_id) for camera_id in self._tracked or (TENANT,)], self.counts())

    def worst(self) -> CameraId:
        """The camera that the device shows: the first of those in the worst state; ``TENANT`` without cameras."""
        severity = {camera_id: tracked.standing.state.severity for camera_id, tracked in self._tracked.items()}
        return max(severity, key=severity.__getitem__, default=TENANT)

    def place(self, camera_id: CameraId) -> tuple[int | None, int | None]:
        """Its place by seniority, from 1, if it is registered, and how many cameras may work; ``None``: any number."""
        cameras = self.cameras()
        return cameras.index(camera_id) + 1 if camera_id in cameras else None, self._limit

    def counts(self) -> dict[LicenseState, int]:
        """How many cameras are in each state."""
        states = [tracked.standing.state for tracked in self._tracked.values()]
        return {state: states.count(state) for state in LicenseState}

    def _untracked(self, camera_id: CameraId) -> Tracked:
        held, now = self._store.get(TENANT), self._clock.now()
        since = held.evidence.verified_at if held else self._started
        camera = Camera(camera_id=camera_id, registered_at=now, since=since)
        return Tracked(camera=camera, since=since, standing=self._standing(camera_id, _word(held), now), held=held)

    def _limit_moved(self, camera_ids: Iterable[CameraId]) -> bool:
        """Whether the words on these cameras change who is beyond the limit; most repeat the limit in force."""
        held = (self._store.get(camera_id) for camera_id in camera_ids)
        words = [one.evidence for one in held if one is not None]
        if all(word.denied is None and word.cameras_allowed == self._limit for word in words):
            return False
        before = self._beyond
        self._count()
        return self._beyond != before

    def _count(self) -> None:
        tenant = self._store.get(TENANT)
        words = (evidence for camera_id, evidence in self._store.cameras() if camera_id in self._tracked)
        self._limit = camera_limit(tenant.evidence if tenant else None, words)
        self._beyond = frozenset() if self._limit is None else beyond_limit(self.roster(), self._limit)

    def _settle(self, camera_id: CameraId, now: datetime) -> LicenseChanged | None:
        tracked = self._tracked[camera_id]
        held = self._store.get(camera_id) or self._store.get(TENANT)
        before, tracked.standing = tracked.standing, self._standing(camera_id, _word(held), now)
        if held is not tracked.held or not _same(before, tracked.standing):
            tracked.held = held
            self.generation += 1
        return None if tracked.standing.state is before.state else self._enter(tracked, before.state, now)

    def _enter(self, tracked: Tracked, old: LicenseState, now: datetime) -> LicenseChanged:
        camera_id, standing = tracked.camera.camera_id, tracked.standing
        # Made of what the edge is: found again after a crash before it was written, it has the same id.
        subject = replace(self._tenant, camera_id=camera_id)
        parts = (subject.device_id, subject.tenant_id, camera_id, tracked.since.isoformat(), old, standing.state)
        edge = LicenseChanged(
            edge_id=keyed_id(tracked.since, parts),
            subject=subject,
            old=old,
            new=next_state(old, trigger_for(old, standing.state)),
            reason=standing.reason,
            at=now,
        )
        tracked.since = now
        tracked.camera = replace(tracked.camera, state=edge.new, since=now)
        return edge

    def _standing(self, camera_id: CameraId, evidence: Evidence | None, now: datetime) -> Standing:
        if self._bypass:
            return Standing(state=LicenseState.VALID, reason=Reason.OK, flags=frozenset({Flag.BYPASSED}))
        contact, word = self._contacts.of(camera_id, now), self._limited(camera_id, evidence)
        return evaluate(word, now=now, contact=contact, missing=self._store.missing(camera_id))

    def _limited(self, camera_id: CameraId, evidence: Evidence | None) -> Evidence | None:
        if evidence is None or evidence.denied is not None or camera_id not in self._beyond:
            return evidence
        return replace(evidence, denied=Reason.CAMERA_LIMIT)


def _word(held: Held | None) -> Evidence | None:
    return held.evidence if held else None


def _same(one: Standing, other: Standing) -> bool:
    """Equal but for the moment of the next transition."""
    return (one.state, one.reason, one.flags) == (other.state, other.reason, other.flags)


def _summary(views: Sequence[LicenseView], counts: dict[LicenseState, int]) -> DeviceLicense:
    worst = max(views, key=lambda view: view.standing.state.severity)
    return DeviceLicense(
        state=worst.standing.state,
        reason=worst.standing.reason,
        since=worst.since,
        next_transition=_next_for_worse(views, worst.standing) or worst.standing.next_transition,
        flags=frozenset().union(*(view.standing.flags for view in views)),
        counts=counts,
    )


def _next_for_worse(views: Sequence[LicenseView], worst: Standing) -> Transition | None:
    upcoming = (view.standing.next_transition for view in views)
    worsening = [change for change in upcoming if change and change.to.severity > worst.state.severity]
    return min(worsening, key=lambda change: change.at, default=None)
