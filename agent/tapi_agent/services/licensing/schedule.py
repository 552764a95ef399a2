"""When to ask for which camera: half the freshness after an answer, backoff after a failure or a denial. Asks nobody.

Instants are CLOCK_BOOTTIME: no wall clock can hold a refresh up, and what fell due during sleep is due at once.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.backoff import CHANCE_BYTES, fraction, full_jitter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.services.licensing.values import Surroundings

_SPREAD: Final = 0.2
"""Devices refresh between 80 % and 100 % of half the freshness, each at its own point."""
_TOGETHER: Final = 0.1
"""What falls due within this part of the interval joins the round."""
_NOW: Final = timedelta(0)


class Schedule:
    """Due times, one a camera, and a pause of all of them while the service gives no answer."""

    def __init__(self, around: Surroundings) -> None:
        own_point = fraction(hashlib.sha256(around.tenant.device_id.encode()).digest())
        self._interval = around.policy.durations.freshness / 2 * (1 - _SPREAD * own_point)
        self._machine = around.machine
        self._policy = around.policy
        self._entropy = around.entropy
        self._due: dict[CameraId, timedelta] = {}
        self._refusals: dict[CameraId, int] = {}
        self._failures = 0
        self._resume = self._quiet = _NOW

    def add(self, camera_id: CameraId) -> None:
        """A camera to be asked for at once."""
        self._due.setdefault(camera_id, _NOW)

    def remove(self, camera_id: CameraId) -> None:
        """A camera to be asked for no more."""
        self._due.pop(camera_id, None)
        self._refusals.pop(camera_id, None)

    def answered(self, camera_id: CameraId) -> None:
        """A word that stands for a while."""
        self._refusals.pop(camera_id, None)
        self._due[camera_id] = self._machine.boottime() + self._interval

    def refused(self, camera_id: CameraId) -> None:
        """No answer, or a denial: ask again, ever more rarely."""
        self._refusals[camera_id] = self._refusals.get(camera_id, 0) + 1
        self.again(camera_id, self._backoff(self._refusals[camera_id]))

    def again(self, camera_id: CameraId, wait: timedelta) -> None:
        """Ask for this camera after ``wait``."""
        self._due[camera_id] = self._machine.boottime() + wait

    def flows(self) -> None:
        """The service answers."""
        self._failures = 0

    def stopped(self, retry_after: timedelta | None) -> None:
        """The service does not answer: pause; its own wish is the minimum, as far as it is reasonable."""
        self._failures += 1
        now = self._machine.boottime()
        self._resume = now + self._backoff(self._failures)
        self._quiet = now + min(retry_after or _NOW, self._policy.backoff_limit)

    def hurry(self) -> None:
        """Connectivity is back: do not sit out the backoff. What the service has asked for still holds."""
        self._resume = _NOW

    def all_due(self) -> None:
        """Ask for every camera again."""
        self._due = dict.fromkeys(self._due, _NOW)

    def may_ask(self) -> bool:
        """Whether to ask out of turn: not while the service has asked for quiet, never when air-gapped."""
        return self._policy.ask and self._machine.boottime() >= self._quiet

    def subjects(self) -> Sequence[CameraId]:
        """All that are asked about."""
        return list(self._due)

    def due(self) -> list[CameraId]:
        """Cameras to ask for now, and those that are almost due with them."""
        if self.wait() > _NOW:
            return []
        horizon = self._machine.boottime() + self._interval * _TOGETHER
        return [camera_id for camera_id, at in self._due.items() if at <= horizon]

    def wait(self) -> timedelta:
        """Time until something is due; ``timedelta.max`` when nothing ever is."""
        if not self._policy.ask or not self._due:
            return timedelta.max
        at = max(min(self._due.values()), self._resume, self._quiet)
        return max(_NOW, at - self._machine.boottime())

    def _backoff(self, failures: int) -> timedelta:
        policy = self._policy
        return full_jitter(
            failures, first=policy.backoff_first, limit=policy.backoff_limit, entropy=self._entropy(CHANCE_BYTES)
        )
