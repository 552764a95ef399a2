"""What each kind of reply does to the batch, its events, the link and the memory of the service."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.settlement import PauseReason
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from tapi_agent.domain.delivery import WireBatch


@pytest.fixture
def billing() -> FakeBilling:
    return FakeBilling()


@pytest.fixture
async def rig(build, billing) -> AsyncIterator[Any]:
    async with build(billing) as made:
        yield made


def bodies(billing: FakeBilling) -> set[tuple[object, bytes]]:
    return {(sent.batch_id, sent.body) for sent in billing.sent}


def json_reply(document: object, status: int = 200) -> UsageReply:
    return UsageReply(status=status, body=json.dumps(document).encode(), content_type="application/json")


def billed(billing: FakeBilling) -> list[str]:
    return sorted(str(event["event_id"]) for event in billing.billed)


async def test_everything_is_billed_once_and_as_it_was_recorded(rig, billing) -> None:
    await rig.record(1500, quantity="0.10", metadata={"é": 1})
    await rig.record(10, billable=False)
    report = await rig.delivery.flush()
    assert (report.batches, report.synced, report.trouble, report.paused) == (2, 1500, "", None)
    assert rig.states() == {"synced": 1500, "local": 10}
    assert billed(billing) == sorted(rig.recorded[:1500])
    canonical = {
        str(row["event_id"]): row["canonical"] for row in rig.query("SELECT event_id, canonical FROM usage_events")
    }
    for sent in billing.sent:
        for event in json.loads(sent.body)["events"]:
            assert canonical[event["event_id"]][:-1].encode() in sent.body
    assert rig.query("SELECT dedupes, dialect FROM billing_sync_status") == [{"dedupes": True, "dialect": "extended"}]


async def test_batches_form_a_chain_and_keep_no_body_once_settled(rig, billing) -> None:
    await rig.record(2500)
    report = await rig.delivery.flush()
    assert (report.trouble, report.paused) == ("", None)
    batches = rig.batches()
    assert [(batch["events"], batch["first_seq"], batch["last_seq"]) for batch in batches] == [
        (1000, 1, 1000), (1000, 1001, 2000), (500, 2001, 2500),
    ]  # fmt: skip
    assert [batch["prev_sha256"] for batch in batches] == [None, batches[0]["sha256"], batches[1]["sha256"]]
    assert {(batch["state"], batch["body"], batch["synced"]) for batch in batches} == {
        ("settled", None, 1000), ("settled", None, 500),
    }  # fmt: skip


async def test_a_small_batch_size_and_large_events_are_kept_to(build, billing) -> None:
    async with build(billing, batch_size=100) as rig:
        await rig.record(250)
        await rig.record(100, metadata={"x": "y" * 30_000})
        await rig.delivery.flush()
        assert rig.states() == {"synced": 350}
        assert max(len(sent.body) for sent in billing.sent) <= 1024 * 1024
        assert max(batch["events"] for batch in rig.batches()) == 100


RETRIED = {
    "busy": UsageReply(status=503, retry_after=timedelta(seconds=0)),
    "too many": UsageReply(status=429),
    "in progress": UsageReply(status=409),
    "not written": UsageReply(failure=TransportFailure.TIMEOUT, written=False),
    "nothing stored": json_reply({"accepted_count": 0, "rejected_count": 3, "errors": ["disk"]}),
}
PAUSED = {
    "401": (UsageReply(status=401), PauseReason.UNAUTHORIZED),
    "404": (UsageReply(status=404), PauseReason.NOT_FOUND),
    "redirect": (UsageReply(status=302), PauseReason.REDIRECTED),
    "portal": (UsageReply(status=200, body=b"<html>", content_type="text/html"), PauseReason.NOT_THE_SERVICE),
    "tls": (UsageReply(failure=TransportFailure.TLS, written=False), PauseReason.TLS),
    "dns": (UsageReply(failure=TransportFailure.DNS, written=False), PauseReason.UNREACHABLE),
}


@pytest.mark.parametrize("reply", RETRIED.values(), ids=RETRIED.keys())
async def test_what_may_pass_is_retried_with_the_same_bytes(rig, billing, reply: UsageReply) -> None:
    await rig.record(3)
    billing.reply_to_usage(reply, reply)
    await rig.until(lambda: rig.states() == {"synced": 3})
    assert len(billing.sent) == 3
    assert len(bodies(billing)) == 1
    assert billed(billing) == sorted(rig.recorded)
    assert rig.delivery.paused is None


@pytest.mark.parametrize(("reply", "reason"), PAUSED.values(), ids=PAUSED.keys())
async def test_what_a_person_must_mend_pauses_and_loses_nothing(
    build, billing, reply: UsageReply, reason: PauseReason
) -> None:
    async with build(billing, first_wait=timedelta(milliseconds=200), entropy=lambda size: b"\xff" * size) as rig:
        await rig.record(3)
        billing.reply_to_usage(*[reply] * 3)
        report = await rig.delivery.flush()
        assert report.paused is not None
        assert (report.paused.reason, report.batches) == (reason, 1)
        assert (await rig.delivery.backlog()).paused == rig.delivery.paused
        assert await rig.delivery.sync_if_due() is None
        await rig.until(lambda: rig.states() == {"synced": 3})
        assert rig.delivery.paused is None
        assert rig.dead() == {}
        assert len(bodies(billing)) == 1


async def test_the_wish_of_the_service_is_a_minimum(rig, billing) -> None:
    await rig.record(1)
    billing.reply_to_usage(UsageReply(status=503, retry_after=timedelta(seconds=90)))
    await rig.delivery.flush()
    (batch,) = rig.query("SELECT next_attempt_at - now() AS wait FROM usage_batches")
    assert timedelta(seconds=85) < batch["wait"] <= timedelta(seconds=90)
    rig.clock.machine.advance(timedelta(seconds=89))
    assert (await rig.delivery.sync()).batches == 0
    rig.clock.machine.advance(timedelta(seconds=2))
    assert (await rig.delivery.sync()).batches == 0
    assert len(billing.sent) == 1


async def test_an_absurd_wish_is_cut(rig, billing) -> None:
    await rig.record(1)
    billing.reply_to_usage(UsageReply(status=503, retry_after=timedelta(days=365)))
    await rig.delivery.flush()
    (batch,) = rig.query("SELECT next_attempt_at - now() AS wait FROM usage_batches")
    assert batch["wait"] <= timedelta(hours=1)


async def test_results_are_carried_out_one_by_one(build) -> None:
    words = ["accepted", "duplicate", "rejected", "retry"]  # and nothing about the fifth

    def some(batch: WireBatch) -> UsageReply:
        lines = [
            {"event_id": event["event_id"], "status": word, "code": "bad_unit", "detail": "not ours"}
            for event, word in zip(json.loads(batch.body)["events"], words, strict=False)
        ]
        return json_reply({"batch_id": str(batch.batch_id), "results": lines})

    billing = Scripted(some)
    async with build(billing) as rig:
        ids = await rig.record(5)
        await rig.until(lambda: rig.states() == {"synced": 4, "dead": 1})
        assert rig.dead() == {ids[2]: "bad_unit"}
        first, second = rig.batches()
        assert (first["state"], first["synced"], first["dead"], first["again"]) == ("settled", 2, 1, 2)
        assert (second["events"], second["parent_id"], second["root_id"]) == (2, first["batch_id"], first["batch_id"])
        assert second["prev_sha256"] == first["sha256"]
    assert billed(billing) == sorted(ids[3:])


async def test_a_service_that_says_nothing_about_any_event_is_not_asked_in_a_frenzy(build) -> None:
    billing = Scripted(*[silent] * 1000)
    async with build(billing, first_wait=timedelta(seconds=30), longest_wait=timedelta(minutes=5)) as rig:
        await rig.record(3)
        await rig.delivery.flush()
        await rig.delivery.flush()
        assert len(billing.sent) <= 3
        assert rig.states() == {"sealed": 3}


def silent(batch: WireBatch) -> UsageReply:
    return json_reply({"batch_id": str(batch.batch_id), "results": []})


async def test_a_reused_key_is_resealed_when_ids_protect(rig, billing) -> None:
    await rig.record(1)
    await rig.delivery.flush()
    await rig.record(2)
    billing.reply_to_usage(json_reply({"code": "key_reused"}, 422))
    await rig.delivery.flush()
    await rig.until(lambda: rig.states() == {"synced": 3})
    _, old, new = rig.batches()
    assert (old["state"], new["parent_id"], new["state"]) == ("split", old["batch_id"], "settled")
    assert old["batch_id"] != new["batch_id"]


async def test_too_large_halves_until_it_fits_and_is_remembered(build) -> None:
    billing = Narrow(limit=60_000)
    async with build(billing) as rig:
        ids = await rig.record(400)
        await rig.delivery.flush()
        assert rig.states() == {"synced": 400}
        assert billed(billing) == sorted(ids)
        assert 15_000 < rig.query("SELECT max_bytes FROM billing_sync_status")[0]["max_bytes"] < 120_000
        tries = len(billing.sent)
        await rig.record(400)
        await rig.delivery.flush()
        assert max(len(sent.body) for sent in billing.sent[tries:]) <= 60_000


async def test_a_limit_that_is_no_more_is_outgrown(build) -> None:
    billing = Narrow(limit=60_000)
    async with build(billing) as rig:
        await rig.record(400)
        await rig.delivery.flush()
        before = rig.query("SELECT max_bytes FROM billing_sync_status")[0]["max_bytes"]
        billing.limit = 1024**2
        await rig.record(4000)
        await rig.delivery.flush()
        assert rig.states() == {"synced": 4400}
        assert rig.query("SELECT max_bytes FROM billing_sync_status")[0]["max_bytes"] > before * 1.3


@pytest.mark.parametrize("status", [400, 413])
async def test_what_the_service_has_does_not_die_of_a_later_refusal(build, status: int) -> None:
    """The reply to the first try is lost, and from then on something refuses an event that was stored."""
    billing = Fickle(status)
    async with build(billing) as rig:
        await rig.record(1)
        await rig.delivery.flush()
        billing.lose_next_reply()
        await rig.record(1)
        await rig.record(1, camera_id="bad")
        await rig.delivery.flush()
        billing.refuses = True
        await rig.delivery.flush()
        await rig.until(lambda: rig.states() == {"synced": 3})
        assert rig.dead() == {}
        assert billed(billing) == sorted(rig.recorded)


@pytest.mark.parametrize("status", [400, 413])
async def test_nothing_dies_while_the_service_cannot_say_what_it_has(build, status: int) -> None:
    billing = Fickle(status)
    async with build(billing) as rig:
        await rig.record(1)
        (bad,) = await rig.record(1, camera_id="bad")
        billing.refuses, billing.silent = True, True
        await rig.delivery.flush()
        await rig.until(lambda: rig.states() == {"synced": 1, "sealed": 1})
        assert rig.dead() == {}
        billing.silent = False
        await rig.delivery.flush()
        await rig.until(lambda: rig.states() == {"synced": 1, "dead": 1})
        assert rig.dead().keys() == {bad}


async def test_one_event_that_is_too_large_by_itself_dies(build) -> None:
    billing = Narrow(limit=20_000)
    async with build(billing) as rig:
        ids = await rig.record(3)
        (large,) = await rig.record(1, metadata={"x": "y" * 30_000})
        assert (await rig.delivery.flush()).dead == 1
        assert rig.dead() == {large: "TOO_LARGE"}
        assert rig.states() == {"synced": 3, "dead": 1}
        assert billed(billing) == sorted(ids)


class Narrow(FakeBilling):
    """Refuses bodies above ``limit`` bytes."""

    def __init__(self, *, limit: int) -> None:
        super().__init__()
        self.limit = limit

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if len(batch.body) > self.limit:
            self.reply_to_usage(UsageReply(status=413))
        return await super().send_usage(batch)


async def test_the_extension_is_given_up_for_good_when_it_is_refused(build) -> None:
    billing = Strict()
    async with build(billing) as rig:
        await rig.record(3)
        report = await rig.delivery.flush()
        assert (report.synced, report.batches) == (3, 2)
        assert [sent.dialect.value for sent in billing.sent] == ["extended", "classic"]
    async with build(billing) as rig:
        await rig.record(2)
        assert (await rig.delivery.flush()).batches == 1
        assert rig.states() == {"synced": 5}
        assert [sent.dialect.value for sent in billing.sent] == ["extended", "classic", "classic"]
    assert [set(event) for event in billing.billed] == [
        {"tenant_id", "event_type", "resource_id", "quantity", "unit", "event_time", "metadata"}
    ] * 5


class Strict(FakeBilling):
    """A service of today that knows no other fields."""

    def __init__(self) -> None:
        super().__init__()
        self.classic()

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if b"batch_id" in batch.body:
            self.reply_to_usage(UsageReply(status=400, body=b'json: unknown field "batch_id"'))
        return await super().send_usage(batch)


async def test_a_batch_that_is_never_stored_while_others_are_is_split(build) -> None:
    def never(batch: WireBatch) -> UsageReply | None:
        return json_reply({"accepted_count": 0, "rejected_count": 4}) if b'"poison"' in batch.body else None

    billing = Scripted(*[never] * 10_000)
    async with build(billing, batch_size=4) as rig:
        await rig.record(3)
        (poison,) = await rig.record(1, camera_id="poison")
        for _ in range(40):
            await rig.record(1)
            await rig.delivery.flush()
        await rig.until(lambda: rig.dead() != {})
        assert rig.dead() == {poison: "REFUSED"}
        assert rig.states() == {"synced": 43, "dead": 1}
    assert billed(billing) == sorted(set(rig.recorded) - {poison})


async def test_a_batch_that_is_never_stored_is_kept_while_no_other_is_either(rig, billing) -> None:
    await rig.record(2)
    billing.reply_to_usage(*[json_reply({"accepted_count": 0, "rejected_count": 2})] * 20)
    await rig.until(lambda: len(billing.sent) > 15)
    assert len(rig.batches()) == 1
    await rig.until(lambda: rig.states() == {"synced": 2})


async def test_one_stuck_batch_does_not_block_the_others(build) -> None:
    def stuck(batch: WireBatch) -> UsageReply | None:
        return UsageReply(status=503) if b'"poison"' in batch.body else None

    billing = Scripted(*[stuck] * 10_000)
    async with build(billing, batch_size=10) as rig:
        poison = await rig.record(10, camera_id="poison")
        await rig.record(50)
        await rig.until(lambda: rig.states().get("synced") == 50)
        assert set(billed(billing)).isdisjoint(poison)
        assert rig.states() == {"synced": 50, "sealed": 10}


class Scripted(FakeBilling):
    """Meets each batch with what the next function makes of it; a function may pass, and then it is billed."""

    def __init__(self, *scenes: Callable[[WireBatch], UsageReply | None]) -> None:
        super().__init__()
        self._scenes = list(scenes)

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if self._scenes and (reply := self._scenes.pop(0)(batch)):
            self.reply_to_usage(reply)
        return await super().send_usage(batch)


class Fickle(FakeBilling):
    """Once it ``refuses``, every batch with an event of camera "bad"; ``silent`` about what it has."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status
        self.refuses = False
        self.silent = False

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        if self.refuses and b'"camera_id":"bad"' in batch.body:
            self.reply_to_usage(UsageReply(status=self._status))
        return await super().send_usage(batch)

    @override
    async def look_up(self, event_ids: Sequence[UUID]) -> AbstractSet[UUID]:
        if self.silent:
            raise UnavailableError("the fake billing service looks nothing up", fix="clear silent")
        return await super().look_up(event_ids)
