"""One agent's usage pipeline as a process to be killed: spool, drainer, delivery; no API, no licenses, no plugins.

Speaks pickled tuples over a pipe: ``(number, verb, argument)`` in, ``(number, answer)`` out when it is done. Its day is
a ``Machine``'s, which can be told to go faster. ``process`` starts it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.integration.usage.conftest import rig
from typing_extensions import override

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.domain.errors import TapiError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.failpoints import arm
from tapi_agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from multiprocessing.connection import Connection
    from pathlib import Path

    from tests.integration.usage.conftest import Rig

_TICK: Final = timedelta(milliseconds=10)


class Machine(FakeClock):
    """A day of its own that goes by as fast as the machine's, also while the process is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    @override
    def wall(self) -> datetime:
        return super().wall() + timedelta(seconds=time.monotonic() - self._began)

    @override
    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic() - self._began


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which agent to be. ``traps`` as in TAPI_FAILPOINTS, ``terms`` of ``DeliveryTerms``; its log goes to ``log``.

    It is alive ``elapsed`` after ``START``.
    """

    dsn: str
    spool: Path
    log: Path
    url: str
    key: str
    device: str
    traps: str = ""
    elapsed: timedelta = timedelta(0)
    timeout: timedelta = timedelta(seconds=10)
    terms: Mapping[str, Any] = field(default_factory=dict)


def live(order: Order, line: Connection) -> None:
    """Until the other end of the line is closed, or the process killed."""
    with order.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    arm(order.traps)
    asyncio.run(_live(order, line))


async def _live(order: Order, line: Connection) -> None:
    billing = HttpBilling(
        base_url=f"{order.url}/api/v1",
        api_key=order.key,
        device_id=DeviceId(order.device),
        timeout=order.timeout,
        retries=0,
        dialect="auto",
        agent_version="1",
        verify=ssl.create_default_context(),
    )
    terms = {"interval": timedelta(milliseconds=20)} | dict(order.terms)
    device, machine = DeviceId(order.device), Machine()
    machine.advance(order.elapsed)
    async with rig(order.dsn, order.spool, billing, device=device, machine=machine, **terms) as agent:
        work = [asyncio.create_task(agent.delivery.run()), asyncio.create_task(_schedule(agent))]
        await _Desk(agent, line).serve()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    await billing.close()


async def _schedule(agent: Rig) -> None:
    """Look all the time whether there is something to send."""
    while True:
        await asyncio.sleep(_TICK.total_seconds())
        await agent.delivery.sync_if_due()


class _Desk:
    """Answers what comes over the line, several at once."""

    def __init__(self, agent: Rig, line: Connection) -> None:
        self._agent = agent
        self._line = line
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._line.fileno(), self._read)
        self._line.send((0, "ready"))
        await self._closed.wait()
        loop.remove_reader(self._line.fileno())

    def _read(self) -> None:
        try:
            number, verb, argument = self._line.recv()
        except (EOFError, OSError):
            self._closed.set()
            return
        task = asyncio.create_task(self._answer(number, verb, argument))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, verb: str, argument: Any) -> None:
        try:
            answer = await getattr(self, f"do_{verb}")(argument)
        except TapiError as error:
            answer = error.__class__.__name__, str(error)
        with suppress(OSError):
            self._line.send((number, answer))

    async def do_record(self, drafts: Sequence[object]) -> list[str]:
        """Ids, or what is wrong with a draft."""
        results = await self._agent.metering.record_many(drafts)
        return [str(getattr(one, "event_id", one)) for one in results]

    async def do_flush(self, _: object) -> str:
        """What ended the round early; empty when nothing did."""
        return (await self._agent.delivery.flush()).trouble

    async def do_backlog(self, _: object) -> dict[str, Any]:
        backlog = asdict(await self._agent.delivery.backlog())
        return {name: backlog[name] for name in ("spooled", "pending", "sealed", "ambiguous", "held", "dead")}

    async def do_advance(self, by: timedelta) -> None:
        """Compressed time."""
        self._agent.clock.machine.advance(by)

    async def do_stop(self, _: object) -> None:
        """End as a daemon does on SIGTERM."""
        self._closed.set()
