"""When to try again, for each thing that can fail by itself. Owns the waiting times; a restart forgets them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_FIRST_S: Final = 5.0
_LONGEST_S: Final = 600.0
_MOST_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    failures: int
    since: float
    until: float


class Backoff:
    """5 s, doubled at each failure up to 10 min, of which a random half is waited for besides the other half."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._pauses: dict[Hashable, _Pause] = {}

    def due(self, key: Hashable) -> bool:
        """Whether it may be tried now."""
        pause = self._pauses.get(key)
        return pause is None or self._clock() >= pause.until

    def failed(self, key: Hashable, *, at_least: float = 0.0) -> None:
        """Wait longer than last time, and for ``at_least`` so many seconds."""
        now = self._clock()
        known = self._pauses.get(key) or _Pause(failures=0, since=now, until=now)
        longest = min(_FIRST_S * 2 ** min(known.failures, _MOST_DOUBLINGS), _LONGEST_S)
        wait = longest * random.uniform(0.5, 1)  # noqa: S311 - spreads the tries of many boxes; no secret
        self._pauses[key] = _Pause(failures=known.failures + 1, since=known.since, until=now + max(wait, at_least))

    def failing_for(self, key: Hashable) -> float:
        """Seconds since the first of the failures."""
        pause = self._pauses.get(key)
        return 0.0 if pause is None else self._clock() - pause.since

    def succeeded(self, key: Hashable) -> None:
        """Forget its failures."""
        self._pauses.pop(key, None)
