"""Which features are of interest, when each was asked about last, and which are due. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.ids import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta


class Agenda:
    """Instants are trusted time: where that is set back, an instant yet to come is as good as none."""

    def __init__(self, *, fresh: timedelta, meter_of: Callable[[str], str | None]) -> None:
        self._fresh = fresh
        self._meter_of = meter_of
        self._asked: dict[str, datetime] = {}

    def add(self, feature: str, asked_at: datetime | None) -> bool:
        """Take a feature up, which was asked about at ``asked_at`` in another life; whether it is new."""
        is_new = feature not in self._asked
        if is_new:
            self._asked[feature] = asked_at or EPOCH
        return is_new

    def due(self, now: datetime) -> Sequence[str]:
        """Those to ask about now, together with all that share a meter with them: one word on it must not beat two."""
        due = {feature for feature in self._asked if not self._is_fresh(feature, now)}
        meters = {self._meter_of(feature) for feature in due} - {None}
        return [feature for feature in self._asked if feature in due or self._meter_of(feature) in meters]

    def wait(self, now: datetime) -> timedelta | None:
        """Time until the next one falls due; ``None`` when none ever does, or one is due already."""
        if not self._asked or self.due(now):
            return None
        return min(self._asked.values()) + self._fresh - now

    def asking(self, features: Collection[str], now: datetime) -> None:
        """They are being asked about: noted before, so that ``all_due`` in the meantime still holds afterwards."""
        self._asked |= dict.fromkeys(features, now)

    def all_due(self, features: Collection[str] | None = None) -> None:
        """Ask about these again, or about all."""
        self._asked |= dict.fromkeys(self._asked if features is None else features, EPOCH)

    def _is_fresh(self, feature: str, now: datetime) -> bool:
        return self._asked[feature] <= now < self._asked[feature] + self._fresh
