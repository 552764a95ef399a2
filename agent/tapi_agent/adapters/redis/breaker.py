"""A circuit breaker: who does not answer is left alone for a while, so that waiting for it is paid once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Closed until ``trip``; then open for a window, after which one caller tries and the others are still refused."""

    def __init__(self, *, name: str, window: timedelta, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._window = window
        self._monotonic = monotonic
        self._reason: str | None = None
        self._opens_until = 0.0

    def admit(self) -> None:
        """Return when a try is due; raises ``UnavailableError`` while open."""
        if self._reason is None:
            return
        wait = self._opens_until - self._monotonic()
        if wait > 0:
            raise self._down(timedelta(seconds=wait))
        self._open()  # this caller is the one to try; until it is back the others stay away

    def trip(self, reason: str) -> UnavailableError:
        """No answer came; returns the error that says so."""
        self._reason = reason
        self._open()
        return self._down(self._window)

    def close(self) -> None:
        """An answer came."""
        self._reason = None

    def _down(self, wait: timedelta) -> UnavailableError:
        return UnavailableError(
            f"{self._name} is down: {self._reason}",
            fix=f"start {self._name}, or correct its address in the settings",
            retry_after=wait,
        )

    def _open(self) -> None:
        self._opens_until = self._monotonic() + self._window.total_seconds()
