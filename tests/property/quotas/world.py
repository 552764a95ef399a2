"""Agents on one quota, and what a test knows of them: who was granted what, what is used, what is at stake.

``check`` looks at the invariant of ``services.quotas.account`` and may be called at any moment. It is called whenever a
store is, and that is wherever the service waits.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.unit.quotas.site import ACME, TOKENS, Agent, Site

from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.quota import Period, window_at
from tapi_agent.domain.tally import tally
from tapi_agent.ports.quotas import QuotaKey, Stake
from tapi_agent.services.quotas import Grant
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from random import Random

    from tapi_agent.domain.ids import EventId
    from tapi_agent.domain.usage import UsageEvent
    from tapi_agent.ports.quotas import Count, LimitRule
    from tapi_agent.testing.quotas import Turns

KEY: Final = QuotaKey(tenant_id=ACME, meter=TOKENS, window=window_at(START, Period.MONTH))
LIMIT: Final = 1000
ZERO: Final = Decimal(0)


@dataclass(kw_only=True)
class Handed:
    """A grant, and the run of the agent that gave it."""

    grant: Grant
    agent: Agent
    run: int
    over: bool = False


class World:
    """Some agents, a site's books, and steps that go on at the same time."""

    def __init__(self, random: Random, agents: int) -> None:
        self.site = Site()
        self.agents = [self.site.agent(f"box-{number}") for number in range(agents)]
        self._debts: dict[str, Decimal] = {}
        self.grants: dict[EventId, Handed] = {}
        self.uncovered = ZERO
        self.highest = Decimal(LIMIT)
        self._told: set[str] = set()  # texts: another body may come under the same id
        self._runs: defaultdict[str, int] = defaultdict(int)
        self._under_way: list[tuple[Agent, asyncio.Task[None]]] = []
        self._dead: list[Turns] = []
        self._random = random
        self.site.book.turns = self._turns
        for agent in self.agents:
            self._start(agent)

    def begin(self, agent: Agent, step: Coroutine[Any, Any, None]) -> None:
        """Let a step of an agent go on by itself."""
        self._under_way.append((agent, asyncio.ensure_future(step)))

    async def settle(self) -> None:
        """Until all steps have ended; one that failed for another reason than a store that is down fails the test."""
        under_way, self._under_way = self._under_way, []
        for _, task in under_way:
            with suppress(asyncio.CancelledError):
                await task

    def stores(self, *, down: bool = False, lose: bool = False) -> None:
        """How the books are from now on: there, down, or losing answers."""
        self.site.book.is_down, self.site.book.loses_answers = down, lose

    def hang_up(self, agent: Agent) -> None:
        """Whoever waits for this agent goes away."""
        for whose, task in self._under_way:
            if whose is agent:
                task.cancel()

    async def reserve(self, agent: Agent, amount: int, *, ttl: int) -> None:
        run = self._runs[agent.device]
        with suppress(UnavailableError, asyncio.CancelledError):
            answer = await agent.reserve(amount, ttl=timedelta(seconds=ttl))
            if isinstance(answer, Grant):
                event_id = agent.quotas._tickets.read(answer.reservation_id).event_id
                self.grants[event_id] = Handed(grant=answer, agent=agent, run=run)
                assert self.out() <= self.highest + self.uncovered

    async def commit(self, handed: Handed, actual: int) -> None:
        with suppress(UnavailableError, RejectedError, asyncio.CancelledError):
            await handed.agent.quotas.commit(handed.grant.reservation_id, Decimal(actual))

    def release(self, handed: Handed) -> None:
        handed.agent.quotas.release(handed.grant.reservation_id)
        handed.over = True

    async def record(self, agent: Agent, quantity: int, **fields: object) -> None:
        with suppress(UnavailableError, asyncio.CancelledError):
            await agent.record(quantity, **fields)

    async def drain(self, agent: Agent) -> None:
        with suppress(UnavailableError, asyncio.CancelledError):
            await agent.drain()

    async def drain_some(self, agent: Agent, events: int) -> None:
        """As far as a drain gets before it ends: some are in the books, and still on the disk."""
        with suppress(UnavailableError, asyncio.CancelledError):
            if head := await agent.spool.head(events):
                await self.site.book.keep(head)

    async def look(self, agent: Agent) -> None:
        with suppress(asyncio.CancelledError):
            await agent.quotas.look()

    async def word(self, agent: Agent, limit: int) -> None:
        """The service is asked, and says what is left of ``limit``."""
        with suppress(asyncio.CancelledError):
            asked = await agent.quotas.asking(TOKENS)
            self.site.machine.advance(timedelta(milliseconds=1))
            if asked:
                self.highest = max(self.highest, Decimal(limit))
                await agent.quotas.told(asked, limit - self.site.book.settled(KEY))

    async def close(self, agent: Agent) -> None:
        await agent.quotas.close()
        self._end(agent)

    def kill(self, agent: Agent) -> None:
        """Whatever it was doing is undone, what is on its disk stays; it starts anew."""
        self._end(agent)

    def out(self) -> Decimal:
        """All usage there is, and all that somebody was granted and may still use."""
        waiting = sum((self._undrained(agent) for agent in self.agents), ZERO)
        return self.site.book.used(KEY) + waiting + sum((self._granted(agent) for agent in self.agents), ZERO)

    def check(self) -> None:
        """Each device has at stake what it may still bring into the totals."""
        for agent in self.agents:
            staked = self.site.book.stakes.get((KEY, agent.device), Stake(outstanding=ZERO, reserved=ZERO)).outstanding
            hand = sum((account.hand for account in agent.quotas._accounts if account.key == KEY), ZERO)
            held = sum((account._open.total for account in agent.quotas._accounts if account.key == KEY), ZERO)
            out = hand + held + self._former(agent) + self._undrained(agent)
            assert staked + self._debts.get(agent.device, ZERO) >= out, (agent.device, staked, out)

    def _turns(self) -> int:
        self.check()
        return self._random.randrange(3)

    def _start(self, agent: Agent) -> None:
        self._runs[agent.device] += 1
        agent.start()
        agent.spool.turns = agent.ledger.turns = self._turns
        agent.metering.on_recorded(partial(self._tell, agent))
        agent.ledger.draw = partial(self._draw, agent, agent.ledger.draw)

    async def _draw(
        self, agent: Agent, draw: Callable[..., Awaitable[Count]], rule: LimitRule, stake: Stake, **asked: Any
    ) -> Count:
        """With the stake, what the agent owed is written down."""
        count = await draw(rule, stake, **asked)
        if rule.key == KEY:
            self._debts.pop(agent.device, None)
        return count

    def _end(self, agent: Agent) -> None:
        """What was used and is in no stake yet will be once the next run has looked at the disk."""
        untold = {text for text in agent.disk.waiting.values() if text not in self._told}
        lacking = sum((max(-account.hand, ZERO) for account in agent.quotas._accounts if account.key == KEY), ZERO)
        self._owe(agent, lacking + sum((max(tally([text])[0].quantity, ZERO) for text in untold), ZERO))
        self._told.update(untold)
        agent.ledger.is_killed = agent.spool.is_killed = True
        self._dead += [agent.ledger, agent.spool]
        self.hang_up(agent)
        self._start(agent)

    def _owe(self, agent: Agent, quantity: Decimal) -> None:
        self._debts[agent.device] = self._debts.get(agent.device, ZERO) + quantity

    def _tell(self, agent: Agent, events: Sequence[UsageEvent]) -> None:
        for event in events:
            if not any(account.key == KEY for account in agent.quotas._accounts):
                self._owe(agent, max(event.quantity, ZERO))
            handed = self.grants.get(event.event_id)
            covered = handed.grant.amount if handed and not self._is_gone(handed) else 0
            self.uncovered += max(event.quantity - covered, 0)
            self._told.add(event.canonical)
            if handed:
                handed.over = True

    def _is_gone(self, handed: Handed) -> bool:
        return handed.over or handed.grant.expires_at <= self.site.machine.wall()

    def _granted(self, agent: Agent) -> Decimal:
        return sum((one.grant.amount for one in self._open(agent)), ZERO)

    def _former(self, agent: Agent) -> Decimal:
        """Grants of earlier runs, which count on nothing but the stake."""
        run = self._runs[agent.device]
        return sum((one.grant.amount for one in self._open(agent) if one.run < run), ZERO)

    def _open(self, agent: Agent) -> Sequence[Handed]:
        return [one for one in self.grants.values() if one.agent is agent and not self._is_gone(one)]

    def _undrained(self, agent: Agent) -> Decimal:
        """What the agent has been told of; the moment before belongs to the disk."""
        drained = self.site.book.drained_seq(agent.disk.stream)
        texts = [text for seq, text in agent.disk.waiting.items() if seq > drained]
        return sum((tally([text])[0].quantity for text in texts if text in self._told), ZERO)
