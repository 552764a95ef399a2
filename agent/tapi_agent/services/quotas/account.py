"""What this agent holds of one quota: the block in hand, and the reservations that are open. In memory, no I/O.

All grants rest on this invariant, for every quota, over all devices, at every moment::

    totals + sum of (hand + open + undrained) <= limit    what was drawn can only move between these
    hand + open + undrained <= stake                      of each device, as it stands in quota_stakes

A grant takes from the hand, so it changes no sum; a draw looks at totals and stakes under the lock of the counter, so
it never breaks the first line. Two things may break it, and no grant follows from them: usage that nobody asked for
(it happened: the hand goes below zero, the stake follows with the next report), and a service that lowers the limit
(what is in hand too much is given back). Each method keeps the rest:

* ``reserve``, ``release``, ``expire`` and ``recorded`` only move an amount between hand, open and undrained.
* ``give_back`` takes from the hand at once, from the stake with the next report: the stake is never too low.
* A stake is made of what ``hold`` saw and of what the spool held *after* that: an event that is recorded in between is
  counted twice, never missed. ``counted`` adds to the hand only what is in the stake already. What the hand lacked at
  ``hold`` was open, in the spool or in the totals by then, so it is in the stake now and no longer owed by the hand.
* A correction frees nothing before it has reached the totals: until then its amount stays in the stake.

Nothing here waits: for other tasks each method is one step. Whoever writes the stake holds ``lock`` from ``hold`` to
``counted``; everybody else may go on meanwhile, because ``counted`` adds and subtracts and never sets.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.quota import UNLIMITED
from tapi_agent.services.quotas.holding import NO_STAKE, ZERO, Holding
from tapi_agent.services.quotas.reservations import Reservations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import EventId
    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.quotas import Count, LimitRule, Stake

_PART_OF_LIMIT: Final = 20
"""A block is at most 5 % of the limit, ..."""
_PART_OF_FREE: Final = 4
"""... and at most a quarter of what was free at last: the end of a quota is shared out."""


class Account:
    """One quota in one period, as this agent has it; ``used`` is all usage it knows of, over all devices."""

    def __init__(self, rule: LimitRule) -> None:
        self.key = rule.key
        self.rule = rule
        self.lock = asyncio.Lock()
        self.hand = ZERO
        self.used = ZERO
        self.count: Count | None = None
        self.free = ZERO
        """Of the limit, when it was counted last: below zero when more is out than there is."""
        self.touched = float("-inf")
        """When the hand was last taken from, monotonic."""
        self.counted_at = float("-inf")
        """When the stake was last written, monotonic."""
        self._open = Reservations()
        self._left = NO_STAKE
        self._left_until = float("-inf")
        self._corrected = ZERO
        self._step = 1
        self._written = 0

    @property
    def limit(self) -> Decimal:
        """The limit in force: the service's word before the rule's."""
        return self.count.limit if self.count and self.count.said else Decimal(self.rule.limit)

    @property
    def hard(self) -> bool:
        """Whether it refuses what goes beyond the limit."""
        return not self.rule.soft and self.limit != UNLIMITED

    @property
    def is_used_up(self) -> bool:
        """Whether there was something, and it is used."""
        return 0 < self.limit <= self.used

    @property
    def reserved(self) -> Decimal:
        """What is in open reservations of this device."""
        return self._open.total + self._left.reserved

    @property
    def is_open(self) -> bool:
        """Whether somebody still counts on it, or waits for it."""
        return bool(self._open) or self._left is not NO_STAKE or self.lock.locked()

    @property
    def is_full(self) -> bool:
        """Whether too many reservations are open."""
        return self._open.are_too_many

    @property
    def changed(self) -> bool:
        """Whether the stake does not say yet how things are."""
        return self._step != self._written

    def inherit(self, left: Stake, *, until: float) -> None:
        """What a former run of this agent has left: as one reservation, because callers may still count on it."""
        self._left, self._left_until = left, until

    def follow(self, rule: LimitRule) -> None:
        """The limit is now this one."""
        if rule != self.rule:
            self.rule = rule
            self._step += 1

    def covers(self, amount: Decimal) -> bool:
        """Whether an amount can be reserved without a draw."""
        return not self.hard or self.hand >= amount

    def block(self, missing: Decimal) -> Decimal:
        """How much to draw when ``missing`` is needed."""
        return max(missing, min(self.limit // _PART_OF_LIMIT, self.free // _PART_OF_FREE))

    def reserve(self, event_id: EventId, amount: Decimal, *, now: float, until: float) -> None:
        """From the hand, until the event of this id is recorded or ``until`` (both monotonic)."""
        self._open.open(event_id, amount, until=until)
        self._take(amount, now)

    def release(self, event_id: EventId) -> None:
        """Back into the hand; nothing for one that is not open."""
        if amount := self._open.close(event_id):
            self.hand += amount
            self._step += 1

    def recorded(self, events: Sequence[UsageEvent], *, now: float) -> None:
        """Events are in the spool: they take from the hand, and close the reservations that they were meant for."""
        for event in events if self._open else ():
            self.release(event.event_id)
        used = sum((event.quantity for event in events), ZERO)
        corrected = -sum((event.quantity for event in events if event.quantity < 0), ZERO)
        self._take(used + corrected, now)
        self._corrected += corrected
        self.used += used

    def expire(self, now: float) -> None:
        """What is open for too long is no longer counted on."""
        for event_id in self._open.over(now):
            self.release(event_id)
        if self._left is not NO_STAKE and self._left_until <= now:
            self._left = NO_STAKE
            self._step += 1

    def give_back(self) -> None:
        """Keep nothing in hand."""
        self._give(self.hand)

    def hold(self) -> Holding:
        """How it stands, before the spool is looked at."""
        return Holding(
            hand=max(self.hand, ZERO),
            debt=max(-self.hand, ZERO),
            reserved=self._open.total,
            left=self._left,
            corrected=self._corrected,
            step=self._step,
        )

    def counted(self, held: Holding, undrained: Decimal | None, count: Count, *, now: float) -> None:
        """The stake is written and this was drawn. While events wait it must be written again: they will move."""
        self.count = count
        self.counted_at = now
        self.hand += held.debt + count.taken
        if undrained is None:
            self._corrected -= held.corrected
            self._written = held.step
        out = count.outstanding + held.stake(undrained).outstanding + count.taken
        self.free = count.limit - count.used - out
        if self.hard and self.free < 0:
            self._give(min(self.hand, -self.free))

    def _give(self, amount: Decimal) -> None:
        if amount > 0:
            self.hand -= amount
            self._step += 1

    def _take(self, amount: Decimal, now: float) -> None:
        self.hand -= amount
        self.touched = now
        self._step += 1
