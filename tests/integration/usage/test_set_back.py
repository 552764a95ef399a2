"""A database that comes back without what it had: wiped, or restored to an older day, under an agent that goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs
from tests.conftest import MIGRATIONS

from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.domain.errors import SetBackError
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.tally import add_up
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.conftest import Server

    from tapi_agent.domain.usage import UsageTotal

TABLES: Final = (
    "usage_events", "usage_batches", "usage_dead_letters", "usage_duplicates", "usage_totals", "usage_arrivals",
    "agent_streams", "billing_sync_status",
)  # fmt: skip


def wipe(rig: Any) -> None:
    rig.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")


@contextmanager
def set_back(rig: Any) -> Iterator[None]:
    """What happens in the block is forgotten by the database afterwards."""
    rig.execute("CREATE SCHEMA kept", *(f"CREATE TABLE kept.{table} AS TABLE public.{table}" for table in TABLES))
    yield
    wipe(rig)
    rig.execute(
        "BEGIN",
        *(
            f"INSERT INTO public.{table} OVERRIDING SYSTEM VALUE SELECT * FROM kept.{table}"  # noqa: S608 - names from above
            for table in TABLES
        ),
        "COMMIT",
    )


def mourned(rig: Any) -> list[UsageTotal]:
    """What the agent said is lost."""
    told: list[UsageTotal] = []
    rig.delivery.on_lost(told.extend)
    return told


async def while_stopped(server: Server, *commands: str) -> None:
    """Run ``commands`` beside the data directory of a cluster that is down."""
    await asyncio.to_thread(server.stop)
    home = Path(conninfo_to_dict(server.address)["host"]).parent
    for command in commands:
        process = await asyncio.create_subprocess_exec(*command.split(), cwd=home)
        assert await process.wait() == 0
    await asyncio.to_thread(server.start)


def events(totals: Sequence[UsageTotal]) -> int:
    return sum(total.events for total in totals)


@pytest.fixture(params=[True, False], ids=["classic", "dedupes"])
async def classic(request: pytest.FixtureRequest, service: Any) -> bool:
    if request.param:
        await service.faults({"action": "classic_only", "path": "*"})
    return bool(request.param)


@pytest.mark.usefixtures("classic")
async def test_what_a_wiped_database_had_is_counted_as_lost_and_the_rest_is_billed_once(agent, service) -> None:
    async with agent() as rig:
        await rig.record(30)
        await rig.record(20, event_type="llm_tokens", quantity="0.125")
        await rig.delivery.flush()
        await rig.record(7)
        await rig.delivery.drain()
        lost = mourned(rig)
        wipe(rig)
        with capture_logs() as logs:
            await rig.record(5)
            await rig.until(lambda: rig.states() == {"synced": 5})
        assert {(total.meter, total.events, str(total.quantity)) for total in lost} == {
            ("api_call", 37, "37"), ("llm_tokens", 20, "2.500"),
        }  # fmt: skip
        assert [entry["lost"] for entry in logs if entry["event"] == "usage.database_was_set_back"] == [57]
        held = rig.query("SELECT sum(events) AS all, sum(lost_events) AS lost FROM usage_arrivals")
        assert held == [{"all": 62, "lost": 57}]
        assert max((await service.times()).values()) == 1
        assert len(await service.times()) == 55


async def test_events_that_were_sent_in_a_life_that_is_gone_are_not_billed_again(agent, service, classic) -> None:
    async with agent(batch_size=20) as rig:
        await rig.record(40)
        await rig.delivery.flush()
        await rig.record(30)
        await rig.delivery.drain()
        lost = mourned(rig)
        with set_back(rig):
            await rig.delivery.flush()
            await rig.record(10)
            await rig.delivery.flush()
        await rig.record(5)
        await rig.until(lambda: set(rig.states()) == {"synced"})
        assert rig.states() == {"synced": 75}
        assert await service.times() == Counter(rig.recorded)
        assert events(lost) == 10
        account = await rig.spool.account()
        (total,) = add_up(account.accepted)
        assert total.events == len(rig.recorded) == 85
        if classic:
            doubted = "SELECT FROM usage_batches WHERE state = 'settled' AND attempts = 0"
            assert len(rig.query(doubted)) == 2


@pytest.mark.usefixtures("classic")
async def test_a_batch_that_was_sealed_when_the_database_was_saved_is_not_sent_blindly(agent, service) -> None:
    async with agent(batch_size=20) as rig:
        await service.faults({"action": "status", "status": 503, "times": 1})
        await rig.record(15)
        await rig.delivery.flush()
        assert rig.states() == {"sealed": 15}
        with set_back(rig):
            await rig.until(lambda: rig.states() == {"synced": 15})
            await rig.record(1)
            await rig.delivery.flush()
        await rig.until(lambda: rig.states() == {"synced": 15})
        assert await service.times() == Counter(rig.recorded)
        assert len(service.posts()) == 3


@pytest.mark.usefixtures("classic")
async def test_what_one_agent_finds_out_makes_all_batches_suspect(agent, service, tmp_path) -> None:
    """The other one has drained nothing since: from its own stream it could not tell."""
    second = {"device": DeviceId("device-2"), "path": tmp_path / "second.db"}
    async with agent(batch_size=20) as rig, agent(**second) as other:
        await service.faults({"action": "status", "status": 503, "times": 1})
        await other.record(15)
        await other.delivery.flush()
        await other.record(7)
        await other.delivery.drain()
        with set_back(rig):
            await other.until(lambda: rig.states() == {"synced": 22})
            await rig.record(4, event_type="email_sent")
            await rig.delivery.flush()
        await rig.delivery.flush()
        await other.until(lambda: rig.states() == {"synced": 22})
        assert await service.times() == Counter(other.recorded + rig.recorded)


@pytest.mark.usefixtures("classic")
async def test_a_data_directory_that_was_put_back_is_accounted_for(build_on, service, private_postgres) -> None:
    """As an operator does it: copied while it was stopped, put back later, under an agent that goes on."""
    dsn, billing = private_postgres.address, service.client()
    await Migrator(dsn=dsn, directory=MIGRATIONS, agent_version="0").up()
    async with build_on(dsn, billing, batch_size=20) as rig:
        await rig.record(40)
        await rig.delivery.flush()
        await rig.record(9)
        await rig.delivery.drain()
        await while_stopped(private_postgres, "cp -a data saved")
        await rig.heal()
        await rig.record(30, quantity="0.25")
        await rig.delivery.flush()
        lost = mourned(rig)
        await while_stopped(private_postgres, "mv data gone", "cp -a saved data")
        await rig.heal()
        await rig.record(5)
        await rig.until(lambda: rig.states() == {"synced": 54})
        assert [(total.events, str(total.quantity)) for total in lost] == [(30, "7.50")]
        assert await service.times() == Counter(rig.recorded)
        await rig.until(lambda: rig.spool.depth == 0)
        (total,) = (await rig.spool.account()).accepted
        arrived = rig.query("SELECT events, quantity, lost_events, lost_quantity FROM usage_arrivals")
        assert arrived == [
            {"events": total.events, "quantity": total.quantity, "lost_events": 30, "lost_quantity": Decimal("7.5")}
        ]
    await billing.close()


async def test_nothing_new_gets_into_a_database_before_it_is_known_to_be_whole(agent) -> None:
    async with agent() as rig:
        await rig.record(10)
        await rig.delivery.drain()
        wipe(rig)
        await rig.record(3)
        lost = mourned(rig)
        with pytest.raises(SetBackError, match="lacks events"):
            await rig.stores.ledger.keep(await rig.spool.head(10), after=rig.spool.drained_seq)
        assert rig.states() == {}
        await rig.delivery.drain()
        assert (events(lost), rig.states()) == (10, {"pending": 3})


async def test_a_spool_that_is_older_than_the_database_begins_a_new_stream(agent, build, path, service) -> None:
    async with agent(path=path) as rig:
        await rig.record(10)
        older = {name: name.read_bytes() for name in path.parent.glob("spool.db*") if name.is_file()}
        stream = rig.spool.stream
        await rig.record(10)
        await rig.delivery.drain()
    for name, content in older.items():
        name.write_bytes(content)
    async with agent(path=path) as rig:
        assert rig.spool.stream == stream
        await rig.record(5)
        await rig.until(lambda: rig.states() == {"synced": 25})
        assert rig.spool.stream != stream
        assert max((await service.times()).values()) == 1
        assert len(await service.times()) == 25


async def test_a_database_that_is_wiped_between_two_batches_of_a_drain_is_noticed(build, events, monkeypatch) -> None:
    async with build(FakeBilling()) as rig:
        lost, keep = mourned(rig), rig.stores.ledger.keep

        async def keep_and_wipe(given: Any, *, after: int = 0) -> Any:
            kept = await keep(given, after=after)
            monkeypatch.setattr(rig.stores.ledger, "keep", keep)
            wipe(rig)
            return kept

        await rig.delivery.drain()
        monkeypatch.setattr(rig.stores.ledger, "keep", keep_and_wipe)
        await rig.spool.append(events(2500))
        await rig.delivery.drain()
        assert (sum(total.events for total in lost), rig.states()) == (1000, {"pending": 1500})


async def test_a_new_stream_of_an_older_spool_makes_nothing_suspect(agent, path, service) -> None:
    await service.faults({"action": "status", "status": 503})
    async with agent(path=path) as rig:
        await rig.record(10)
        await rig.delivery.flush()
        await rig.spool.renew(rig.spool.stream)
        await rig.record(5)
        lost = mourned(rig)
        await rig.delivery.flush()
        assert (lost, (await rig.delivery.backlog()).ambiguous) == ([], 0)
        assert rig.query("SELECT max(suspect_seq) AS suspect FROM agent_streams") == [{"suspect": 0}]
