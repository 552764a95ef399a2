"""Real processes, real sockets, and a ledger outside the agent that says what was billed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from tests.integration.usage.oracle import Service

from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.domain.settlement import PauseReason
from tapi_agent.sandbox.process import SandboxProcess

MIGRATIONS: Final = Path(__file__).parents[3] / "migrations"


async def test_everything_is_billed_once_with_every_digit(agent, service) -> None:
    async with agent() as rig:
        await rig.record(1500, quantity="0.000000001", metadata={"x": Decimal("1.10"), "é": [None]})
        report = await rig.delivery.flush()
        assert (report.synced, report.trouble) == (1500, "")
        assert await service.times() == Counter(rig.recorded)
        canonical = {row["canonical"][:-1] for row in rig.query("SELECT canonical FROM usage_events")}
        assert {line["event"].rpartition(',"seq":')[0] for line in await service.lines()} == canonical
        batches = await asyncio.to_thread(service.sandbox.admin.batches)
        ours = [batch["chain"] for batch in batches if batch["account"] == service.account]
        assert ours == ["start", "linked"]


async def test_a_reply_lost_after_the_commit_is_asked_for_with_the_same_bytes_and_bills_nothing_twice(
    agent, service
) -> None:
    async with agent() as rig:
        await rig.record(1)
        await rig.delivery.flush()
        await service.faults({"action": "drop_reply", "times": 2})
        await rig.record(50)
        await rig.until(lambda: rig.states() == {"synced": 51})
        assert await service.times() == Counter(rig.recorded)
        _, *tries = service.posts()
        assert len(tries) == 3
        assert len({(one["idempotency_key"], one["body_sha256"]) for one in tries}) == 1


@pytest.mark.parametrize("shown", [True, False], ids=["shown in the sums", "not shown"])
async def test_a_reply_lost_by_a_classic_service_is_never_sent_again_blindly(agent, service, shown: bool) -> None:  # noqa: FBT001
    await service.faults({"action": "classic_only", "path": "*"}, {"action": "drop_reply", "times": 1})
    async with agent() as rig:
        await rig.record(50, event_type="api_call" if shown else "email_sent")
        for _ in range(10):
            rig.clock.machine.advance(timedelta(seconds=1))
            await rig.delivery.flush()
        assert len(service.posts()) == 1
        assert await service.times() == Counter(rig.recorded)
        assert rig.states() == ({"synced": 50} if shown else {"sealed": 50})
        assert (await rig.delivery.backlog()).ambiguous == (0 if shown else 50)


async def test_a_batch_that_a_classic_service_did_not_store_is_sent_again(agent, service) -> None:
    await service.faults({"action": "classic_only", "path": "*"}, {"action": "status", "status": 500, "times": 1})
    async with agent() as rig:
        await rig.record(50)
        await rig.until(lambda: rig.states() == {"synced": 50})
        assert await service.times() == Counter(rig.recorded)
        assert len(service.posts()) == 2


async def test_a_strict_service_of_today_gets_the_classic_fields(agent, service) -> None:
    await service.faults({"action": "refuse_extension", "path": "*"})
    async with agent() as rig:
        await rig.record(50)
        report = await rig.delivery.flush()
        assert report.synced == 50
        first, second = service.posts()
        assert first["status"] == 400
        assert (second["status"], second["idempotency_key"]) == (200, None)
        assert len(await service.lines()) == 50


async def test_results_at_random_bill_everything_once_or_say_why_not(agent, service) -> None:
    outcomes = ["accepted", "accepted", "retry", "absent", "rejected"]
    await service.faults({"action": "partial", "outcomes": outcomes, "times": 6, "seed": 7})
    async with agent() as rig:
        await rig.record(400)
        await rig.until(lambda: rig.states() and set(rig.states()) <= {"synced", "dead"})
        dead = rig.dead()
        assert 0 < len(dead) < 200
        assert await service.times() == Counter(set(rig.recorded) - dead.keys())
        assert rig.states() == {"synced": 400 - len(dead), "dead": len(dead)}


async def test_a_service_that_refuses_everything_kills_nothing(agent, service) -> None:
    await service.faults({"action": "status", "status": 400})
    async with agent() as rig:
        await rig.record(1000)
        report = await rig.delivery.flush()
        assert report.paused is not None
        assert report.paused.reason is PauseReason.REFUSES_EVERYTHING
        assert rig.dead() == {}
        assert rig.states() == {"sealed": 1000}
        await service.behave()
        await rig.until(lambda: rig.states() == {"synced": 1000})
        assert await service.times() == Counter(rig.recorded)


FAULTS = {
    "portal": [{"action": "captive_portal", "times": 2}],
    "portal that redirects": [{"action": "captive_portal", "location": "http://login.test/", "times": 2}],
    "garbage": [{"action": "garbage", "times": 2}],
    "no storage": [{"action": "storage_failure", "times": 2}],
    "busy": [{"action": "status", "status": 503, "times": 2}, {"action": "status", "status": 429, "times": 1}],
    "broken": [{"action": "status", "status": 502, "times": 2}],
    "unauthorized": [{"action": "status", "status": 401, "times": 2}],
    "cut": [{"action": "refuse", "times": 2}],
    "all of it": [
        {"action": "status", "status": 500, "times": 1},
        {"action": "drop_reply", "times": 1},
        {"action": "captive_portal", "times": 1},
        {"action": "drop_reply", "times": 1},
        {"action": "refuse", "times": 1},
        {"action": "garbage", "times": 1},
    ],
}


@pytest.mark.parametrize("rules", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("classic", [True, False], ids=["classic", "dedupes"])
async def test_after_any_fault_everything_is_billed_once(agent, service, rules: Any, classic: bool) -> None:  # noqa: FBT001
    if classic:
        await service.faults({"action": "classic_only", "path": "*"})
    await service.faults(*rules)
    async with agent(batch_size=20) as rig:
        await rig.record(60)
        await rig.until(lambda: rig.states() == {"synced": 60})
        assert await service.times() == Counter(rig.recorded)
        assert rig.delivery.paused is None


async def test_a_service_that_is_killed_again_and_again_bills_everything_once(build, tmp_path: Path) -> None:
    own = SandboxProcess(tmp_path / "ledger.db")
    with own:
        service = Service(own)
        billing = service.client()
        async with build(billing, batch_size=20) as rig:
            for _ in range(4):
                await rig.record(60)
                kills = asyncio.create_task(asyncio.to_thread(own.kill))
                await rig.delivery.flush()
                await kills
                await asyncio.to_thread(own.start)
                rig.clock.machine.advance(timedelta(minutes=1))
            await rig.until(lambda: rig.states() == {"synced": 240})
            assert await service.times() == Counter(rig.recorded)
        await billing.close()


async def test_a_database_that_is_killed_while_draining_and_sending_counts_everything_once(
    build_on, service, private_postgres
) -> None:
    billing = service.client()
    chance = random.Random(11)  # noqa: S311 - a fault plan
    await Migrator(dsn=private_postgres.address, directory=MIGRATIONS, agent_version="0").up()
    async with build_on(private_postgres.address, billing, batch_size=100) as rig:
        for _ in range(4):
            await rig.record(1500)
            work = asyncio.ensure_future(rig.delivery.flush())
            await asyncio.sleep(chance.random() * 0.15)
            await asyncio.to_thread(private_postgres.kill)
            await work
            await asyncio.to_thread(private_postgres.start)
        await rig.heal()
        await rig.until(lambda: rig.states() == {"synced": 6000})
        (total,) = (await rig.metering.summary()).rows
        assert (total.events, total.quantity) == (6000, 6000)
        assert rig.query("SELECT count(*) AS n FROM usage_duplicates") == [{"n": 0}]
        assert await service.times() == Counter(rig.recorded)
    await billing.close()


async def test_the_whole_way_on_every_version_of_postgresql(build_on, service, every_empty_dsn) -> None:
    await Migrator(dsn=every_empty_dsn, directory=MIGRATIONS, agent_version="0").up()
    billing = service.client()
    async with build_on(every_empty_dsn, billing) as rig:
        keyed = {"dedupe_key": "k", "event_time": "2027-02-28T23:59:59Z"}
        await rig.record(1, **keyed)
        await rig.record(1, **keyed)
        await rig.record(1, **keyed, quantity=2)
        await rig.record(20)
        await service.faults({"action": "status", "status": 400, "times": 1}, {"action": "drop_reply", "times": 1})
        await rig.until(lambda: rig.states() == {"synced": 21})
        assert list(rig.dead().values()) == ["IDEMPOTENCY_CONFLICT"]
        assert await service.times() == Counter(set(rig.recorded))
        assert (await rig.delivery.backlog()).dead == 1
    await billing.close()
