"""What the billing service says of one feature of a tenant: a word that overrides the packs. Pure.

Owns how long such a word counts. Asking for it is ``services.overrides``; its place among the rules ``entitlement``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The service's word on ``feature`` for the whole tenant, asked for at ``asked_at`` (trusted time, UTC).

    A grant ends at ``valid_until``; a word that is old still beats none.
    """

    feature: str
    enabled: bool
    asked_at: datetime
    valid_until: datetime | None = None

    def grants(self, now: datetime) -> bool:
        """Whether it allows the feature at ``now``."""
        return self.enabled and (self.valid_until is None or now < self.valid_until)
