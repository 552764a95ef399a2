"""Who gets signed leases, and on what terms. Owns the table lease_terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from tapi_agent.sandbox.wire import Body, Text

if TYPE_CHECKING:
    import sqlite3

_CENTURY_S: Final = 100 * 366 * 86_400
_THIRTY_DAYS_S: Final = 30 * 86_400
Seconds = Annotated[int, Field(ge=0, le=_CENTURY_S)]


class LeaseTerms(Body):
    """What leases of a tenant say beside its license. A duration that was not set is left out of the lease."""

    license_key: Text | None = Field(None, repr=False)
    """Leases are encrypted for it (AES); without one they can be read by anyone, though not changed."""
    term_s: Seconds | None = _THIRTY_DAYS_S
    """Full function without contact, from the moment of issue; ``None``: no end."""
    freshness_s: Seconds | None = None
    offline_grace_s: Seconds | None = None
    license_grace_s: Seconds | None = None
    reset_clock: bool = False
    """Leases set the agent's trusted time also backwards."""

    @property
    def durations(self) -> dict[str, int | None]:
        """The durations that were set; a ``None`` among them says that there is none."""
        names = ("freshness_s", "offline_grace_s", "license_grace_s")
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


def agree(db: sqlite3.Connection, tenant_id: str, terms: LeaseTerms) -> None:
    """Give the tenant leases on these terms, in place of what it had."""
    db.execute(
        "INSERT OR REPLACE INTO lease_terms VALUES (?, ?)", (tenant_id, terms.model_dump_json(exclude_unset=True))
    )


def withdraw(db: sqlite3.Connection, tenant_id: str) -> None:
    """Answer the tenant without leases, as the service of today does."""
    db.execute("DELETE FROM lease_terms WHERE tenant_id = ?", (tenant_id,))


def agreed(db: sqlite3.Connection, tenant_id: str) -> LeaseTerms | None:
    """The terms of a tenant that gets leases."""
    row = db.execute("SELECT terms FROM lease_terms WHERE tenant_id = ?", (tenant_id,)).fetchone()
    return row and LeaseTerms.model_validate_json(row["terms"])
