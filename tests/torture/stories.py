"""What must happen for an agent to come by each failpoint: one short story for every part of the way."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from tests.integration.usage.conftest import TO_FORMAT_1
from tests.torture.daemon import DaemonAgent
from tests.torture.process import Gone

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.torture.process import LeanAgent
    from tests.torture.scene import Scene

    from tapi_agent.failpoints import Failpoint

POISON: Final = "poison"
_BATCH: Final = 12
_HUGE: Final = 2**43
_NO_ROOM: Final = {
    "SPOOL_MIN_FREE_BYTES": str(_HUGE),
    "SPOOL_SLOW_FREE_BYTES": str(_HUGE + 1),
    "SPOOL_SHED_FREE_BYTES": str(_HUGE + 2),
}
_LEDGER: Final = (
    "usage_events, usage_batches, usage_dead_letters, usage_duplicates, usage_totals, usage_arrivals, agent_streams"
)


def _nothing(scene: Scene, agent: LeanAgent) -> None:
    """This part of a story is empty."""


def deliver(scene: Scene, agent: LeanAgent) -> None:
    """Record and send, until all has arrived or the agent is dead."""
    with suppress(Gone):
        scene.record(agent, _BATCH)
        agent.ask("flush")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """``before`` with an agent that is not running, ``act`` with one that may be killed, ``after`` before the next.

    With ``settings``, the whole daemon is the agent, and has these while the trap is set.
    """

    before: Callable[[Scene, Any], None] = _nothing
    act: Callable[[Scene, Any], None] = deliver
    after: Callable[[Scene, Any], None] = _nothing
    settings: Mapping[str, str] | None = None

    def agent(self, scene: Scene, url: str) -> Any:
        """Not started."""
        if self.settings is None:
            return scene.agent(url=url)
        return DaemonAgent(scene, BILLING_SERVICE_URL=f"{url}/api/v1")


def refused(**fault: object) -> Story:
    """The service misbehaves in this way until the agent is dead."""
    return Story(
        before=lambda scene, _: scene.faults(fault),
        after=lambda scene, _: scene.service.admin.clear_faults(),
    )


def one_is_bad(scene: Scene, agent: LeanAgent) -> None:
    """One event of a batch is refused by whatever looks for poison."""
    with suppress(Gone):
        scene.record(agent, 1, metadata={POISON: True})
        deliver(scene, agent)


def refuse_poisoned(body: bytes) -> int:
    """What a proxy does: 400 for the whole batch, without a word about which event is bad."""
    return 400 if POISON.encode() in body else 0


def poison_refused_by_the_table(scene: Scene, _: LeanAgent) -> None:
    """The table does, as it would a value that no column can hold."""
    with psycopg.connect(scene.dsn) as connection:
        connection.execute("ALTER TABLE usage_events ADD CONSTRAINT no_poison CHECK (canonical NOT LIKE '%poison%')")


def one_life(scene: Scene, agent: LeanAgent) -> None:
    """Some events are delivered, and some wait in the spool."""
    agent.start()
    scene.record(agent, _BATCH)
    scene.settle(agent)
    agent.stop()


def wiped(scene: Scene, agent: LeanAgent) -> None:
    """The database comes back empty."""
    one_life(scene, agent)
    with psycopg.connect(scene.dsn) as connection:
        connection.execute(f"TRUNCATE {_LEDGER} CASCADE")


def damaged(scene: Scene, agent: LeanAgent) -> None:
    """The first page of the spool's file is overwritten."""
    one_life(scene, agent)
    with agent.order.spool.open("r+b") as file:
        file.write(b"\0" * 4096)


def of_the_first_format(scene: Scene, agent: LeanAgent) -> None:
    """The spool's file is one that kept no sums and did not know its home."""
    one_life(scene, agent)
    with closing(sqlite3.connect(agent.order.spool)) as connection:
        connection.executescript(TO_FORMAT_1)


def copied(scene: Scene, agent: LeanAgent) -> None:
    """The spool's file is another one with the same content, as after a restore."""
    one_life(scene, agent)
    restored = agent.order.spool.with_name("restored")
    shutil.copyfile(agent.order.spool, restored)
    restored.replace(agent.order.spool)


def older(scene: Scene, agent: LeanAgent) -> None:
    """The spool's file has the content that it had a life ago, and the database goes on from there."""
    one_life(scene, agent)
    content = agent.order.spool.read_bytes()
    one_life(scene, agent)
    agent.order.spool.write_bytes(content)


def ballast_of_holes(_: Scene, agent: DaemonAgent) -> None:
    """A reserve far larger than the disk, which only seems to be held, and must be given up at the first look."""
    agent.spool.mkdir(mode=0o700, parents=True)
    with (agent.spool / "ballast").open("wb") as ballast:
        ballast.truncate(_HUGE)


def refused_for_want_of_room(scene: Scene, agent: DaemonAgent) -> None:
    """Until the agent has counted it."""
    wait_until(lambda: not scene.record(agent, 1) and agent.ended(within=1), within=30, what="the end of the agent")


_PLAIN: Final = Story()
_REFUSED: Final = refused(action="status", status=400)
_POISONED: Final = Story(act=one_is_bad)
_LOST_IN_DOUBT: Final = Story(
    before=lambda scene, _: scene.service.admin.faults(
        {"action": "classic_only"}, {"action": "refuse", "path": "*/usage/batch", "times": 1}
    ),
    after=lambda scene, _: scene.service.admin.clear_faults(),
)
_STORIES: Final[Mapping[str, Story]] = {
    "spool.upgrade": Story(before=of_the_first_format),
    "spool.copy": Story(before=copied),
    "spool.renew": Story(before=older),
    "spool.rescue": Story(before=damaged),
    "ledger.bury": Story(before=poison_refused_by_the_table, act=one_is_bad),
    "ledger.loss": Story(before=wiped),
    "batch.put_back": refused(action="status", status=503),
    "batch.replace": _REFUSED,
    "root.restore": _REFUSED,
    "root.bury": _POISONED,
    "doubt.resend": _LOST_IN_DOUBT,
    "loss": Story(act=refused_for_want_of_room, settings=_NO_ROOM),
    "ballast": Story(act=_nothing, settings={}),
    "ballast.dropped": Story(
        before=ballast_of_holes, act=_nothing, settings=_NO_ROOM | {"SPOOL_BALLAST_BYTES": str(_HUGE)}
    ),
}
"""By part and step; the others are on the way of every event."""


def story_of(point: Failpoint) -> Story:
    """In which an agent comes by ``point``."""
    return _STORIES.get(point) or _STORIES.get(point.rpartition(".")[0], _PLAIN)
