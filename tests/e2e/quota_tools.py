"""Many callers who spend one quota on several agents, and the oracle that counts what they were promised.

The oracle stands outside: it counts what callers were told, from the reply on, and lets go before it asks to give back.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tapi_agent.testing.agent import AgentProcess

LIMIT: Final = 10_000
CALLERS: Final = 32
METER: Final = "test_units"
TTL: Final = 2
"""Seconds after which what a caller has abandoned comes back."""


@dataclass
class Oracle:
    """What callers hold a yes for or have used: a lower bound of what must be within the limit."""

    held: int = 0
    most: int = 0
    used: int = 0
    middle: asyncio.Event = field(default_factory=asyncio.Event)
    abandoned: list[tuple[float, int]] = field(default_factory=list)

    def granted(self, amount: int) -> None:
        while self.abandoned and self.abandoned[0][0] <= time.monotonic():
            self.held -= heapq.heappop(self.abandoned)[1]
        self.held += amount
        self.most = max(self.most, self.held)

    def abandons(self, amount: int, asked: float) -> None:
        """It comes back a ttl after the agent was asked, or later."""
        heapq.heappush(self.abandoned, (asked + TTL, amount))

    def gives_back(self, amount: int) -> None:
        self.held -= amount

    def uses(self, amount: int) -> None:
        self.used += amount
        if self.used >= LIMIT // 3:
            self.middle.set()


class Line:
    """One caller's connection to its agent: bare HTTP, so that the two cores are left to the agents."""

    def __init__(self, agent: AgentProcess) -> None:
        self._socket = agent.socket
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, call: str, **document: object) -> dict[str, Any] | None:
        """The reply; ``None`` when none came."""
        try:
            return await self._exchange(call, json.dumps(document).encode())
        except (OSError, EOFError):
            await self.hang_up()
            return None

    async def tell(self, call: str, **document: object) -> dict[str, Any]:
        """The reply, asked for until it comes."""
        while (answer := await self.ask(call, **document)) is None:
            await asyncio.sleep(0.05)
        return answer

    async def hang_up(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with suppress(OSError):
                await streams[1].wait_closed()

    async def _exchange(self, call: str, body: bytes) -> dict[str, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._socket)
        reader, writer = self._streams
        head = f"POST /api/v1/quota/{call} HTTP/1.1\r\nHost: agent\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status, _, headers = (await reader.readuntil(b"\r\n\r\n")).lower().partition(b"\r\n")
        size = int(headers.partition(b"content-length: ")[2].split()[0])
        answer: dict[str, Any] = json.loads(await reader.readexactly(size))
        assert b" 200 " in status, answer
        return answer


@asynccontextmanager
async def calling(agent: AgentProcess) -> AsyncIterator[Line]:
    line = Line(agent)
    try:
        yield line
    finally:
        await line.hang_up()


@dataclass
class Callers:
    """All who spend, on all agents. Whoever is denied, or not heard, waits until all is ``calm`` and asks again."""

    agents: list[AgentProcess]
    oracle: Oracle = field(default_factory=Oracle)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    chance: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311 - amounts of a test

    async def spend_all(self) -> None:
        """Until every caller was told so in calm that nothing is left."""
        async with asyncio.TaskGroup() as group:
            for agent in self.agents * CALLERS:
                group.create_task(self._spend(agent))

    async def spend_the_rest(self) -> int:
        """What is left in the corners, down to the last unit; how much was used in all."""
        for agent in self.agents:
            async with calling(agent) as line:
                for amount in (100, 10, 1):
                    while (answer := await line.tell("reserve", meter=METER, amount=amount))["granted"]:
                        self.oracle.granted(amount)
                        await self._use(line, answer["reservation_id"], amount)
        return self.oracle.used

    async def keep(self, agent: AgentProcess, *, times: int, amount: int) -> list[str]:
        """Reservations that are to be used long afterwards."""
        async with calling(agent) as line:
            answers = [await line.tell("reserve", meter=METER, amount=amount, ttl_s=600) for _ in range(times)]
        for answer in answers:
            assert answer["granted"]
            self.oracle.granted(amount)
        return [answer["reservation_id"] for answer in answers]

    async def use(self, agent: AgentProcess, kept: list[str], *, amount: int) -> None:
        """All of them."""
        async with calling(agent) as line:
            for reservation in kept:
                await self._use(line, reservation, amount)

    async def _spend(self, agent: AgentProcess) -> None:
        async with calling(agent) as line:
            while not await self._is_denied(line):
                pass

    async def _is_denied(self, line: Line) -> bool:
        """One round: reserve, and use or give back. Whether there is no point in another."""
        amount, asked = self.chance.randint(1, 7), time.monotonic()
        answer = await line.ask("reserve", meter=METER, amount=amount, ttl_s=TTL)
        if answer is not None and answer["granted"]:
            self.oracle.granted(amount)
            await self._end(line, answer["reservation_id"], amount, asked)
            return False
        if self.calm.is_set() and answer is not None and answer["reason"] == "QUOTA_EXCEEDED":
            return True
        await self.calm.wait()
        await asyncio.sleep(0.05)  # a connection that died in the storm may be found out only now
        return False

    async def _end(self, line: Line, reservation: str, amount: int, asked: float) -> None:
        match self.chance.choices(("all", "less", "release", "abandon"), weights=(70, 20, 6, 4)):
            case ["all"]:
                await self._use(line, reservation, amount)
            case ["less"]:
                actual = self.chance.randint(0, amount)
                self.oracle.gives_back(amount - actual)
                await self._use(line, reservation, actual)
            case ["release"]:
                self.oracle.gives_back(amount)
                await line.ask("release", reservation_id=reservation)
            case ["abandon"]:
                self.oracle.abandons(amount, asked)

    async def _use(self, line: Line, reservation: str, actual: int) -> None:
        self.oracle.uses(actual)
        await line.tell("commit", reservation_id=reservation, actual=actual)
