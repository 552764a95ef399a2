"""Quotas: the row in PostgreSQL that is the truth about a limit, and what others may ask of the counting service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from tapi_agent.domain.ids import StreamId, TenantId
    from tapi_agent.domain.quota import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaKey:
    """One quota in one period: the unit of counting."""

    tenant_id: TenantId
    meter: str
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """What the rules come to for a quota: ``limit`` in the meter's unit, -1 unlimited; ``soft``: more is overage."""

    key: QuotaKey
    limit: int
    soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """What this device may still bring into the totals of a quota: its block, open reservations, undrained events.

    ``outstanding`` is all of it, ``reserved`` the part that is in open reservations. In the meter's unit, ≥ 0.
    """

    outstanding: Decimal
    reserved: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How a quota stands in PostgreSQL, over all devices of the tenant.

    ``limit`` is the one in force (-1 unlimited): the rule's, or what the service's word of this period comes to
    (``said``). ``used`` is the total of drained events, ``outstanding`` and ``reserved`` are other devices' stakes,
    ``taken`` is what this call has added to the own stake. Up to ``drained_seq`` the own stream is in ``used``.
    """

    limit: Decimal
    said: bool
    used: Decimal
    outstanding: Decimal
    reserved: Decimal
    taken: Decimal
    drained_seq: int


class QuotaLedger(Protocol):
    """The counters of all quotas. Every call raises ``UnavailableError`` while PostgreSQL gives no answer."""

    async def draw(
        self, rule: LimitRule, stake: Stake, *, needed: Decimal, wanted: Decimal, stream: StreamId | None
    ) -> Count:
        """Write down the own stake and draw on the limit, in one transaction under the counter's row lock.

        Draws ``wanted`` or as much of it as is free, but nothing when that is less than ``needed``; of a soft or
        unlimited quota always ``wanted``.
        """
        ...

    async def stakes(self, tenant_id: TenantId) -> Mapping[QuotaKey, Stake]:
        """What this device has written down last, in any run."""
        ...

    async def settled(self, key: QuotaKey) -> Decimal:
        """What the totals of the period hold that is neither pending nor on its way: the service knows of it."""
        ...

    async def heard(self, rule: LimitRule, *, remaining: Decimal, settled: Decimal, said_at: datetime) -> None:
        """The service's word (-1: unlimited): from now on the limit is ``remaining`` + ``settled``.

        ``settled`` was read before the service was asked. An older word (``said_at``) changes nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """That the service is being asked about a meter's quota, and what it could know of at that time."""

    key: QuotaKey
    settled: Decimal
    at: datetime


class QuotaWords(Protocol):
    """Who takes the service's word on a quota."""

    async def asking(self, meter: str) -> Asked | None:
        """To be called before the service is asked; ``None``: its word would mean nothing (no quota, no PostgreSQL)."""
        ...

    async def told(self, asked: Asked, remaining: Decimal) -> None:
        """What the service then said is left; -1 is unlimited. Nothing for a period that has ended meanwhile."""
        ...
