"""Whether the authority answers, camera by camera: the facts behind "lost" (2-licensing, The four states)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.license import Contact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.services.licensing.values import Surroundings


class Contacts:
    """Attempts and how they ended. ``first_contact`` is counted awake, so that sleeping is not silence."""

    def __init__(self, around: Surroundings) -> None:
        self._machine = around.machine
        self._first_contact = around.policy.first_contact
        self._air_gapped = not around.policy.ask
        self._began = around.machine.monotonic()
        self._attempted: set[CameraId] = set()
        self._problems: dict[CameraId, str] = {}

    def restart(self) -> None:
        """Boot, resume or clock change: an answer from before says nothing any more; a failure still does.

        Without an attempt since the last restart the old count goes on: repeated clock steps must not hold off "lost"
        for ever.
        """
        if self._attempted:
            self._attempted.clear()
            self._began = self._machine.monotonic()

    def answered(self, camera_id: CameraId) -> None:
        """The last attempt brought a word."""
        self._attempted.add(camera_id)
        self._problems.pop(camera_id, None)

    def failed(self, camera_ids: Iterable[CameraId], why: str) -> None:
        """The last attempt of these brought none."""
        for camera_id in camera_ids:
            self._attempted.add(camera_id)
            self._problems[camera_id] = why

    def forget(self, camera_id: CameraId) -> None:
        """The camera is gone."""
        self._attempted.discard(camera_id)
        self._problems.pop(camera_id, None)

    def of(self, camera_id: CameraId, now: datetime) -> Contact:
        """The facts at trusted time ``now``."""
        if self._air_gapped:
            return Contact(lost=True, air_gapped=True)
        if camera_id in self._attempted or camera_id in self._problems:
            return Contact(attempted=camera_id in self._attempted, lost=camera_id in self._problems)
        return Contact(lost_at=now + self._remaining())

    def problem(self, camera_id: CameraId) -> str | None:
        """Why the last attempt brought no answer."""
        return self._problems.get(camera_id)

    def _remaining(self) -> timedelta:
        awake = timedelta(seconds=self._machine.monotonic() - self._began)
        return max(timedelta(0), self._first_contact - awake)
