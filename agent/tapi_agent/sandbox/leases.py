"""Signed leases: drawn up within a transaction of the ledger, signed when that is over.

``minting`` knows the form of the file. What is sold, enrolled or agreed is the business of the ledger's other modules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.sandbox import keys, machines, subscriptions, terms
from tapi_agent.sandbox.minting import Grant, mint
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from tapi_agent.sandbox.keys import SigningKey
    from tapi_agent.sandbox.subscriptions import Subscription
    from tapi_agent.sandbox.terms import LeaseTerms

_END_OF_TIME: Final = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that a lease says but when it is issued and to which request it is the answer."""

    key: SigningKey
    terms: LeaseTerms
    tenant_id: str
    device_id: str
    components: Mapping[str, str]
    sequence: int
    camera_id: str
    held: Subscription

    def on(self, camera_id: str, held: Subscription) -> Draft:
        """The lease of another subject for the same machine."""
        return replace(self, camera_id=camera_id, held=held)


def draw_up(
    db: sqlite3.Connection, tenant_id: str, device_id: str, components: Mapping[str, str] | None
) -> Draft | None:
    """The lease of the tenant itself for a machine, which is enrolled; ``None`` for a tenant that gets no leases."""
    enrolled = machines.enroll(db, tenant_id, device_id, components)
    agreed = terms.agreed(db, tenant_id)
    if agreed is None:
        return None
    return Draft(
        key=keys.current(db),
        terms=agreed,
        tenant_id=tenant_id,
        device_id=device_id,
        components=enrolled,
        sequence=subscriptions.sequence(db, tenant_id),
        camera_id=TENANT_ITSELF,
        held=subscriptions.license_of(db, tenant_id, TENANT_ITSELF),
    )


def issue(draft: Draft, nonce: str, now: datetime) -> str:
    """The text of the lease file."""
    agreed, held = draft.terms, draft.held
    grant = Grant(
        tenant_id=draft.tenant_id,
        device_id=draft.device_id,
        camera_id=draft.camera_id,
        issued=now,
        expiry=None if agreed.term_s is None else now + timedelta(seconds=agreed.term_s),
        sequence=draft.sequence,
        # As sold, also when it has lapsed: the agent's license grace goes on with the features of that mode.
        mode=held.mode,
        status=held.as_of(now).status,
        valid_until=_within_the_calendar(held.end()),
        packs=held.packs,
        cameras_allowed=held.cameras_allowed,
        durations=agreed.durations,
        components=draft.components,
        nonce=nonce,
        reset_clock=agreed.reset_clock,
    )
    return mint(grant, signer=draft.key.private, kid=draft.key.kid, license_key=agreed.license_key)


def _within_the_calendar(end: datetime | None) -> datetime | None:
    """A subscription may end where only its own offset keeps it within the year 9999."""
    return end and min(end, _END_OF_TIME)
