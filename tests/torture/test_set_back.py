"""The database or the spool is not what it was: wiped, restored to a day before, copied to another box."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from tests.conftest import fresh_database
from tests.torture.plan import repeated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.torture.process import LeanAgent
    from tests.torture.scene import Scene

    from tapi_agent.testing.engines import RunningEngines

TABLES: Final = (
    "usage_events", "usage_batches", "usage_dead_letters", "usage_duplicates", "usage_totals", "usage_arrivals",
    "agent_streams", "billing_sync_status",
)  # fmt: skip


def execute(dsn: str, *statements: str) -> None:
    """All or none; once more when an agent, which locks in another order, was in the way."""
    while True:
        with suppress(psycopg.errors.DeadlockDetected), psycopg.connect(dsn) as connection:
            for statement in statements:
                connection.execute(statement)
            return


@contextmanager
def forgotten(scene: Scene) -> Iterator[None]:
    """What comes into the database in the block is gone afterwards, as with a backup of the time before it."""
    kept = (f"CREATE TABLE kept.{table} AS TABLE public.{table}" for table in TABLES)
    execute(scene.dsn, "DROP SCHEMA IF EXISTS kept CASCADE", "CREATE SCHEMA kept", *kept)
    yield
    back = (f"INSERT INTO public.{table} OVERRIDING SYSTEM VALUE TABLE kept.{table}" for table in TABLES)
    execute(scene.dsn, f"TRUNCATE {', '.join(TABLES)} CASCADE", *back)


def go_on(scene: Scene, agent: LeanAgent, random: Random) -> None:
    """Some usage; most of it is delivered, some waits in the database or on the disk."""
    for _ in range(random.randint(1, 4)):
        scene.record(agent, random.randint(1, 60))
        if random.random() < 0.7:
            agent.ask("flush")


@pytest.mark.parametrize("times", repeated(2, 30))
@pytest.mark.parametrize("wiped", [True, False], ids=["wiped", "restored"])
def test_a_database_that_comes_back_without_what_it_had(
    times: int, scene: Scene, random: Random, *, wiped: bool
) -> None:
    agent = scene.agent(batch_size=20)
    agent.start()
    for _ in range(times):
        if not wiped:
            go_on(scene, agent, random)
        with forgotten(scene):
            go_on(scene, agent, random)
            if off := random.random() < 0.5:
                agent.stop()
        if wiped:
            execute(scene.dsn, f"TRUNCATE {', '.join(TABLES)} CASCADE")
        if off:
            agent.start()
        go_on(scene, agent, random)
        scene.settle()
        scene.done["databases wiped" if wiped else "databases restored"] += 1
    scene.end_well(agent)


@pytest.mark.parametrize("times", repeated(1, 20))
@pytest.mark.parametrize("apart", [True, False], ids=["a database of its own", "one database"])
def test_a_spool_copied_to_another_box_bills_nothing_twice(
    times: int, scene: Scene, random: Random, shared_engines: RunningEngines, migrated_template: str, *, apart: bool
) -> None:
    with fresh_database(shared_engines.dsn, template=migrated_template) as other:
        agent = scene.agent()
        for number in range(times):
            waits = random.randint(1, 4)
            agent.start(traps=f"ledger.keep.written:{waits}=kill")
            while scene.record(agent, random.randint(1, 30)):
                pass
            agent.ended()
            copy = scene.agent(f"copy-{number}", dsn=other if apart else scene.dsn)
            shutil.copytree(agent.spool, copy.spool)
            for one in random.sample([agent, copy], 2):
                one.start()
            for one in [agent] if apart else [agent, copy]:
                scene.record(one, 1)  # never in doubt, it goes out: so the service proves that it dedupes
            scene.settle(agent, copy)
            agent.stop()
            copy.stop()
            scene.done["spools copied"] += 1
        agent.start()
        scene.agents = [agent]
        scene.end_well(agent)
        agent.stop()
