"""Licenses, words on features and quotas without a billing service: for tests of what is decided on them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.ids import TENANT, CameraId
from tapi_agent.domain.license import Contact, Evidence, LicenseMode
from tapi_agent.services.licensing import LicenseView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.decision import QuotaFigures
    from tapi_agent.domain.license import Subject
    from tapi_agent.domain.override import Override
    from tapi_agent.ports.clock import TrustedClock


class FakeLicenses:
    """Implements ``ports.entitlements.Licenses``: a standing is derived when something is heard, and then looked up."""

    def __init__(self, *, tenant: Subject, clock: TrustedClock) -> None:
        self._tenant = tenant
        self._clock = clock
        self._views: dict[CameraId, LicenseView] = {}
        self.generation = 0

    def cameras(self) -> Sequence[CameraId]:
        """All that were heard of."""
        return [camera_id for camera_id in self._views if camera_id != TENANT]

    def view(self, camera_id: CameraId) -> LicenseView:
        """How a camera, or the tenant, stood when it was last heard of."""
        return self._views.get(camera_id) or self._view(camera_id, None)

    def hears(self, *cameras: str, **facts: object) -> None:
        """A word on each camera, as of now: a plain yes but for ``facts``, which are fields of ``Evidence``."""
        for camera_id in map(CameraId, cameras):
            subject = replace(self._tenant, camera_id=camera_id)
            word = Evidence(subject=subject, mode=LicenseMode.BASE, verified_at=self._clock.now())
            self._views[camera_id] = self._view(camera_id, replace(word, **facts))  # type: ignore[arg-type]
        self.generation += 1

    def loses(self, camera: str) -> None:
        """The camera is removed."""
        del self._views[CameraId(camera)]
        self.generation += 1

    def _view(self, camera_id: CameraId, word: Evidence | None) -> LicenseView:
        now = self._clock.now()
        standing = evaluate(word, now=now, contact=Contact(attempted=True))
        return LicenseView(camera_id=camera_id, standing=standing, since=now, evidence=word, tier="billing")


@dataclass(kw_only=True)
class FakeWords:
    """Implements ``ports.entitlements.FeatureWords``: words as the test gives them; ``asked`` is what was asked for."""

    words: dict[str, Override] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def interested(self, feature: str) -> None:
        """Remember it."""
        self.asked.add(feature)

    def view(self) -> Mapping[str, Override]:
        """The words so far."""
        return self.words


@dataclass(kw_only=True)
class FakeQuotas:
    """Implements ``ports.entitlements.QuotaFiguresSource``: figures as the test gives them."""

    standing: dict[str, QuotaFigures] = field(default_factory=dict)

    def figures(self, meter: str) -> QuotaFigures | None:
        """What the test has said of the meter."""
        return self.standing.get(meter)
